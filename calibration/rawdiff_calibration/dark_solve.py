"""From gathered darks to the sensor's figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.dark import DarkAccumulator, ExposureGroup
from rawdiff_calibration.dark_checks import (
    note_few_frames,
    note_interference,
    require_darkness,
    require_like_frames,
)
from rawdiff_calibration.dark_levels import fit_rate, level_errors
from rawdiff_calibration.dark_lines import LineNoise, measure_lines, temporal_offsets
from rawdiff_calibration.dark_result import DarkResult
from rawdiff_calibration.defects import GOOD, DefectMap, find_dark_defects
from rawdiff_calibration.errors import CalibrationError, TooFewFramesError
from rawdiff_calibration.fixed_pattern import FixedPattern, smooth_part, split_common
from rawdiff_calibration.measure import Measured, combine
from rawdiff_calibration.mosaic import Mosaic, color_names, color_planes, plane_names
from rawdiff_calibration.refusals import LAGS, require_independent_noise
from rawdiff_calibration.rounding import HIDDEN, doubt_rounded, remove_rounding
from rawdiff_calibration.tail import TailFit, fit_tail

_Planes = list[Measured]
_Good = list[NDArray[np.bool_]]


def solve_darks(darks: DarkAccumulator, defect_map: DefectMap | None = None) -> DarkResult:
    """Measure the sensor in the dark.

    Args:
        darks: the gathered frames of one ISO.
        defect_map: pixels known to be bad; None: those that these darks show.

    Raises:
        TooFewFramesError: no two darks share an exposure time.
        LitFramesError: a frame, or all of them, saw light.
        ProcessedFramesError: the noise of neighbouring pixels is correlated.
    """
    times = sorted(darks.groups)
    groups = [darks.groups[time] for time in times]
    if max((group.count for group in groups), default=0) < 2:
        raise TooFewFramesError(
            f"no two of the {darks.frames} darks share an exposure time: noise cannot be told from pattern",
            hint="shoot at least two, better twenty, of each exposure time",
        )
    correlations = {lag: float(np.mean([found[lag] for found in darks.correlations])) for lag in LAGS}
    require_independent_noise(correlations, darks.shape[0] * darks.shape[1], darks.phase, "darks")
    require_like_frames(groups, len(darks.slices))
    means = [group.mean() for group in groups]
    if defect_map is None:
        defect_map = _find_defects(darks, groups, means)
    good = [np.asarray(defect_map[place] == GOOD) for place in darks.slices]
    noisy = [(time, group) for time, group in zip(times, groups, strict=True) if group.count > 1]
    variances = [_pixel_variances(darks, group, good) for _, group in noisy]
    pattern = _split_pattern(darks, noisy[0][1], good)
    read, growth = _fit_colors([time for time, _ in noisy], variances, darks)
    read = [doubt_rounded(noise, pattern.total.value, darks.step_dn) for noise in read]
    spread = float(np.mean([noise.value for noise in read]))
    notes = require_darkness(darks, times, means, good, spread)
    tails, unfit = _fit_tails(darks, groups[0], good, spread)
    black, current = _fit_black(darks, times, groups, means, good)
    offset_map, rate_map = _shading(times, groups, means)
    return DarkResult(
        planes=plane_names(darks.phase),
        colors=color_names(darks.phase),
        black_dn=tuple(black),
        bias_dn=tuple(_biases(black, groups)),
        read_noise_dn=tuple(read),
        tails=tails,
        rows=_measure_lines(darks, [group for _, group in noisy], variances, axis=0),
        columns=_measure_lines(darks, [group for _, group in noisy], variances, axis=1),
        dark_current_dn_per_s=current,
        dark_variance_dn2_per_s=growth,
        dsnu_dn=pattern,
        offset_map_dn=offset_map + np.float32(darks.pedestal_dn),
        rate_map_dn_per_s=rate_map,
        temporal_variance_dn2=_temporal_variance([group for _, group in noisy]),
        correlations=correlations,
        defect_map=defect_map,
        frames=darks.frames,
        exposures_s=tuple(times),
        notes=(*notes, *unfit, *note_interference(correlations, means[0].size), *note_few_frames(groups)),
    )


def _find_defects(darks: DarkAccumulator, groups: list[ExposureGroup], means: list[Mosaic]) -> DefectMap:
    """Defects that these darks show, from the mean frames and the variance in two halves of the frames."""
    halves: list[Mosaic] = []
    freedoms: list[int] = []
    for half in (0, 1):
        useful = [group for group in groups if group.counts[half] > 1]
        freedom = sum(group.counts[half] - 1 for group in useful)
        if freedom:
            total = sum((group.half_deviations(half) for group in useful), np.zeros(darks.shape, np.float32))
            halves.append(np.asarray(total / np.float32(freedom)))
            freedoms.append(freedom)
    if not halves:
        pairs = [group for group in groups if group.count > 1]
        halves, freedoms = [_temporal_variance(pairs)], [sum(group.count - 1 for group in pairs)]
    return find_dark_defects(means, halves, freedoms, darks.phase, darks.step_dn)


def _temporal_variance(groups: list[ExposureGroup]) -> Mosaic:
    freedom = sum(group.count - 1 for group in groups)
    total = groups[0].deviations()
    for group in groups[1:]:
        total += group.deviations()
    return np.asarray(total / np.float32(freedom))


def _pixel_variances(darks: DarkAccumulator, group: ExposureGroup, good: _Good) -> _Planes:
    """Pixel-wise temporal variance of each plane: without the part that rows, columns and frames share."""
    deviations = group.deviations()
    freedom = group.count - 1
    found = []
    for plane, place in enumerate(darks.slices):
        rows = np.stack([frame.rows[plane] for frame in group.frames])
        columns = np.stack([frame.columns[plane] for frame in group.frames])
        levels = rows.mean(axis=1)
        shared = float(((levels - levels.mean()) ** 2).sum())
        shared += sum(float((temporal_offsets(lines) ** 2).mean(axis=1).sum()) for lines in (rows, columns))
        chosen = deviations[place][good[plane]]
        height, width = rows.shape[1], columns.shape[1]
        lost = (1 - 1 / height) * (1 - 1 / width)
        mean, spread = float(chosen.mean(dtype=np.float64)), float(chosen.std(dtype=np.float64))
        found.append(
            Measured((mean - shared) / freedom / lost, spread / freedom / float(np.sqrt(chosen.size)))
        )
    return found


def _fit_colors(
    times: list[float], variances: list[_Planes], darks: DarkAccumulator
) -> tuple[list[Measured], tuple[Measured, ...] | None]:
    """Read noise of each colour at no exposure, and how its variance grows."""
    noises, growths = [], []
    for planes in color_planes(darks.phase):
        figures = [combine([group[plane] for plane in planes]) for group in variances]
        level, growth = fit_rate(times, figures)
        noises.append(remove_rounding(level, darks.step_dn).root())
        growths.append(growth)
    return noises, _all_or_none(growths)


def _all_or_none(figures: list[Measured | None]) -> tuple[Measured, ...] | None:
    known = tuple(figure for figure in figures if figure is not None)
    return known if len(known) == len(figures) else None


def _fit_black(
    darks: DarkAccumulator,
    times: list[float],
    groups: list[ExposureGroup],
    means: list[Mosaic],
    good: _Good,
) -> tuple[list[Measured], tuple[Measured, ...] | None]:
    """Black level of each plane and growth of each colour's level."""
    blacks: list[Measured] = []
    rates: list[Measured | None] = []
    for plane, place in enumerate(darks.slices):
        errors = level_errors([[frame.level(plane) for frame in group.frames] for group in groups])
        levels = [
            Measured(float(mean[place][good[plane]].mean(dtype=np.float64)), error)
            for mean, error in zip(means, errors, strict=True)
        ]
        black, rate = fit_rate(times, levels)
        blacks.append(Measured(black.value + darks.pedestal_dn, black.se))
        rates.append(rate)
    per_color: list[Measured | None] = []
    for planes in color_planes(darks.phase):
        known = [rate for rate in (rates[plane] for plane in planes) if rate is not None]
        # The drift of a frame's level is common to its planes: their mean is no better known than one.
        mean = sum(rate.value for rate in known) / len(known) if known else 0.0
        per_color.append(Measured(mean, max(rate.se for rate in known)) if known else None)
    return blacks, _all_or_none(per_color)


