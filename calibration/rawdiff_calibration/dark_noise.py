"""Noise in the dark: of the pixels, its tails, of rows and columns, and the pattern that is no noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.dark import ExposureGroup
from rawdiff_calibration.dark_levels import all_or_none, fit_rate
from rawdiff_calibration.dark_lines import LineNoise, measure_lines, temporal_offsets
from rawdiff_calibration.dark_set import DarkSet
from rawdiff_calibration.errors import CalibrationError
from rawdiff_calibration.fixed_pattern import FixedPattern, smooth_part, split_common
from rawdiff_calibration.measure import Measured, combine
from rawdiff_calibration.mosaic import color_planes
from rawdiff_calibration.rounding import HIDDEN, doubt_rounded, remove_rounding
from rawdiff_calibration.tail import TailFit, fit_tail

_Planes = list[Measured]


def measure_variances(chosen: DarkSet) -> list[_Planes]:
    """Pixel-wise temporal variance of each plane, in each group of at least two frames [DN^2]."""
    return [_pixel_variances(chosen, group) for group in chosen.noisy]


def _pixel_variances(chosen: DarkSet, group: ExposureGroup) -> _Planes:
    """Temporal variance of each plane without the part that rows, columns and frames share."""
    deviations = group.deviations()
    freedom = group.count - 1
    found = []
    for plane, place in enumerate(chosen.darks.slices):
        rows = np.stack([frame.rows[plane] for frame in group.frames])
        columns = np.stack([frame.columns[plane] for frame in group.frames])
        levels = rows.mean(axis=1)
        shared = float(((levels - levels.mean()) ** 2).sum())
        shared += sum(float((temporal_offsets(lines) ** 2).mean(axis=1).sum()) for lines in (rows, columns))
        good = deviations[place][chosen.good[plane]]
        height, width = rows.shape[1], columns.shape[1]
        lost = (1 - 1 / height) * (1 - 1 / width)
        mean, spread = float(good.mean(dtype=np.float64)), float(good.std(dtype=np.float64))
        found.append(Measured((mean - shared) / freedom / lost, spread / freedom / float(np.sqrt(good.size))))
    return found


def fit_read_noise(
    chosen: DarkSet, variances: list[_Planes], level_spread_dn: float
) -> tuple[tuple[Measured, ...], tuple[Measured, ...] | None]:
    """Read noise of each colour at no exposure [DN], and how its variance grows [DN^2/s].

    `level_spread_dn` is the spread of the pixels' levels, which tells how far rounding can be seen through.
    """
    step = chosen.darks.step_dn
    noises, growths = [], []
    for planes in color_planes(chosen.darks.phase):
        figures = [combine([group[plane] for plane in planes]) for group in variances]
        level, growth = fit_rate(chosen.noisy_times, figures)
        noises.append(doubt_rounded(remove_rounding(level, step).root(), level_spread_dn, step))
        growths.append(growth)
    return tuple(noises), all_or_none(growths)


def fit_tails(chosen: DarkSet, spread_dn: float) -> tuple[tuple[TailFit, ...], list[str]]:
    """Tukey-lambda law of each colour from the shortest exposure, or a note why there is none."""
    darks, group = chosen.darks, chosen.groups[0]
    if group.count < 3:
        return (), ["fewer than 3 darks of the shortest exposure: no law of the tails"]
    if spread_dn < HIDDEN * darks.step_dn:
        return (), [f"the read noise of {spread_dn:.2f} DN hides in the rounding: no law of the tails"]
    tails = []
    try:
        for planes in color_planes(darks.phase):
            residuals, borrowed = _color_residuals(chosen, planes)
            tails.append(fit_tail(residuals, frames=group.count, step=darks.step_dn, borrowed=borrowed))
    except CalibrationError as problem:
        return (), [f"no law of the tails: {problem}"]
    return tuple(tails), []


def _color_residuals(chosen: DarkSet, planes: tuple[int, ...]) -> tuple[NDArray[np.float64], float]:
    """Sampled residuals of a colour, and the foreign noise that its line means put into them."""
    down, across = chosen.darks.sample_steps
    residuals, own = [], 0.0
    for plane in planes:
        height, width = chosen.good[plane].shape
        # A line's mean holds 1/width or 1/height of each of its pixels: the rest of it is foreign noise.
        own = 1 / width + 1 / height
        kept = chosen.good[plane][::down, ::across].ravel()
        residuals.append(_residuals(chosen.groups[0], plane, down, across)[:, kept] / (1 - own))
    return np.concatenate(residuals, axis=1), own / (1 - own)


def _residuals(group: ExposureGroup, plane: int, down: int, across: int) -> NDArray[np.float64]:
    """Sampled values `[frames, pixels]` minus the mean of the other frames, without line offsets."""
    values = []
    for frame in group.frames:
        rows, columns = frame.rows[plane], frame.columns[plane]
        lines = rows[::down, None] + (columns - columns.mean())[None, ::across]
        values.append((frame.sample[plane] - lines).ravel())
    stack = np.stack(values)
    return np.asarray((stack - stack.mean(axis=0)) * (group.count / (group.count - 1)))


def measure_line_noise(chosen: DarkSet, variances: list[_Planes], axis: int) -> LineNoise:
    """Row (axis 0) or column (axis 1) noise of the mosaic: planes that share a line are joined."""
    darks = chosen.darks
    joined, pixel = [], []
    for group, figures in zip(chosen.noisy, variances, strict=True):
        sums = np.zeros((group.count, darks.shape[axis]))
        shares = np.zeros(darks.shape[axis])
        for plane, place in enumerate(darks.slices):
            lines = np.stack([(frame.rows if axis == 0 else frame.columns)[plane] for frame in group.frames])
            sums[:, place[axis]] += lines
            shares[place[axis]] += 1
        joined.append(sums / shares)
        pixel.append(float(np.mean([figure.value for figure in figures])) / darks.shape[1 - axis])
    return measure_lines(joined, pixel)


def split_pattern(chosen: DarkSet) -> FixedPattern:
    """Fixed pattern of the darks, from the shortest exposure that has two frames [DN]."""
    halves = []
    for half in (0, 1):
        mean = chosen.noisy[0].half_mean(half)
        planes = [np.ascontiguousarray(mean[place]) for place in chosen.darks.slices]
        halves.append(
            [plane - smooth_part(plane, kept) for plane, kept in zip(planes, chosen.good, strict=True)]
        )
    return split_common(halves[0], halves[1], chosen.good)
