"""`rawdiff evaluate`: measure how good it is, on this machine, beside its peers."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rawdiff.cli.console import Speaker, reporting_errors
from rawdiff.errors import ConfigurationError

if TYPE_CHECKING:
    from rawdiff.report.burst_suite import BurstResult
    from rawdiff.report.denoise_suite import Denoise, SuiteResult
    from rawdiff.train.photographs import Photograph

_ENHANCE = "The enhance suite"
_CAMERAS = "SonyA7S2,NikonD850,CanonEOS5D4,CanonEOS70D"


def evaluate(
    suite: str = typer.Argument(..., help="What to measure: denoise, burst or enhance."),
    photos: Path | None = typer.Option(
        None, "--photos", help="Folder of photographs, or a photographs.json; only --ocr goes without."
    ),
    methods: str = typer.Option("", "--methods", help="Comma-separated; all that can run where empty."),
    cameras: str = typer.Option(_CAMERAS, "--cameras", help="Comma-separated; none: the reference point."),
    iso: float = typer.Option(1600.0, "--iso", help="Of the cameras."),
    ratios: str = typer.Option("100,250,300", "--ratios", help="Exposure ratios."),
    side: int = typer.Option(256, "--side", help="Of the windows in mosaic pixels; at most 512."),
    peer: list[str] = typer.Option([], "--peer", help="NAME=COMMAND: a program to run beside (denoise)."),
    figures: Path | None = typer.Option(None, "--figures", help="JSON of peers' figures: used and added to."),
    limit: int = typer.Option(0, "--limit", help="Use the first N photographs only; 0 for all."),
    invariance: bool = typer.Option(
        False, "--invariance", help="enhance: agreement under other light.", rich_help_panel=_ENHANCE
    ),
    ablate: Path | None = typer.Option(
        None, "--ablate", help="enhance: networks of quadprior in a folder.", rich_help_panel=_ENHANCE
    ),
    raw: bool = typer.Option(
        False, "--raw", help="enhance: from simulated raw at ratio 100.", rich_help_panel=_ENHANCE
    ),
    ocr: bool = typer.Option(
        False, "--ocr", help="enhance: dark text, read by tesseract.", rich_help_panel=_ENHANCE
    ),
    recipe: str = typer.Option(
        "mmse", "--recipe", help="enhance: how to denoise first; none for pictures.", rich_help_panel=_ENHANCE
    ),
    markdown: Path | None = typer.Option(
        None, "--markdown", help="enhance: write the tables there.", rich_help_panel=_ENHANCE
    ),
    json_file: Path | None = typer.Option(None, "--json-file", help="Write everything measured there."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object on stdout instead of the table."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Make photographs dark with published cameras, denoise or merge them by every method, print the table.

    Of a photographs.json those marked `held_out` are used, of a folder all. The burst suite shakes, moves
    and brackets them with the first of the cameras, and has no ratios: 400 and 60 electrons at white.
    The enhance suite takes a folder of pictures, in pairs of low and high or not, or one of its own parts.
    """
    from rawdiff.cli import evaluate_enhance as enhance
    from rawdiff.train.photographs import list_photographs

    with reporting_errors(Speaker(as_json), debug):
        if suite not in ("denoise", "burst", "enhance"):
            raise ConfigurationError(f"there is no suite '{suite}'", hint="denoise, burst or enhance")
        if suite == "enhance":
            part = enhance.choose_part(invariance=invariance, raw=raw, ocr=ocr, ablate=ablate is not None)
            wanted = tuple(filter(None, methods.split(",")))
            request = enhance.EnhanceRequest(photos, part, wanted, limit, ablate, recipe)
            enhance.show_tables(enhance.evaluate_enhance(request), json_file, markdown, as_json)
            return
        listed = list_photographs(enhance.need_photographs(photos))
        chosen = [p for p in listed if p.held_out] or listed
        chosen = chosen[:limit] if limit > 0 else chosen
        names = [name for name in cameras.split(",") if name]
        if suite == "burst":
            _show_burst(_run_burst(chosen, methods, names, iso), json_file, as_json)
            return
        if not 32 <= side <= 512:
            raise ConfigurationError(f"windows have from 32 to 512 pixels a side, not {side}")
        found = _run_denoise(chosen, _choose(methods), names, iso, _numbers(ratios), side, peer, figures)
        _show_denoise(found, json_file, as_json)