def _biases(black: list[Measured], groups: list[ExposureGroup]) -> list[Measured]:
    """Offset of each plane from the mean of all; the drift that they share drops out of its error."""
    mean = sum(level.value for level in black) / len(black)
    biases = []
    for plane, level in enumerate(black):
        apart = [
            [
                frame.level(plane) - float(np.mean([frame.level(p) for p in range(len(black))]))
                for frame in g.frames
            ]
            for g in groups
        ]
        errors = [error for error in level_errors(apart) if error > 0]
        weight = sum(1 / error**2 for error in errors)
        biases.append(Measured(level.value - mean, 1 / float(np.sqrt(weight)) if weight else 0.0))
    return biases


def _shading(
    times: list[float], groups: list[ExposureGroup], means: list[Mosaic]
) -> tuple[Mosaic, Mosaic | None]:
    """Per-pixel line over exposure time, least squares with as much weight as frames."""
    counts = np.array([group.count for group in groups], np.float64)
    time = np.array(times)
    shares = counts / counts.sum()
    centre = float(shares @ time)
    average = sum(
        (mean * np.float32(w) for mean, w in zip(means, shares, strict=True)), np.zeros_like(means[0])
    )
    if len(times) == 1:
        return np.asarray(average), None
    lever = shares * (time - centre) / float(shares @ (time - centre) ** 2)
    rate = sum((mean * np.float32(w) for mean, w in zip(means, lever, strict=True)), np.zeros_like(means[0]))
    return np.asarray(average - rate * np.float32(centre)), np.asarray(rate)


