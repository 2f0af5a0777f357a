"""Levels in the dark: a figure at no exposure and its growth, black level, bias and dark shading."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from rawdiff_calibration.dark import ExposureGroup
from rawdiff_calibration.dark_set import DarkSet
from rawdiff_calibration.measure import Measured, combine
from rawdiff_calibration.mosaic import Mosaic, color_planes


def fit_rate(times_s: Sequence[float], figures: Sequence[Measured]) -> tuple[Measured, Measured | None]:
    """Weighted line through figures at exposure times: the figure at 0 s, and its rate per second.

    With a single time the figure itself and no rate.
    """
    if len(set(times_s)) < 2:
        return combine(figures), None
    time = np.asarray(times_s, np.float64)
    value = np.array([figure.value for figure in figures])
    floor = 1e-12 * max(1.0, float(np.abs(value).max()))
    weights = 1 / np.maximum(np.array([figure.se for figure in figures]), floor) ** 2
    centre = float(weights @ time / weights.sum())
    lever = float(weights @ (time - centre) ** 2)
    rate = float(weights @ ((time - centre) * value)) / lever
    level = float(weights @ value / weights.sum())
    return (
        Measured(level - rate * centre, math.sqrt(1 / weights.sum() + centre**2 / lever)),
        Measured(rate, math.sqrt(1 / lever)),
    )


def level_errors(groups: Sequence[Sequence[float]]) -> list[float]:
    """Standard error of the mean of each group of frame levels, from the scatter within all groups.

    Few frames know their own scatter badly: the error is widened to Student's 68.3 % interval.
    """
    freedom = sum(len(group) - 1 for group in groups)
    if freedom < 1:
        return [0.0 for _ in groups]
    squares = sum(float(np.sum((np.asarray(group) - np.mean(group)) ** 2)) for group in groups)
    scatter = math.sqrt(squares / freedom) * float(student.ppf(0.841345, freedom))
    return [scatter / math.sqrt(len(group)) for group in groups]


def all_or_none(figures: Sequence[Measured | None]) -> tuple[Measured, ...] | None:
    """All figures, or None where one of them is not known."""
    known = tuple(figure for figure in figures if figure is not None)
    return known if len(known) == len(figures) else None


def fit_black(chosen: DarkSet) -> tuple[tuple[Measured, ...], tuple[Measured, ...] | None]:
    """Black level of each plane [DN], and growth of each colour's level [DN/s]."""
    darks = chosen.darks
    blacks: list[Measured] = []
    rates: list[Measured | None] = []
    for plane, place in enumerate(darks.slices):
        errors = level_errors([[frame.level(plane) for frame in group.frames] for group in chosen.groups])
        levels = [
            Measured(float(mean[place][chosen.good[plane]].mean(dtype=np.float64)), error)
            for mean, error in zip(chosen.means, errors, strict=True)
        ]
        black, rate = fit_rate(chosen.times, levels)
        blacks.append(Measured(black.value + darks.pedestal_dn, black.se))
        rates.append(rate)
    per_color: list[Measured | None] = []
    for planes in color_planes(darks.phase):
        known = [rate for rate in (rates[plane] for plane in planes) if rate is not None]
        # The drift of a frame's level is common to its planes: their mean is no better known than one.
        mean = sum(rate.value for rate in known) / len(known) if known else 0.0
        per_color.append(Measured(mean, max(rate.se for rate in known)) if known else None)
    return tuple(blacks), all_or_none(per_color)


def find_biases(black: Sequence[Measured], groups: Sequence[ExposureGroup]) -> tuple[Measured, ...]:
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
    return tuple(biases)


def fit_shading(chosen: DarkSet) -> tuple[Mosaic, Mosaic | None]:
    """Per-pixel line over exposure time, least squares with as much weight as frames.

    The level at no exposure `[H, W]` [DN] and its growth [DN/s]; no growth where all had one exposure.
    """
    means, pedestal = chosen.means, np.float32(chosen.darks.pedestal_dn)
    counts = np.array([group.count for group in chosen.groups], np.float64)
    time = np.array(chosen.times)
    shares = counts / counts.sum()
    centre = float(shares @ time)
    average = sum(
        (mean * np.float32(w) for mean, w in zip(means, shares, strict=True)), np.zeros_like(means[0])
    )
    if len(means) == 1:
        return np.asarray(average + pedestal), None
    lever = shares * (time - centre) / float(shares @ (time - centre) ** 2)
    rate = sum((mean * np.float32(w) for mean, w in zip(means, lever, strict=True)), np.zeros_like(means[0]))
    return np.asarray(average - rate * np.float32(centre) + pedestal), np.asarray(rate)
