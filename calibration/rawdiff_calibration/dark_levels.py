"""Figures that grow with exposure time in the dark: a level or variance at no time, and its rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from rawdiff_calibration.measure import Measured, combine


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
