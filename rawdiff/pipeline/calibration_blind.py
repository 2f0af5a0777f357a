"""Noise without flats or darks: out of ordinary photographs, or better a burst, with a confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rawdiff_calibration.blind import BlindEstimate, estimate_noise, estimate_noise_burst
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.mosaic import plane_slices
from rawdiff_calibration.profile import IsoFigures, ProfileCamera, ProfileLevels, SensorProfile

from rawdiff.errors import CalibrationFramesError
from rawdiff.pipeline.calibration_check import are_alike, black_of
from rawdiff.pipeline.calibration_frames import (
    CalibrationFrame,
    FrameFacts,
    group_by_iso,
    hash_frames,
    pair_by_exposure,
    read_frame,
)

_MOST_PAIRS = 3


@dataclass(frozen=True)
class IsoEstimate:
    """The noise of one ISO as photographs show it, and of which frames."""

    iso: float
    frames: tuple[str, ...]
    found: BlindEstimate


def estimate_frames(frames: Sequence[FrameFacts]) -> list[IsoEstimate]:
    """Estimate the noise at each ISO: from pairs of like frames where there are some, else frame by frame.

    Of single frames the most confident one speaks for its ISO.

    Raises:
        CalibrationFramesError: a file states no black or white level.
        InputError: a file cannot be read.
    """
    return [_estimate_iso(iso, group) for iso, group in group_by_iso(frames).items()]


def to_profile(estimates: Sequence[IsoEstimate], frames: Sequence[FrameFacts]) -> SensorProfile:
    """The estimates as a profile, their confidence with them.

    Raises:
        CalibrationFramesError: nothing was found at any ISO.
    """
    known = [one for one in estimates if one.found.confidence > 0]
    if not known:
        raise CalibrationFramesError(
            "no noise was found in these photographs",
            hint="give frames with smooth places, several of one still scene, or flats and darks",
        )
    entries = tuple(
        IsoFigures(
            one.iso,
            one.found.gain_dn_per_e,
            one.found.read_noise_dn,
            other={"confidence": Measured(one.found.confidence, 0.0)},
        )
        for one in known
    )
    camera = frames[0].camera
    names = (camera.unique,) if camera.unique else ()
    white = read_frame(frames[0]).white_dn
    remarks = [f"ISO {one.iso:g}: {remark}" for one in known for remark in one.found.remarks]
    return SensorProfile.assemble(
        ProfileCamera(camera.make, camera.model, names),
        ProfileLevels(None, None if white is None else Measured(white, 0.0)),
        entries,
        provenance={"method": "blind estimate", "remarks": remarks, "files": hash_frames(frames)},
        quantisation_dn=known[0].found.model.quantisation_dn,
    )


def _estimate_iso(iso: float, group: Sequence[FrameFacts]) -> IsoEstimate:
    stills = _still_pairs(group)
    if stills:
        planes = [_planes(frame) for pair in stills for frame in pair]
        black, white = _levels(stills[0][0])
        found = estimate_noise_burst(planes, black, white)
        return IsoEstimate(iso, tuple(f.facts.path.name for pair in stills for f in pair), found)
    best: IsoEstimate | None = None
    for facts in group:
        frame = read_frame(facts)
        found = estimate_noise(_planes(frame), *_levels(frame))
        if best is None or found.confidence > best.found.confidence:
            best = IsoEstimate(iso, (facts.path.name,), found)
    assert best is not None
    return best


def _still_pairs(group: Sequence[FrameFacts]) -> list[tuple[CalibrationFrame, CalibrationFrame]]:
    """Pairs of one exposure that show one still scene, as many as are of use."""
    found: list[tuple[CalibrationFrame, CalibrationFrame]] = []
    for first, second in pair_by_exposure(group)[0]:
        if len(found) == _MOST_PAIRS:
            break
        pair = read_frame(first), read_frame(second)
        if are_alike(*pair):
            found.append(pair)
    return found


def _planes(frame: CalibrationFrame) -> NDArray[np.float32]:
    height, width = (extent // 2 * 2 for extent in frame.mosaic_dn.shape)
    mosaic = frame.mosaic_dn[:height, :width]
    return np.stack([mosaic[place] for place in plane_slices(frame.phase)])


def _levels(frame: CalibrationFrame) -> tuple[list[float], list[float]]:
    black = list(black_of(frame))
    if frame.white_dn is None:
        raise CalibrationFramesError(
            "the file states no white level", where=frame.facts.path, hint="add `white` to its TOML"
        )
    return black, [frame.white_dn] * len(black)
