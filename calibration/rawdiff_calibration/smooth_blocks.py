"""The straight line of variance over level through the smooth blocks of a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gamma

from rawdiff_calibration.blocks import HIGH_COUNT, LOW_FREEDOM, Blocks

Float = NDArray[np.float64]

LEVELS = 30
OWN_QUANTILE = 0.9
OTHER_QUANTILE = 0.5
FEWEST_BLOCKS = 60


@dataclass(frozen=True)
class VarianceLine:
    """Var = gain * level + floor, its covariance, the points and the blocks behind it."""

    gain: float
    floor: float
    covariance: Float
    level: Float
    variance: Float
    misfit: float
    chosen: NDArray[np.bool_]

    def at(self, level: Float) -> Float:
        """Variance at levels above black [DN^2], never 0."""
        return np.maximum(self.gain * np.maximum(level, 0.0) + self.floor, 1e-6)


def fit_smooth_blocks(blocks: Blocks, white: Float, pile: float | None) -> VarianceLine | None:
    """Alternate between choosing smooth blocks under the current line and fitting the line to them."""
    # A block of one single value is clipped, or says nothing.
    inside = (blocks.highest < white[:, None] - 0.5) & (blocks.high > 1e-6)
    line = _start(blocks, inside)
    for turn in range(40):
        if line is None:
            return None
        chosen = _choose(blocks, line, inside, white, pile)
        if chosen.sum() < FEWEST_BLOCKS:
            return None
        level, variance, count = _bins(blocks, chosen)
        gain, floor, covariance, misfit = _fit_line(level, variance, count, (line.gain, line.floor))
        if turn > 5:
            gain, floor = (gain + line.gain) / 2, (floor + line.floor) / 2
        moved = max(abs(gain - line.gain) / max(gain, 1e-9), abs(floor - line.floor) / max(floor, 1e-9))
        line = VarianceLine(gain, floor, covariance, level, variance, misfit, chosen)
        if moved < 1e-3:
            break
    return line


def _start(blocks: Blocks, inside: NDArray[np.bool_]) -> VarianceLine | None:
    """A first line through the smoothest twentieth of each level."""
    level, high, low = blocks.level[inside], blocks.high[inside], blocks.low[inside]
    points = []
    for part in np.array_split(np.argsort(level), LEVELS):
        if len(part) >= 8:
            best = part[np.argsort(low[part])[: max(6, len(part) // 20)]]
            points.append((level[best].mean(), high[best].mean(), len(best)))
    if len(points) < 3:
        return None
    at, variance, count = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    gain, floor, covariance, misfit = _fit_line(at, variance, count, (0.0, float(np.median(variance))))
    return VarianceLine(gain, floor, covariance, at, variance, misfit, inside)


def _choose(
    blocks: Blocks, line: VarianceLine, inside: NDArray[np.bool_], white: Float, pile: float | None
) -> NDArray[np.bool_]:
    """Blocks whose low band holds no more than noise, in their own plane and above all in the others."""
    expected = line.at(blocks.level)
    spread = np.sqrt(expected)
    usable: NDArray[np.bool_] = inside & (blocks.level + 4 * spread < white[:, None])
    if pile is not None:
        usable &= blocks.level - 4 * spread > pile
    ratio = blocks.low / expected
    planes = len(ratio)
    other = (ratio.sum(axis=0)[None] - ratio) / (planes - 1)
    usable &= ratio < _quantile(OWN_QUANTILE, LOW_FREEDOM)
    share = OTHER_QUANTILE
    chosen: NDArray[np.bool_] = usable & (other < _quantile(share, LOW_FREEDOM * (planes - 1)))
    while chosen.sum() < 10 * FEWEST_BLOCKS and share < 0.75:
        share += 0.1
        chosen = usable & (other < _quantile(share, LOW_FREEDOM * (planes - 1)))
    return chosen


def _quantile(probability: float, freedom: float) -> float:
    """Quantile of a variance estimate of so many degrees of freedom, relative to the variance."""
    return float(gamma.ppf(probability, freedom / 2, scale=2 / freedom))


def _bins(blocks: Blocks, chosen: NDArray[np.bool_]) -> tuple[Float, Float, Float]:
    """Mean level, mean variance and count per bin; bins even half in number, half in root of the level."""
    order = np.argsort(blocks.level[chosen])
    level, high = blocks.level[chosen][order], blocks.high[chosen][order]
    root = np.sqrt(np.maximum(level, 0.0))
    place = np.arange(len(level)) / len(level) + (root - root[0]) / max(root[-1] - root[0], 1e-9)
    index = np.minimum((place / 2 * LEVELS).astype(np.int64), LEVELS - 1)
    count = np.bincount(index, minlength=LEVELS).astype(np.float64)
    filled = count > 0
    sums = [np.bincount(index, weights=values, minlength=LEVELS)[filled] for values in (level, high)]
    return np.maximum(sums[0] / count[filled], 0.0), sums[1] / count[filled], count[filled]


def _fit_line(
    level: Float, variance: Float, count: Float, start: tuple[float, float]
) -> tuple[float, float, Float, float]:
    """Fit Var = gain * level + floor, both at least 0; points far above the line (texture) lose weight.

    Returns gain, floor, covariance and the rms misfit relative to the line beyond counting statistics.
    """
    gain, floor = start
    design = np.stack([level, np.ones_like(level)], axis=1)
    for _ in range(10):
        expected = np.maximum(gain * level + floor, 1e-6)
        error = expected * np.sqrt(2 / (HIGH_COUNT * count) + 0.02**2)
        above = np.maximum((variance - expected) / error, 1.5)
        weight = (1.5 / above) ** 4 / error**2
        gain, floor = _solve_not_negative(design, variance, weight)
    expected = np.maximum(gain * level + floor, 1e-6)
    chance = 2 / (HIGH_COUNT * count)
    trust = (1.5 / above) ** 4
    excess = (variance / expected - 1) ** 2 - chance
    misfit = math.sqrt(max(float(np.sum(trust * excess) / np.sum(trust)), 0.0))
    weight = trust / (expected**2 * (chance + misfit**2))
    covariance = np.linalg.pinv((design * weight[:, None]).T @ design)
    return gain, floor, covariance, misfit


def _solve_not_negative(design: Float, variance: Float, weight: Float) -> tuple[float, float]:
    normal = (design * weight[:, None]).T @ design
    moment = design.T @ (weight * variance)
    gain, floor = np.linalg.pinv(normal) @ moment
    if gain < 0:
        return 0.0, max(float(moment[1] / normal[1, 1]), 0.0)
    if floor < 0:
        return max(float(moment[0] / max(normal[0, 0], 1e-12)), 0.0), 0.0
    return float(gain), float(floor)
