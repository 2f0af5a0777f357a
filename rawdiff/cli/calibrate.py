"""`rawdiff calibrate`: flats and darks in, a sensor profile and a report out; or the check of a profile."""

from __future__ import annotations

import glob
import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from rawdiff.cli.console import Speaker, reporting_errors
from rawdiff.errors import CalibrationFramesError, ConfigurationError
from rawdiff.pipeline.events import Event
from rawdiff.raw.atomic import write_whole

if TYPE_CHECKING:  # what only this command needs is imported when it runs: the others start sooner
    from rawdiff_calibration.profile import SensorProfile

    from rawdiff.pipeline.calibration import Calibration
    from rawdiff.pipeline.calibration_frames import Crop, FrameFacts

_MARKS = {"good": "+", "note": " ", "poor": "!"}


def calibrate(
    frames: Annotated[
        list[str] | None, typer.Argument(metavar="[FRAMES...]", help="With --check: the frames to judge by.")
    ] = None,
    flats: Annotated[
        list[str] | None, typer.Option(help="Flats: a file, folder or pattern; may be repeated.")
    ] = None,
    darks: Annotated[
        list[str] | None, typer.Option(help="Darks: a file, folder or pattern; may be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The profile to write (JSON).")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write a report (HTML).")] = None,
    check: Annotated[
        str | None,
        typer.Option(help="Judge this profile by FRAMES; 'tag' judges the files' own NoiseProfile."),
    ] = None,
    iso: Annotated[float | None, typer.Option(help="ISO of files that state none.")] = None,
    crop: Annotated[
        str | None, typer.Option(help="Use only TOP,LEFT,HEIGHT,WIDTH, such as one tap of a CCD.")
    ] = None,
    make: Annotated[str | None, typer.Option(help="Maker to write, where files name none.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to write, where files name none.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Calibrate a sensor from flats and darks, or check a profile against frames."""
    from rawdiff.pipeline.calibration import calibrate_camera
    from rawdiff.pipeline.calibration_frames import examine_frame

    speaker = Speaker(as_json)
    with reporting_errors(speaker, debug):
        part = None if crop is None else _parse_crop(crop)
        if check is not None:
            _check(speaker, check, [examine_frame(path, iso, part) for path in _find(frames or [])])
            return
        if frames:
            raise ConfigurationError(
                f"'{frames[0]}' is neither flat nor dark",
                hint="put patterns in quotes: --flats 'flats/*.NEF'",
            )
        if output is None:
            raise ConfigurationError("no profile to write", hint="-o PROFILE.json")
        lit, dark = (
            [examine_frame(path, iso, part) for path in _find(given or [])] for given in (flats, darks)
        )
        targets = [output, output.with_suffix(".npz"), *([report] if report else [])]
        _refuse_taken(targets, overwrite)
        with speaker.working(1):
            speaker.hear(Event("start", "calibration", "calibration"))
            done = calibrate_camera(lit, dark, speaker.hear)
        done = _named(done, make, model)
        originals = [facts.path for facts in (*lit, *dark)]
        profile = _write(done, output, report, overwrite, originals)
        _say(speaker, profile, done, targets)


def _parse_crop(text: str) -> Crop:
    try:
        top, left, height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(f"'{text}' is not a crop", hint="TOP,LEFT,HEIGHT,WIDTH in pixels") from None
    return top, left, height, width


def _find(given: list[str]) -> list[Path]:
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
            raise ConfigurationError(
                f"no file matches '{text}'", hint="a file, a folder, or a pattern in quotes"
            )
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


def _say(speaker: Speaker, profile: SensorProfile, done: Calibration, targets: list[Path]) -> None:
    """One record, or a short table: the figures, the verdicts, the files."""
    lines = [f"{'ISO':>8} {'K [DN/e-]':>20} {'read noise [DN]':>20} {'row noise [DN]':>20}"]
    for entry in profile.iso:
        figures = (entry.gain_dn_per_e, entry.read_noise_dn, entry.row_noise_dn)
        cells = ["" if f is None else f"{f.value:.5g} ± {f.se:.2g}" for f in figures]
        lines.append(f"{entry.iso:>8g} {cells[0]:>20} {cells[1]:>20} {cells[2]:>20}")
    lines += [f"{_MARKS[v.grade]} {v.subject}: {v.text}" for v in done.verdicts]
    lines += [f"wrote {target}" for target in targets]
    record = {
        "event": "calibrated",
        "iso": [{"iso": entry.iso, "gain_dn_per_e": entry.gain_dn_per_e.to_json()} for entry in profile.iso],
        "verdicts": [{"subject": v.subject, "grade": v.grade, "text": v.text} for v in done.verdicts],
        "outputs": [str(target) for target in targets],
    }
    speaker.result(record, "\n".join(lines))


def _check(speaker: Speaker, check: str, facts: list[FrameFacts]) -> None:
    """Judge a profile, or the files' NoiseProfile tags; exit code 4 where it does not hold."""
    from rawdiff.pipeline.calibration_check import check_noise_model

    if not facts:
        raise ConfigurationError("no frames to judge by", hint="rawdiff calibrate --check PROFILE FRAMES...")
    profile = None if check == "tag" else Path(check)
    judged = check_noise_model(profile, facts)
    wrong = [one for one in judged if one.grade == "poor"]
    record = {
        "event": "checked",
        "good": not wrong,
        "verdicts": [{"subject": v.subject, "grade": v.grade, "text": v.text} for v in judged],
    }
    speaker.result(record, "\n".join(f"{_MARKS[v.grade]} {v.subject}: {v.text}" for v in judged))
    if wrong:
        raise CalibrationFramesError(f"the noise model fails {len(wrong)} of {len(judged)} checks")
