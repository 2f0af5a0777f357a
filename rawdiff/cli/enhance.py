"""`rawdiff enhance`: ordinary pictures in, normally lit pictures out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rawdiff.batch.plan import find_inputs
from rawdiff.cli.console import Speaker, reporting_errors
from rawdiff.enhance.catalog import load_enhancer
from rawdiff.errors import BatchError, ConfigurationError, RawdiffError
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.device import settle_machine
from rawdiff.pipeline.events import Event
from rawdiff.pipeline.picture import PICTURE_FILES, PictureConfig, enhance_file, parse_picture_formats
from rawdiff.raw.picture_read import PICTURE_SUFFIXES
from rawdiff.recipes.catalog import find_recipe


def enhance(
    pictures: Annotated[
        list[str], typer.Argument(metavar="PICTURE...", help="JPEG, PNG or TIFF files, folders, or patterns.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the results.")],
    how: Annotated[str, typer.Option("--enhance", help="local, quadprior or wavelet.")] = "local",
    strength: Annotated[float, typer.Option(help="0 leaves the light, 1 enhances it.")] = 1.0,
    exposure: Annotated[float, typer.Option(help="Stops on top of the enhancer's own level.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of enhancers that draw.")] = 0,
    denoise: Annotated[
        bool, typer.Option("--denoise", help="Denoise first, by the noise found in the picture.")
    ] = False,
    recipe: Annotated[str, typer.Option(help="How to denoise; see `rawdiff recipes`.")] = "mmse",
    denoise_strength: Annotated[float, typer.Option(help="0 leaves the noise, 1 removes it.")] = 1.0,
    formats: Annotated[str, typer.Option("--format", help="jpeg, tiff, png; comma-separated.")] = "jpeg",
    quality: Annotated[int, typer.Option(help="JPEG quality, 1-100.")] = 92,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Give ordinary pictures normal light."""
    speaker = Speaker(as_json)
    with reporting_errors(speaker, debug):
        load_enhancer(how)
        if denoise:
            find_recipe(recipe)
        config = PictureConfig(
            enhance=how,
            strength=strength,
            exposure_ev=exposure,
            seed=seed,
            denoise=recipe if denoise else None,
            denoise_strength=denoise_strength,
            formats=parse_picture_formats(formats),
            jpeg_quality=quality,
        )
        settle_machine(ProcessConfig(), threads)
        paths = find_pictures(pictures)
        if dry_run:
            for path in paths:
                names = [f"{path.stem}{PICTURE_FILES[kind]}" for kind in config.formats]
                record = {"event": "plan", "subject": path.stem, "outputs": [str(output / n) for n in names]}
                speaker.result(record, f"{path} -> {', '.join(names)} in {output}")
            return
        with speaker.working(len(paths)):
            failures = [_enhance_one(path, output, config, overwrite, speaker, debug) for path in paths]
        failed = [error for error in failures if error is not None]
        done = len(paths) - len(failed)
        tally = f"{done} done" + (f", {len(failed)} failed" if failed else "")
        speaker.result(
            {"event": "summary", "done": done, "failed": len(failed), "folder": str(output)},
            f"{tally}; outputs in {output}",
        )
        if failed and len(paths) == 1:
            raise failed[0]
        if failed:
            raise BatchError(f"{len(failed)} of {len(paths)} failed: {failed[0]}")


def _enhance_one(
    path: Path, folder: Path, config: PictureConfig, overwrite: bool, speaker: Speaker, debug: bool
) -> RawdiffError | None:
    """Enhance one picture; one that fails does not stop the others."""
    speaker.hear(Event("start", path.stem, str(path)))
    try:
        enhance_file(path, folder, config, overwrite, speaker.hear)
    except RawdiffError as error:
        if debug:
            raise
        speaker.hear(Event("failed", path.stem, str(error), {"exit_code": error.exit_code}))
        return error
    speaker.hear(Event("done", path.stem))
    return None


def find_pictures(arguments: list[str]) -> list[Path]:
    """Expand files, folders and quoted patterns into pictures, each once, none with another's name.

    Raises:
        InputError: a name that is nothing, or a folder without pictures.
        ConfigurationError: two pictures whose outputs would have one name.
    """
    found = find_inputs(arguments, PICTURE_SUFFIXES, "pictures", "JPEG, PNG or TIFF")
    owners: dict[str, Path] = {}
    for path in found:
        if path.stem in owners:
            raise ConfigurationError(
                f"{owners[path.stem]} and {path} would both write '{path.stem}'",
                hint="enhance them one by one",
            )
        owners[path.stem] = path
    return found
