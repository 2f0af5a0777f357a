"""The `rawdiff` command: what it is made of."""

from __future__ import annotations

import typer

from rawdiff import __version__
from rawdiff.cli.calibrate import calibrate
from rawdiff.cli.doctor import doctor
from rawdiff.cli.evaluate import evaluate
from rawdiff.cli.inspect import inspect
from rawdiff.cli.process import process
from rawdiff.cli.recipes import recipes
from rawdiff.cli.simulate import simulate
from rawdiff.cli.train import train

app = typer.Typer(
    name="rawdiff",
    help="Dark raw photographs made clean by the physics of light.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (process, calibrate, simulate, inspect, train, evaluate, recipes, doctor):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"rawdiff {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print it."),
) -> None:
    """Dark raw photographs made clean by the physics of light."""
