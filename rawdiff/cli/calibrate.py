"""`rawdiff calibrate`: flats and darks in, a sensor profile and a report out; or the check of a profile."""

from __future__ import annotations

import glob
import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from rawdiff.cli.calibrate_text import describe_calibration, verdict_lines, verdict_records
from rawdiff.cli.console import Speaker, reporting_errors
from rawdiff.errors import CalibrationFramesError, ConfigurationError
from rawdiff.pipeline.events import Event
from rawdiff.raw.atomic import write_whole

if TYPE_CHECKING:  # what only this command needs is imported when it runs: the others start sooner
    from rawdiff_calibration.profile import SensorProfile

    from rawdiff.pipeline.calibration import Calibration
    from rawdiff.pipeline.calibration_frames import Crop, FrameFacts


def calibrate(
    frames: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FRAMES...]",
            help="With --check and --blind: the frames to judge by. With --export: the profile, then frames.",
        ),
    ] = None,
    flats: Annotated[
        list[str] | None, typer.Option(help="Flats: a file, folder or pattern; may be repeated.")
    ] = None,
    darks: Annotated[
        list[str] | None, typer.Option(help="Darks: a file, folder or pattern; may be repeated.")
    ] = None,
    chart: Annotated[
        list[str] | None,
        typer.Option(help="One frame of a stepped chart in place of an ISO's flats: less to be trusted."),
    ] = None,
    photons: Annotated[
        str | None,
        typer.Option(
            help="Photons per pixel and second of the flats, or a CSV (exposure_s,photons or file,photons)."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The profile to write (JSON).")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write a report (HTML).")] = None,
    check: Annotated[
        str | None,
        typer.Option(help="Judge this profile by FRAMES; 'tag' judges the files' own NoiseProfile."),
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Estimate the noise from ordinary FRAMES, best from a burst.")
    ] = False,
    import_from: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            help="Make a profile of 'darktable' (its installed table), a noiseprofiles.json, a CSV table of "
            "published figures, or raw files with a NoiseProfile.",
        ),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="darktable|dng",
            help="Write the profile in FRAMES for darktable, or into copies of the DNGs after it.",
        ),
    ] = None,
    iso: Annotated[float | None, typer.Option(help="ISO of files that state none.")] = None,
    crop: Annotated[
        str | None, typer.Option(help="Use only TOP,LEFT,HEIGHT,WIDTH, such as one tap of a CCD.")
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(metavar="BLACK,WHITE", help="Levels of the camera's raws, for --import and --export."),
    ] = None,
    make: Annotated[str | None, typer.Option(help="Maker to write, where files name none.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to write, where files name none.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Calibrate a sensor from flats and darks, or check a profile against frames."""
    from rawdiff.cli.calibrate_exchange import ExchangeOptions, run_blind, run_export, run_import
    from rawdiff.pipeline.calibration_frames import examine_frame

    speaker = Speaker(as_json)
    with reporting_errors(speaker, debug):
        part = None if crop is None else _parse_crop(crop)

        def examine(given: list[str] | None) -> list[FrameFacts]:
            return [examine_frame(path, iso, part) for path in find_frames(given or [])]

        lit = [*(flats or []), *(darks or []), *(chart or [])]
        _require_one_task(lit, check, blind, import_from, export)
        options = ExchangeOptions(output, levels, make, model, overwrite)
        if check is not None:
            _check(speaker, check, examine(frames))
        elif blind:
            run_blind(speaker, examine(frames), options)
        elif import_from:
            run_import(speaker, import_from, frames or [], examine, options)
        elif export is not None:
            run_export(speaker, export, frames or [], examine, options)
        else:
            _require_calibration(frames, lit, output)
            assert output is not None
            sets = FrameSets(examine(flats), examine(darks), examine(chart), photons, make, model)
            _calibrate(speaker, sets, output, report, overwrite)


@dataclass(frozen=True)
class FrameSets:
    """What is calibrated with, and what the camera shall be called."""

    flats: list[FrameFacts]
    darks: list[FrameFacts]
    charts: list[FrameFacts]
    photons: str | None
    make: str | None
    model: str | None

    def paths(self) -> list[Path]:
        """The files, which are never replaced."""
        return [facts.path for facts in (*self.flats, *self.darks, *self.charts)]


def _calibrate(speaker: Speaker, sets: FrameSets, output: Path, report: Path | None, overwrite: bool) -> None:
    from rawdiff.pipeline.calibration import calibrate_camera
    from rawdiff.pipeline.calibration_photons import read_photons

    targets = [output, output.with_suffix(".npz"), *([report] if report else [])]
    _refuse_taken(targets, overwrite)
    counts = None if sets.photons is None else read_photons(sets.photons)
    with speaker.working(1):
        speaker.hear(Event("start", "calibration", "calibration"))
        done = calibrate_camera(sets.flats, sets.darks, speaker.hear, charts=sets.charts, photons=counts)
    done = _named(done, sets.make, sets.model)
    profile = _write(done, output, report, overwrite, sets.paths())
    speaker.result(*describe_calibration(profile, done.verdicts, targets))


def _require_one_task(
    lit: list[str], check: str | None, blind: bool, import_from: list[str] | None, export: str | None
) -> None:
    """Refuse two tasks at once."""
    tasks = {
        "--flats, --darks or --chart": bool(lit),
        "--check": check is not None,
        "--blind": blind,
        "--import": bool(import_from),
        "--export": export is not None,
    }
    asked = [name for name, wanted in tasks.items() if wanted]
    if len(asked) > 1:
        raise ConfigurationError(f"{asked[0]} and {asked[1]} are two tasks", hint="ask for one at a time")


def _require_calibration(frames: list[str] | None, lit: list[str], output: Path | None) -> None:
    if frames:
        raise ConfigurationError(
            f"'{frames[0]}' is neither flat nor dark",
            hint="put patterns in quotes: --flats 'flats/*.NEF'",
        )
    if not lit:
        raise ConfigurationError(
            "nothing to calibrate with", hint="--flats 'flats/*' --darks 'darks/*' -o PROFILE.json"
        )
    if output is None:
        raise ConfigurationError("no profile to write", hint="-o PROFILE.json")
    if output.is_dir():
        raise ConfigurationError("is a folder, not a profile", where=output, hint="-o PROFILE.json")


def _parse_crop(text: str) -> Crop:
    try:
        top, left, height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(f"'{text}' is not a crop", hint="TOP,LEFT,HEIGHT,WIDTH in pixels") from None
    return top, left, height, width


def find_frames(given: list[str]) -> list[Path]:
    """Expand files, folders and patterns, each file once, in the order of their names."""
    found: list[Path] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if p.is_file() and _is_frame(p))
        elif path.is_file():
            matches = [path]
        else:
            matches = sorted(Path(p) for p in glob.glob(text, recursive=True) if _is_frame(Path(p)))
        if not matches:
            what = f"the folder '{text}' holds no frames" if path.is_dir() else f"no file matches '{text}'"
            raise ConfigurationError(what, hint="a file, a folder, or a pattern in quotes")
        found += [match for match in matches if match not in found]
    return found


def _is_frame(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() not in (
        ".toml",
        ".csv",
        ".txt",
        ".json",
        ".xmp",
    )


def _refuse_taken(targets: list[Path], overwrite: bool) -> None:
    """Refuse before hours of work what would be refused after them."""
    for target in targets:
        if target.exists() and not overwrite:
            raise ConfigurationError("exists already", where=target, hint="--overwrite replaces it")


def _named(done: Calibration, make: str | None, model: str | None) -> Calibration:
    camera = done.profile.camera
    camera = replace(camera, make=make or camera.make, model=model or camera.model)
    return replace(done, profile=replace(done.profile, camera=camera))


def _write(
    done: Calibration, output: Path, report: Path | None, overwrite: bool, originals: list[Path]
) -> SensorProfile:
    """Write maps, profile and report, each whole; return the profile as written."""
    from rawdiff_calibration.profile_json import profile_to_json

    from rawdiff.report.calibration import render_calibration

    arrays = output.with_suffix(".npz")
    packed = _pack(done.maps)
    with write_whole(arrays, overwrite, originals) as part:
        part.write_bytes(packed)
    maps = {
        "file": arrays.name,
        "sha256": hashlib.sha256(packed).hexdigest(),
        "arrays": {name: list(values.shape) for name, values in done.maps.items()},
    }
    profile = replace(done.profile, maps=maps)
    with write_whole(output, overwrite, originals) as part:
        part.write_text(profile_to_json(profile), encoding="utf-8")
    if report is not None:
        with write_whole(report, overwrite, originals) as part:
            part.write_text(render_calibration(replace(done, profile=profile)), encoding="utf-8")
    return profile


def _pack(maps: dict[str, NDArray[np.generic]]) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = dict(maps)
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _check(speaker: Speaker, check: str, facts: list[FrameFacts]) -> None:
    """Judge a profile, or the files' NoiseProfile tags; exit code 4 where it does not hold."""
    from rawdiff.pipeline.calibration_check import check_noise_model

    if not facts:
        raise ConfigurationError("no frames to judge by", hint="rawdiff calibrate --check PROFILE FRAMES...")
    profile = None if check == "tag" else Path(check)
    judged = check_noise_model(profile, facts)
    wrong = [one for one in judged if one.grade == "poor"]
    speaker.result(
        {"event": "checked", "good": not wrong, "verdicts": verdict_records(judged)},
        "\n".join(verdict_lines(judged)),
    )
    if wrong:
        raise CalibrationFramesError(f"the noise model fails {len(wrong)} of {len(judged)} checks")