def _split_pattern(darks: DarkAccumulator, group: ExposureGroup, good: _Good) -> FixedPattern:
    halves = []
    for half in (0, 1):
        mean = group.half_mean(half)
        planes = [np.ascontiguousarray(mean[place]) for place in darks.slices]
        halves.append([plane - smooth_part(plane, kept) for plane, kept in zip(planes, good, strict=True)])
    return split_common(halves[0], halves[1], good)


def _fit_tails(
    darks: DarkAccumulator, group: ExposureGroup, good: _Good, spread_dn: float
) -> tuple[tuple[TailFit, ...], list[str]]:
    """Tukey-lambda law of each colour from the shortest exposure, or a note why there is none."""
    if group.count < 3:
        return (), ["fewer than 3 darks of the shortest exposure: no law of the tails"]
    if spread_dn < HIDDEN * darks.step_dn:
        return (), [f"the read noise of {spread_dn:.2f} DN hides in the rounding: no law of the tails"]
    tails = []
    try:
        for planes in color_planes(darks.phase):
            residuals, borrowed = _color_residuals(darks, group, good, planes)
            tails.append(fit_tail(residuals, frames=group.count, step=darks.step_dn, borrowed=borrowed))
    except CalibrationError as problem:
        return (), [f"no law of the tails: {problem}"]
    return tuple(tails), []


def _color_residuals(
    darks: DarkAccumulator, group: ExposureGroup, good: _Good, planes: tuple[int, ...]
) -> tuple[NDArray[np.float64], float]:
    """Sampled residuals of a colour, and the foreign noise that its line means put into them."""
    down, across = darks.sample_steps
    residuals, own = [], 0.0
    for plane in planes:
        height, width = good[plane].shape
        # A line's mean holds 1/width or 1/height of each of its pixels: the rest of it is foreign noise.
        own = 1 / width + 1 / height
        kept = good[plane][::down, ::across].ravel()
        residuals.append(_residuals(group, plane, down, across)[:, kept] / (1 - own))
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


def _measure_lines(
    darks: DarkAccumulator, groups: list[ExposureGroup], variances: list[_Planes], axis: int
) -> LineNoise:
    """Row (axis 0) or column (axis 1) noise of the mosaic: planes that share a line are joined."""
    joined, pixel = [], []
    for group, figures in zip(groups, variances, strict=True):
        sums = np.zeros((group.count, darks.shape[axis]))
        shares = np.zeros(darks.shape[axis])
        for plane, place in enumerate(darks.slices):
            lines = np.stack([(frame.rows if axis == 0 else frame.columns)[plane] for frame in group.frames])
            sums[:, place[axis]] += lines
            shares[place[axis]] += 1
        joined.append(sums / shares)
        pixel.append(float(np.mean([figure.value for figure in figures])) / darks.shape[1 - axis])
    return measure_lines(joined, pixel)
