"""`rawdiff export`: the network with its mathematics, as a graph for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rawdiff.cli.console import Speaker, reporting_errors
from rawdiff.errors import ConfigurationError, ProcessingError
from rawdiff.recipes.export import EXPORTERS, SUFFIXES, example_inputs, largest_difference

_MOST_DIFFERENT = 1e-3
"""Standard deviations of the noise by which a graph may differ from torch."""
_HEIGHT, _WIDTH = 192, 320


def export(
    recipe: Annotated[str, typer.Argument(help="Which recipe: mmse.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: .onnx or .xml.")],
    kind: Annotated[
        str, typer.Option("--format", help="onnx or openvino; by the file's suffix unless given.")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Export a recipe as ONNX or OpenVINO, compared with torch where its runtime is installed."""
    speaker = Speaker(as_json)
    with reporting_errors(speaker, debug):
        if recipe != "mmse":
            raise ConfigurationError(f"'{recipe}' is not one evaluation of a network", hint="export mmse")
        kind = kind or _kind_of(output)
        if kind not in EXPORTERS:
            raise ConfigurationError(f"'{kind}' is not a format", hint=" or ".join(EXPORTERS))
        if output.suffix != SUFFIXES[kind]:
            raise ConfigurationError(f"{kind} is written as {SUFFIXES[kind]}", where=output)
        EXPORTERS[kind](output, overwrite)
        apart = largest_difference(output, example_inputs(_HEIGHT, _WIDTH))
        if apart is not None and apart > _MOST_DIFFERENT:
            raise ProcessingError(
                f"the graph differs from torch by {apart:.2g} standard deviations of the noise", where=output
            )
        compared = "not compared: its runtime is not installed"
        if apart is not None:
            compared = f"differs from torch by at most {apart:.1e} standard deviations of the noise"
        record = {"event": "output", "kind": kind, "path": str(output), "largest_difference_sigma": apart}
        speaker.result(record, f"wrote {output}; {compared}")


def _kind_of(path: Path) -> str:
    found = [kind for kind, suffix in SUFFIXES.items() if suffix == path.suffix]
    if not found:
        raise ConfigurationError("no format has this suffix", where=path, hint="name it .onnx or .xml")
    return found[0]
