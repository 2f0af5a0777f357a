"""The other tasks of `rawdiff calibrate`: blind estimates, profiles from and for other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rawdiff.cli.calibrate_text import describe_import, with_error
from rawdiff.cli.console import Speaker
from rawdiff.errors import ConfigurationError
from rawdiff.raw.atomic import write_whole

if TYPE_CHECKING:
    from rawdiff_calibration.profile import SensorProfile

    from rawdiff.pipeline.calibration_exchange import RawLevels
    from rawdiff.pipeline.calibration_frames import FrameFacts

Examine = Callable[[list[str] | None], "list[FrameFacts]"]

_DEMOSAICED = (
    "darktable fits demosaiced, smoothed data: its gains are often several times too low for the raw; "
    "judge it by frames of your own (--check)"
)
_BLIND = "a blind estimate: texture may count as noise, and row noise, tails and patterns are not seen"


@dataclass(frozen=True)
class ExchangeOptions:
    """Where to, and what the files do not say themselves."""

    output: Path | None
    levels: str | None
    make: str | None
    model: str | None
    overwrite: bool


def run_blind(speaker: Speaker, frames: list[FrameFacts], options: ExchangeOptions) -> None:
    """Estimate and tell; with -o also write the estimates as a profile."""
    from rawdiff.pipeline.calibration_blind import estimate_frames, to_profile

    if not frames:
        raise ConfigurationError(
            "no frames to estimate from", hint="rawdiff calibrate --blind burst/*.dng [-o PROFILE.json]"
        )
    estimates = estimate_frames(frames)
    lines, records = [], []
    for one in estimates:
        found, names = one.found, ", ".join(one.frames)
        lines.append(f"ISO {one.iso:g}, from {names}: confidence {found.confidence:.2f}")
        lines.append(f"    system gain K  {with_error(found.gain_dn_per_e)} DN/e-")
        lines.append(f"    read noise     {with_error(found.read_noise_dn)} DN")
        lines += [f"    ! {remark}" for remark in found.remarks]
        records.append(
            {
                "iso": one.iso,
                "frames": one.frames,
                "confidence": found.confidence,
                "gain_dn_per_e": found.gain_dn_per_e.to_json(),
                "read_noise_dn": found.read_noise_dn.to_json(),
                "remarks": found.remarks,
            }
        )
    if options.output is not None:
        profile = _named(to_profile(estimates, frames), options)
        _write_profile(profile, options, [facts.path for facts in frames])
        lines += [f"! {_BLIND}", f"wrote {options.output}"]
    speaker.result({"event": "estimated", "iso": records}, "\n".join(lines))


def run_import(
    speaker: Speaker, given: Sequence[str], frames: list[str], examine: Examine, options: ExchangeOptions
) -> None:
    """Make a profile of another program's figures."""
    from rawdiff.pipeline import calibration_exchange as exchange

    if options.output is None:
        raise ConfigurationError("no profile to write", hint="-o PROFILE.json")
    source = Path(given[0])
    kind = "darktable" if given[0] == "darktable" else source.suffix.lower()
    warnings: tuple[str, ...] = ()
    if kind in ("darktable", ".json", ".csv") and len(given) > 1:
        raise ConfigurationError("one table at a time", hint="--import TABLE -o PROFILE.json")
    if kind in (".json", ".csv") and not source.is_file():
        raise ConfigurationError("there is no such file", where=source)
    if kind == ".csv":
        profile = exchange.import_table(source, options.make, options.model)
    elif kind in ("darktable", ".json"):
        profile = _import_darktable(None if kind == "darktable" else source, examine(frames), options)
        warnings = (_DEMOSAICED,)
    else:
        profile = exchange.import_tags(examine([*given, *frames]))
    profile = _named(profile, options)
    _write_profile(profile, options, [source])
    speaker.result(*describe_import(profile, options.output, warnings))


