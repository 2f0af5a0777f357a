"""`rawdiff doctor`: what this installation can do, and why not where it cannot."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import torch
import typer
from rawdiff_kernels.native import tune_allocator
from rawdiff_kernels.routes import route_table

from rawdiff import __version__
from rawdiff.cli.console import Speaker, reporting_errors

_NEEDED = ("torch", "numpy", "scipy", "rawpy", "tifffile", "imagecodecs", "Pillow", "kornia", "safetensors")
_OPTIONAL = (("triton", "gpu"), ("matplotlib", "plot"), ("scikit-image", "metrics"), ("astropy", "fits"))
_PROGRAMS = ("exiftool", "darktable-cli", "rawtherapee-cli")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Say what this installation can do, and why not where it cannot."""
    speaker = Speaker(as_json)
    with reporting_errors(speaker, debug):
        _say_machine(speaker)
        _say_packages(speaker)
        for state in route_table():
            mark = "yes" if state.available else "no"
            record = {
                "event": "route",
                "op": state.op,
                "route": state.route,
                "available": state.available,
                "reason": state.reason,
            }
            speaker.result(record, f"kernel {state.op:10} {state.route:10} {mark:4} {state.reason}".rstrip())
        for program in _PROGRAMS:
            place = shutil.which(program)
            record = {"event": "program", "name": program, "path": place}
            speaker.result(
                record, f"program {program:16} {place or 'not installed (only some tests use it)'}"
            )


def _say_machine(speaker: Speaker) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    reason = "" if gpu else f"torch {torch.__version__} sees no CUDA device"
    record = {
        "event": "machine",
        "rawdiff": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": cores,
        "gpu": gpu,
        "allocator_tuned": tune_allocator(),
    }
    tuned = "large blocks are kept" if record["allocator_tuned"] else "left as it is (not glibc)"
    speaker.result(
        record,
        f"rawdiff {__version__} on Python {platform.python_version()}, {platform.platform()}\n"
        f"{cores} cores; GPU: {gpu or 'none'}{'; ' + reason if reason else ''}\n"
        f"allocator: {tuned}",
    )


def _say_packages(speaker: Speaker) -> None:
    for name, extra in (*((needed, "") for needed in _NEEDED), *_OPTIONAL):
        try:
            found = version(name)
        except PackageNotFoundError:
            found = ""
        record = {"event": "package", "name": name, "version": found or None, "extra": extra or None}
        advice = f"not installed: pip install 'rawdiff[{extra}]'" if extra else "MISSING: reinstall rawdiff"
        speaker.result(record, f"package {name:16} {found or advice}")
