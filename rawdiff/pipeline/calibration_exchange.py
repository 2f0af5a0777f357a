"""Profiles from and for other programs: darktable's noiseprofiles.json, DNG NoiseProfile tags, tables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rawdiff_calibration.errors import CalibrationError
from rawdiff_calibration.exchange import from_darktable, from_noise_profiles, to_darktable
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.noise import ThreeColors
from rawdiff_calibration.profile import ProfileCamera, ProfileLevels, SensorProfile
from rawdiff_calibration.published_table import from_table

from rawdiff.errors import CalibrationFramesError, ConfigurationError, InputError
from rawdiff.pipeline.calibration_frames import (
    FrameFacts,
    group_by_iso,
    read_frame,
    read_noise_profile,
)
from rawdiff.raw.ingest import hash_file

_SAME_TAG = 0.01


@dataclass(frozen=True)
class RawLevels:
    """Black and white level of a camera's raw files [DN]: what scaled figures are scaled by."""

    black_dn: float
    white_dn: float

    def range_dn(self) -> ThreeColors:
        """White minus black of R, G, B."""
        span = self.white_dn - self.black_dn
        return span, span, span


def find_darktable_table() -> Path:
    """The noiseprofiles.json of the darktable that is installed here.

    Raises:
        ConfigurationError: there is none.
    """
    program = shutil.which("darktable") or shutil.which("darktable-cli")
    prefixes = [Path(program).resolve().parent.parent] if program else []
    prefixes += [Path("/usr"), Path("/usr/local"), Path("/opt/darktable"), Path("/opt/homebrew")]
    places = [prefix / "share" / "darktable" / "noiseprofiles.json" for prefix in prefixes]
    places.append(Path("/Applications/darktable.app/Contents/Resources/share/darktable/noiseprofiles.json"))
    base = os.environ.get("PROGRAMFILES")
    places += [Path(base) / "darktable" / "share" / "darktable" / "noiseprofiles.json"] if base else []
    for place in places:
        if place.is_file():
            return place
    raise ConfigurationError("no darktable is installed here", hint="--import PATH/noiseprofiles.json")


def read_levels(facts: FrameFacts) -> RawLevels:
    """Black and white level that a raw states.

    Raises:
        CalibrationFramesError: it does not state both.
        InputError: it cannot be read.
    """
    frame = read_frame(facts)
    if frame.black_dn is None or frame.white_dn is None:
        raise CalibrationFramesError(
            "the file states no black or white level", where=facts.path, hint="give --levels BLACK,WHITE"
        )
    return RawLevels(float(np.mean(frame.black_dn)), frame.white_dn)


def import_darktable(table: Path, make: str, model: str, levels: RawLevels) -> SensorProfile:
    """A profile from darktable's table.

    Raises:
        ConfigurationError: not such a table, or the camera is not in it.
    """
    with _as_configuration_error(table):
        profile = from_darktable(_read_text(table), make, model, levels.range_dn())
    return _signed(profile, levels, [table])


def import_table(table: Path, make: str | None, model: str | None) -> SensorProfile:
    """A profile from a table of published figures.

    Raises:
        ConfigurationError: not such a table.
    """
    with _as_configuration_error(table):
        profile = from_table(_read_text(table), make, model)
    return _signed(profile, None, [table])


def import_tags(frames: Sequence[FrameFacts]) -> SensorProfile:
    """A profile from the NoiseProfile tags of raw files of one camera, one entry an ISO.

    Raises:
        CalibrationFramesError: a file has no tag, or files of one ISO differ in it.
    """
    first = frames[0]
    levels = read_levels(first)
    tags = {}
    for iso, group in group_by_iso(frames).items():
        tags[iso] = read_noise_profile(group[0])
        for facts in group[1:]:
            pairs = read_noise_profile(facts)
            if len(pairs) != len(tags[iso]) or not np.allclose(pairs, tags[iso], rtol=_SAME_TAG):
                raise CalibrationFramesError(
                    f"its NoiseProfile is not that of {group[0].path.name}, of the same ISO {iso:g}",
                    where=facts.path,
                    hint="give files without digital gain, one an ISO is enough",
                )
    camera = ProfileCamera(
        first.camera.make, first.camera.model, (first.camera.unique,) if first.camera.unique else ()
    )
    try:
        profile = from_noise_profiles(tags, camera, levels.range_dn())
    except CalibrationError as error:
        raise CalibrationFramesError(error.what, where=error.where, hint=error.hint) from None
    return _signed(profile, levels, [facts.path for facts in frames])


def export_darktable(profile: SensorProfile, levels: RawLevels | None) -> str:
    """The profile as a noiseprofiles.json that `darktable --noiseprofiles FILE` reads.

    Raises:
        ConfigurationError: neither the profile nor `levels` says black and white.
    """
    return to_darktable(profile, (levels or levels_of(profile)).range_dn())


def levels_of(profile: SensorProfile) -> RawLevels:
    """Black and white level of a profile's own.

    Raises:
        ConfigurationError: it holds none.
    """
    black, white = profile.levels.black_dn, profile.levels.white_dn
    if black is None or white is None:
        raise ConfigurationError(
            "the profile holds no black or white level", hint="give --levels BLACK,WHITE"
        )
    return RawLevels(float(np.mean([level.value for level in black])), white.value)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise InputError(f"cannot be read: {reason}", where=path) from None


def _signed(profile: SensorProfile, levels: RawLevels | None, sources: Sequence[Path]) -> SensorProfile:
    """The profile with its levels, and the files that it came from."""
    files = [{"file": path.name, "sha256": hash_file(path)} for path in sources]
    if levels is not None:
        black = Measured(levels.black_dn, 0.0)
        known = ProfileLevels((black, black, black, black), Measured(levels.white_dn, 0.0))
        profile = replace(profile, levels=known)
    return replace(profile, provenance={**profile.provenance, "files": files})


@contextmanager
def _as_configuration_error(where: Path) -> Iterator[None]:
    try:
        yield
    except CalibrationError as error:
        place = f"{where.name}, {error.where}" if error.where else where
        raise ConfigurationError(error.what, where=place, hint=error.hint) from None