def _import_darktable(
    table: Path | None, frames: list[FrameFacts], options: ExchangeOptions
) -> SensorProfile:
    """From a raw of the camera, which says its name and levels, or from what the user says.

    What is asked for is judged before the installed table is looked for, where none is given.
    """
    from rawdiff.pipeline import calibration_exchange as exchange

    levels = _parse_levels(options.levels)
    if levels is None and frames:
        levels = exchange.read_levels(frames[0])
    make = options.make or (frames[0].camera.make if frames else "")
    model = options.model or (frames[0].camera.model if frames else "")
    if levels is None or not make or not model:
        raise ConfigurationError(
            "which camera is meant, and what are its raw levels?",
            hint="add a raw of it, or --make, --model and --levels BLACK,WHITE",
        )
    return exchange.import_darktable(table or exchange.find_darktable_table(), make, model, levels)


def run_export(
    speaker: Speaker, target: str, frames: list[str], examine: Examine, options: ExchangeOptions
) -> None:
    """Write a profile for another program."""
    from rawdiff_calibration.errors import CalibrationError
    from rawdiff_calibration.profile_json import load_profile

    usages = {
        "darktable": "darktable PROFILE.json -o noiseprofiles.json",
        "dng": "dng PROFILE.json *.dng -o DIR",
    }
    if target not in usages:
        raise ConfigurationError(f"'{target}' is no format to export to", hint=" or ".join(usages))
    if not frames or options.output is None:
        raise ConfigurationError(
            "no profile to export" if not frames else "nowhere to write to",
            hint=f"rawdiff calibrate --export {usages[target]}",
        )
    try:
        profile = load_profile(Path(frames[0]))
    except CalibrationError as error:
        raise ConfigurationError(error.what, where=error.where, hint=error.hint) from None
    if target == "dng":
        written = _export_tags(profile, examine(frames[1:]), options.output, options.overwrite)
    else:
        written = [_export_darktable(profile, options)]
    text = "\n".join(f"wrote {path}" for path in written)
    speaker.result({"event": "exported", "format": target, "outputs": [str(p) for p in written]}, text)


def _export_darktable(profile: SensorProfile, options: ExchangeOptions) -> Path:
    from rawdiff.pipeline.calibration_exchange import export_darktable

    assert options.output is not None
    text = export_darktable(profile, _parse_levels(options.levels))
    with write_whole(options.output, options.overwrite) as part:
        part.write_text(text, encoding="utf-8")
    return options.output


def _export_tags(
    profile: SensorProfile, frames: list[FrameFacts], folder: Path, overwrite: bool
) -> list[Path]:
    """Copies of DNGs with the profile's NoiseProfile in them."""
    from rawdiff.pipeline.calibration_tags import noise_profile_of, write_tagged

    if not frames:
        raise ConfigurationError(
            "no DNG to write the NoiseProfile into", hint="name them after the profile: PROFILE.json *.dng"
        )
    written = []
    for facts in frames:
        target = folder / facts.path.name
        with write_whole(target, overwrite, [one.path for one in frames]) as part:
            write_tagged(facts.path, part, noise_profile_of(profile, facts))
        written.append(target)
    return written


def _parse_levels(text: str | None) -> RawLevels | None:
    from rawdiff.pipeline.calibration_exchange import RawLevels

    if text is None:
        return None
    try:
        black, white = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(f"'{text}' are no levels", hint="--levels BLACK,WHITE in DN") from None
    if not white > black:
        raise ConfigurationError(f"white {white:g} is not above black {black:g}", hint="--levels BLACK,WHITE")
    return RawLevels(black, white)


def _named(profile: SensorProfile, options: ExchangeOptions) -> SensorProfile:
    camera = profile.camera
    return replace(
        profile,
        camera=replace(camera, make=options.make or camera.make, model=options.model or camera.model),
    )


def _write_profile(profile: SensorProfile, options: ExchangeOptions, originals: Sequence[Path]) -> None:
    from rawdiff_calibration.profile_json import profile_to_json

    assert options.output is not None
    with write_whole(options.output, options.overwrite, originals) as part:
        part.write_text(profile_to_json(profile), encoding="utf-8")
