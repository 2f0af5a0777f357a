"""`rawdiff process`: raw files in, clean pictures and clean DNGs out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rawdiff.batch.launch import run_batch
from rawdiff.batch.plan import WorkItem, check_names, find_inputs, plan_items
from rawdiff.cli.console import Speaker, reporting_errors
from rawdiff.enhance.catalog import ENHANCERS, load_enhancer
from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.config import (
    AUTO,
    BurstMode,
    Demosaic,
    DngEncoding,
    ProcessConfig,
    Space,
    Tone,
    parse_bytes,
    parse_formats,
)
from rawdiff.pipeline.device import settle_machine
from rawdiff.pipeline.events import Event
from rawdiff.pipeline.recipe_choice import check_recipe
from rawdiff.pipeline.run import BurstReporter

_INPUT = "Input"
_LOOK = "Look"
_DENOISE = "Denoising"
_RUN = "Running"


def process(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Raw files, folders, or patterns.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")],
    recipe: Annotated[
        str,
        typer.Option(
            help="How to denoise; see `rawdiff recipes`. auto: exposure for dark single frames, else mmse.",
            rich_help_panel=_DENOISE,
        ),
    ] = AUTO,
    strength: Annotated[
        float, typer.Option(help="0 leaves the noise, 1 removes it.", rich_help_panel=_DENOISE)
    ] = 1.0,
    steps: Annotated[
        int | None, typer.Option(help="Steps of a recipe that takes several.", rich_help_panel=_DENOISE)
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Walks whose mean a recipe takes.", rich_help_panel=_DENOISE)
    ] = None,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty", help="Write how sure each pixel is, as TIFF.", rich_help_panel=_DENOISE
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of recipes that draw.", rich_help_panel=_DENOISE)] = 0,
    profile: Annotated[
        Path | None, typer.Option(help="Sensor profile from `rawdiff calibrate`.", rich_help_panel=_DENOISE)
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="jpeg, tiff, dng (CFA), linear-dng; comma-separated.")
    ] = "jpeg",
    burst: Annotated[
        BurstMode,
        typer.Option(help="Group by time and metadata, each alone, or all one.", rich_help_panel=_INPUT),
    ] = "auto",
    reference: Annotated[
        str | None, typer.Option(help="File name of the burst's reference.", rich_help_panel=_INPUT)
    ] = None,
    sidecar: Annotated[
        Path | None, typer.Option(help="TOML that describes a headerless dump.", rich_help_panel=_INPUT)
    ] = None,
    white_balance: Annotated[
        str, typer.Option(help="as-shot, auto, or a temperature such as 4500.", rich_help_panel=_LOOK)
    ] = "as-shot",
    demosaic: Annotated[Demosaic, typer.Option(help="Demosaicing method.", rich_help_panel=_LOOK)] = "menon",
    tone: Annotated[Tone, typer.Option(help="Display curve.", rich_help_panel=_LOOK)] = "filmic",
    exposure: Annotated[
        float | None,
        typer.Option(
            help="In stops, instead of automatic; with --enhance on top of it.", rich_help_panel=_LOOK
        ),
    ] = None,
    enhance: Annotated[
        str,
        typer.Option(
            help="none, or who gives pictures normal light: " + ", ".join(ENHANCERS) + ".",
            rich_help_panel=_LOOK,
        ),
    ] = "none",
    enhance_strength: Annotated[
        float, typer.Option(help="0 leaves the light, 1 enhances it.", rich_help_panel=_LOOK)
    ] = 1.0,
    space: Annotated[Space, typer.Option(help="Colour space of pictures.", rich_help_panel=_LOOK)] = "srgb",
    quality: Annotated[int, typer.Option(help="JPEG quality, 1-100.", rich_help_panel=_LOOK)] = 92,
    dng_encoding: Annotated[
        DngEncoding, typer.Option(help="How DNG pixels are stored.", rich_help_panel=_LOOK)
    ] = "u16",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=_RUN)] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", rich_help_panel=_RUN)] = None,
    tile: Annotated[
        int | None, typer.Option(help="Tile side in pixels; the result is the same.", rich_help_panel=_RUN)
    ] = None,
    max_memory: Annotated[str | None, typer.Option(help="Such as 2GB.", rich_help_panel=_RUN)] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds for decoding one file.", rich_help_panel=_RUN)
    ] = 120.0,
    report: Annotated[
        bool, typer.Option("--report", help="Write a page about each merged burst (HTML).")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Make clean pictures and clean DNGs of raw files."""
    speaker = Speaker(as_json)
    with reporting_errors(speaker, debug):
        if enhance != "none":
            load_enhancer(enhance)
        if device not in ("auto", "cpu", "cuda"):
            raise ConfigurationError(f"'{device}' is not a device", hint="auto, cpu or cuda")
        config = ProcessConfig(
            recipe=recipe,
            strength=strength,
            steps=steps,
            samples=samples,
            uncertainty=uncertainty,
            seed=seed,
            formats=parse_formats(formats),
            burst=burst,
            reference=reference,
            report=report,
            profile=profile,
            white_balance=white_balance,
            demosaic=demosaic,
            tone=tone,
            exposure_ev=exposure,
            enhance=None if enhance == "none" else enhance,
            enhance_strength=enhance_strength,
            space=space,
            jpeg_quality=quality,
            dng_encoding=dng_encoding,
            tile=tile,
            max_memory_bytes=None if max_memory is None else parse_bytes(max_memory),
            device=device,  # type: ignore[arg-type]
            sidecar=sidecar,
            timeout_s=timeout,
        )
        check_recipe(config)
        settle_machine(config, threads)
        items = plan_items(find_inputs(inputs), burst, reference)
        check_names(items)
        if dry_run:
            _say_plan(speaker, items, output, config)
            return
        for item in items:
            for path, reason in item.left_out:
                speaker.hear(Event("warning", item.stem, f"{path.name} is left out: {reason}"))
        with speaker.working(len(items)):
            tally = run_batch(
                items,
                output,
                config,
                overwrite=overwrite,
                listen=speaker.hear,
                report_burst=_reporter() if report else None,
                debug=debug,
            )
        _say_tally(speaker, tally.done, tally.skipped, len(tally.failures), output)
        tally.raise_if_failed()


def _reporter() -> BurstReporter:
    """The writer of pages, loaded only where one is asked for."""
    from rawdiff.report.burst_page import write_burst_page

    return write_burst_page


def _say_plan(speaker: Speaker, items: list[WorkItem], output: Path, config: ProcessConfig) -> None:
    for item in items:
        names = [f"{item.stem}{suffix}" for suffix in config.suffixes()[:-1]]
        record = {
            "event": "plan",
            "subject": item.stem,
            "frames": [str(path) for path in item.frames],
            "outputs": [str(output / name) for name in names],
        }
        frames = ", ".join(path.name for path in item.frames)
        speaker.result(record, f"{frames} -> {', '.join(names)} in {output}")
        for path, reason in item.left_out:
            speaker.result(
                {"event": "left out", "frame": str(path), "reason": reason}, f"{path.name}: {reason}"
            )


def _say_tally(speaker: Speaker, done: int, skipped: int, failed: int, output: Path) -> None:
    record = {"event": "summary", "done": done, "skipped": skipped, "failed": failed, "folder": str(output)}
    parts = [f"{done} done"]
    parts += [f"{skipped} already done"] if skipped else []
    parts += [f"{failed} failed"] if failed else []
    speaker.result(record, f"{', '.join(parts)}; outputs in {output}")
