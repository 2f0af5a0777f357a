"""What a calibration knows of single pixels, taken to a frame: dark shading, colour bias, defects.

A map belongs to one body at one size. Where it does not fit the frame it is left aside, and the record
says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rawdiff_calibration.laws import Step
from rawdiff_calibration.profile import SensorProfile
from rawdiff_calibration.shading import weigh_shading

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.noise_model import ChosenNoise
from rawdiff.raw.frame import RawFrame, plane_sites

_SHADING, _RATE = "dark_shading_dn_iso_", "dark_rate_dn_per_s_iso_"
_SAME_BLACK_DN = 0.5


@dataclass(frozen=True)
class Applied:
    """What of a profile's maps was applied, for provenance."""

    dark_shading: str = "none"
    defects: int = 0
    bias_dn: tuple[float, ...] = ()


def apply_profile_maps(frame: RawFrame, chosen: ChosenNoise) -> tuple[RawFrame, Applied]:
    """Subtract dark shading and colour bias, and mark the defects that the profile knows.

    Args:
        frame: as read.
        chosen: its noise; profiles of the user bring maps, other origins none.

    Raises:
        ConfigurationError: the profile's maps are damaged or belong to another profile.
    """
    if chosen.profile is None or chosen.profile_path is None:
        return frame, Applied()
    arrays = load_maps(chosen.profile, chosen.profile_path)
    frame, bias = _subtract_bias(frame, chosen)
    frame, shading = _subtract_shading(frame, arrays, chosen.profile.steps)
    frame, defects = _mark_defects(frame, arrays)
    return frame, Applied(shading, defects, bias)


def load_maps(profile: SensorProfile, path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays beside a profile; none where it has none.

    Raises:
        ConfigurationError: the file is missing, damaged, or not the one that the profile names.
    """
    name = profile.maps.get("file")
    if not name:
        return {}
    beside = path.with_name(Path(str(name)).name)
    try:
        stored = beside.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the profile's maps cannot be read: {error.strerror}",
            where=beside,
            hint="keep it beside the profile",
        ) from error
    if hashlib.sha256(stored).hexdigest() != profile.maps.get("sha256"):
        raise ConfigurationError(
            "these are not the maps of this profile", where=beside, hint="calibrate again"
        )
    with np.load(beside, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def _subtract_bias(frame: RawFrame, chosen: ChosenNoise) -> tuple[RawFrame, tuple[float, ...]]:
    """The offsets beyond the black level hold where file and profile mean the same black level."""
    assert chosen.profile is not None
    black, _ = frame.levels.per_plane(frame.phase)
    apart = np.abs(black - np.asarray(chosen.profile.levels.black_dn, dtype=float))
    bias = chosen.model.bias_dn
    if not any(bias) or float(apart.max()) > _SAME_BLACK_DN:
        return frame, ()
    mosaic = frame.mosaic_dn.copy()
    for value, (row, column) in zip(bias, plane_sites(frame.phase), strict=True):
        mosaic[row::2, column::2] -= np.float32(value)
    return replace(frame, mosaic_dn=mosaic), bias


def _subtract_shading(
    frame: RawFrame, arrays: dict[str, NDArray[Any]], steps: Sequence[Step]
) -> tuple[RawFrame, str]:
    """Take the dark pattern off, between measured ISOs as the line through the neighbours tells it."""
    iso, time = frame.tags.exposure.iso, frame.tags.exposure.time_s
    known = {float(key.removeprefix(_SHADING)): key for key in arrays if key.startswith(_SHADING)}
    if not known or not iso:
        return frame, "none"
    weights = weigh_shading(iso, known, steps)
    if not weights:
        return frame, f"none: ISO {iso:g} is far from those measured"
    shading = np.zeros(frame.shape, np.float32)
    for measured, weight in weights.items():
        own = arrays[known[measured]].astype(np.float32)
        if own.shape != frame.shape:
            return frame, "none: measured at another size"
        rate = arrays.get(f"{_RATE}{measured:g}")
        if rate is not None and time:
            own += rate.astype(np.float32) * np.float32(time)
        shading += np.float32(weight) * own
    return replace(frame, mosaic_dn=frame.mosaic_dn - shading), _told(list(weights))


def _told(isos: list[float]) -> str:
    if len(isos) == 1:
        return f"of ISO {isos[0]:g}"
    return f"between ISO {isos[0]:g} and {isos[1]:g}"


def _mark_defects(frame: RawFrame, arrays: dict[str, NDArray[Any]]) -> tuple[RawFrame, int]:
    codes = arrays.get("defects")
    if codes is None or codes.shape != frame.shape:
        return frame, 0
    bad = codes != 0
    both = bad if frame.defects is None else bad | frame.defects
    return replace(frame, defects=both), int(bad.sum())
