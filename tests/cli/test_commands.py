"""The list of commands: what it says of each is what the command says of itself, and it starts at once."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
from typer.testing import CliRunner

from rawdiff.cli.commands import COMMANDS, build_app


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says_of_itself(name: str) -> None:
    docstring = getattr(import_module(f"rawdiff.cli.{name}"), name).__doc__
    first = " ".join(docstring.strip().split("\n\n")[0].split())
    assert COMMANDS[name] == first


def test_help_lists_every_command_without_loading_one() -> None:
    shown = CliRunner().invoke(build_app([]), ["--help"]).output
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["proces", "a.dng"]])
def test_what_needs_no_command_does_not_wait_for_torch(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom rawdiff.cli.start import run\nsys.argv[1:] = " + repr(arguments) + "\n"
        "try:\n    run()\nexcept SystemExit:\n    pass\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_a_misspelt_command_is_a_usage_error_that_names_the_near_one() -> None:
    result = CliRunner().invoke(build_app(["proces"]), ["proces"])
    assert result.exit_code == 2
    assert "process" in result.output