def _run_denoise(
    photographs: list[Photograph],
    methods: dict[str, Denoise],
    cameras: list[str],
    iso: float,
    ratios: list[float],
    side: int,
    peers: list[str],
    figures: Path | None,
) -> SuiteResult:
    """The denoising suite, its peers started and ended."""
    from rawdiff.report.denoise_cases import conditions
    from rawdiff.report.denoise_suite import run_suite
    from rawdiff.report.flat_fields import measure_flats
    from rawdiff.report.peers import KeptFigures, Peer, parse_peer

    kept = None if figures is None else KeptFigures(figures)
    with ExitStack() as stack:
        running = [stack.enter_context(Peer(*parse_peer(text))) for text in peers]
        found = run_suite(
            photographs,
            methods,
            conditions(cameras, iso),
            ratios,
            side,
            on_case=lambda case: print(case, file=sys.stderr),
            peers=running,
            kept=kept,
        )
    found.flats = measure_flats(methods)
    return found


def _show_denoise(found: SuiteResult, json_file: Path | None, as_json: bool) -> None:
    from rawdiff.report.denoise_table import write_tables

    if json_file is not None:
        json_file.write_text(json.dumps(found.as_json(), indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found.as_json()) if as_json else write_tables(found))


def _run_burst(photographs: list[Photograph], methods: str, cameras: list[str], iso: float) -> BurstResult:
    """The burst suite with the recipes asked for, or all of them."""
    from rawdiff.recipes.catalog import RECIPES, find_recipe
    from rawdiff.report.burst_suite import run_suite

    if not cameras:
        raise ConfigurationError("the burst suite needs a camera", hint="--cameras SonyA7S2")
    names = [name for name in methods.split(",") if name] or [*RECIPES]
    chosen = {name: find_recipe(name).denoise for name in names}
    return run_suite(
        photographs, chosen, camera=cameras[0], iso=iso, on_case=lambda case: print(case, file=sys.stderr)
    )


def _show_burst(found: BurstResult, json_file: Path | None, as_json: bool) -> None:
    if json_file is not None:
        json_file.write_text(json.dumps(found.as_json(), indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found.as_json()) if as_json else _burst_table(found))


def _burst_table(found: BurstResult) -> str:
    lines, heading = [], ""
    count = len({row.photograph for row in found.rows})
    for row in sorted(found.means(), key=lambda row: (row.case, row.sharpness, -row.white_e, row.frames)):
        at = f"\n{row.case}, {row.sharpness}, {row.white_e:g} e- at white; mean of {count} photographs"
        lines += [at] if at != heading else []
        heading = at
        lines.append(f"  {row.frames:2} frames")
        lines += [f"    {name:32} {value:8.3f}" for name, value in row.figures.items()]
    lines.append("\nCPU seconds per megapixel and alternate frame")
    lines += [f"  {work:16} {seconds:8.3f}" for work, seconds in found.seconds_per_mp.items()]
    return "\n".join(lines)


def _choose(names: str) -> dict[str, Denoise]:
    """The methods asked for, or all whose packages and weights are there."""
    from rawdiff.recipes.catalog import RECIPES
    from rawdiff.report import classical

    known: dict[str, Denoise] = {"noisy": classical.leave_noisy}
    known |= {"wavelet-shrink": RECIPES["wavelet-shrink"].denoise, "nlm": classical.non_local_means}
    known |= {name: recipe.denoise for name, recipe in RECIPES.items()}
    wanted = [name for name in names.split(",") if name]
    if not wanted:
        wanted = [*known]
        if find_spec("skimage") is None:
            wanted.remove("nlm")
            print("nlm is left out: scikit-image is not installed", file=sys.stderr)
    for name in wanted:
        if name not in known:
            raise ConfigurationError(f"there is no method '{name}'", hint=f"of {', '.join(known)}")
    return {name: known[name] for name in wanted}


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",") if word]
    except ValueError:
        raise ConfigurationError(f"'{text}' is not a list of numbers", hint="such as 100,250,300") from None
    if not numbers or min(numbers) <= 0:
        raise ConfigurationError("exposure ratios must be above 0")
    return numbers
