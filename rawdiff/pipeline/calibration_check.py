"""Does a profile, or the files' own NoiseProfile, explain given frames?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rawdiff_calibration.dark_fitness import judge_darks
from rawdiff_calibration.errors import CalibrationError
from rawdiff_calibration.fitness import judge_frame, judge_pairs
from rawdiff_calibration.noise import NoiseModel
from rawdiff_calibration.profile import SensorProfile
from rawdiff_calibration.profile_json import load_profile

from rawdiff.errors import CalibrationFramesError, ConfigurationError
from rawdiff.pipeline.calibration_frames import (
    CalibrationFrame,
    FrameFacts,
    group_by_iso,
    pair_by_exposure,
    read_frame,
    read_noise_profile,
)
from rawdiff.pipeline.calibration_verdicts import Verdict

_DARK_SPREADS = 3.0
_LIKE = 0.05


def check_noise_model(profile_path: Path | None, frames: Sequence[FrameFacts]) -> list[Verdict]:
    """Judge a profile (None: the files' NoiseProfile tags) by frames, an ISO at a time.

    Frames whose mean lies at the black level are darks; like frames of one exposure are judged in pairs
    (still bursts, flats), others one by one in their smooth places.

    Raises:
        ConfigurationError: the profile cannot be read.
        CalibrationFramesError: a file has no tag, or nothing can be judged by the frames.
    """
    profile = None if profile_path is None else _load(profile_path)
    verdicts: list[Verdict] = []
    for iso, group in group_by_iso(frames).items():
        loaded = [read_frame(facts) for facts in group]
        model = _model(profile, loaded[0])
        dark = [frame for frame in loaded if _is_dark(frame, model)]
        if len(dark) >= 3:
            found = judge_darks(model, [frame.mosaic_dn for frame in dark], dark[0].phase)
            verdicts.append(
                Verdict(f"{len(dark)} darks at ISO {iso:g}", "good" if found.good else "poor", found.verdict)
            )
        verdicts += _judge_lit(model, [frame for frame in loaded if frame not in dark], iso)
    if not verdicts:
        raise CalibrationFramesError(
            "nothing can be judged by these frames", hint="give flats, a still burst, or 3 darks"
        )
    return verdicts


def _judge_lit(model: NoiseModel, frames: list[CalibrationFrame], iso: float) -> list[Verdict]:
    by_path = {frame.facts.path: frame for frame in frames}
    pairs, alone = pair_by_exposure([frame.facts for frame in frames])
    verdicts = []
    like = []
    for first, second in pairs:
        one, two = by_path[first.path], by_path[second.path]
        if are_alike(one, two):
            like.append((one, two))
        else:
            alone += [first, second]
    if like:
        frame = like[0][0]
        mosaics = [(one.mosaic_dn, two.mosaic_dn) for one, two in like]
        found = judge_pairs(model, mosaics, frame.phase, _dark_level(frame, model), _white(frame))
        verdicts.append(
            Verdict(f"{len(like)} pairs at ISO {iso:g}", "good" if found.good else "poor", found.verdict)
        )
    for facts in alone:
        frame = by_path[facts.path]
        try:
            found = judge_frame(model, frame.mosaic_dn, frame.phase, _dark_level(frame, model), _white(frame))
        except ValueError as problem:
            verdicts.append(Verdict(facts.path.name, "note", str(problem)))
            continue
        verdicts.append(Verdict(facts.path.name, "good" if found.good else "poor", found.verdict))
    return verdicts


def _load(path: Path) -> SensorProfile:
    try:
        return load_profile(path)
    except CalibrationError as error:
        raise ConfigurationError(error.what, where=error.where, hint=error.hint) from None


def _model(profile: SensorProfile | None, frame: CalibrationFrame) -> NoiseModel:
    if profile is not None:
        return profile.noise_model(float(frame.facts.iso or 0.0), frame.white_dn)
    pairs = read_noise_profile(frame.facts)
    span = _white(frame) - float(np.mean(black_of(frame)))
    try:
        return NoiseModel.from_dng(pairs, (span, span, span))
    except ValueError as error:
        raise CalibrationFramesError(f"its NoiseProfile cannot be: {error}", where=frame.facts.path) from None


def _is_dark(frame: CalibrationFrame, model: NoiseModel) -> bool:
    above = frame.mosaic_dn - np.float32(np.mean(black_of(frame)))
    return (
        float(np.percentile(above, 99)) < _DARK_SPREADS * float(np.sqrt(max(model.floor_variance_dn2()))) + 2
    )


def are_alike(one: CalibrationFrame, two: CalibrationFrame) -> bool:
    """True where two frames show one still scene: their small versions agree within a few percent."""
    cells = []
    for frame in (one, two):
        height, width = (extent // 32 * 32 for extent in frame.mosaic_dn.shape)
        small = frame.mosaic_dn[:height, :width].reshape(height // 32, 32, width // 32, 32).mean(axis=(1, 3))
        cells.append(small - np.mean(black_of(frame)))
    return bool(np.median(np.abs(cells[0] - cells[1])) < _LIKE * np.median(np.abs(cells[0])))


def black_of(frame: CalibrationFrame) -> tuple[float, ...]:
    """Black level of each plane [DN].

    Raises:
        CalibrationFramesError: the file states none.
    """
    if frame.black_dn is None:
        raise CalibrationFramesError(
            "the file states no black level", where=frame.facts.path, hint="add `black` to its TOML"
        )
    return frame.black_dn if frame.phase else frame.black_dn[:1]


def _dark_level(frame: CalibrationFrame, model: NoiseModel) -> list[float]:
    """Black level of each plane with the offset that the model knows of."""
    return [level + bias for level, bias in zip(black_of(frame), model.bias_dn, strict=False)]


def _white(frame: CalibrationFrame) -> float:
    return float(np.inf) if frame.white_dn is None else frame.white_dn
