"""The commands of `rawdiff`, and the application that is made of them."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module

import typer

from rawdiff import __version__

# What the help says of each; the first sentence of its own docstring, so that help needs no import.
COMMANDS = {
    "process": "Make clean pictures and clean DNGs of raw files.",
    "calibrate": "Calibrate a sensor from flats and darks, or check a profile against frames.",
    "simulate": "Simulate a dark DNG burst of a photograph, with its truth.",
    "enhance": "Give ordinary pictures normal light.",
    "inspect": "Say what a raw file holds, which noise model would be used, and why.",
    "train": "Train a denoiser or an enhancer; kill it at any time and go on with --resume.",
    "export": "Export a recipe as ONNX or OpenVINO, compared with torch where its runtime is installed.",
    "evaluate": "Make photographs dark with published cameras, denoise or merge them by every method, "
    "print the table.",
    "recipes": "List the recipes.",
    "doctor": "Say what this installation can do, and why not where it cannot.",
}


def build_app(loaded: Collection[str]) -> typer.Typer:
    """Put the application together; only the commands in `loaded` can run, the others are but listed.

    Each command lies in the module of its name, as a function of its name. Loading all of them takes two
    seconds, which a version or a spelling mistake need not wait for.
    """
    app = typer.Typer(
        name="rawdiff",
        help="Dark raw photographs made clean by the physics of light.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, summary in COMMANDS.items():
        if name in loaded:
            app.command(name)(getattr(import_module(f"rawdiff.cli.{name}"), name))
        else:
            app.command(name, help=summary)(_unloaded)
    return app


def _unloaded() -> None:
    raise AssertionError("a command was called that had not been loaded")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"rawdiff {__version__}")
        raise typer.Exit


def _options(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print it."),
) -> None:
    """Dark raw photographs made clean by the physics of light."""
