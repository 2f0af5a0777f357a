"""Where a sensor of two or three conversion gains switches between them, found in its noise over ISO."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from rawdiff_calibration.laws import MODEL_SPREAD, Points, Step, read_heights

LEAST_JUMP = math.log(0.75)
"""A switch lowers the noise by at least this much (log units); those of known sensors halve it."""
LEAST_EVIDENCE = 6.0
"""Gain in BIC from which a step is believed."""


def find_steps(figures: Mapping[str, Points]) -> tuple[Step, ...]:
    """Find where a multi-gain sensor switches, from all noise figures together: no, one or two steps.

    For each choice of places between measured ISOs, curves with jumps there are compared with one curve
    (see `_best_shape`) by the Bayesian information criterion, summed over the figures. Each jump must in
    some figure be downwards, by at least `LEAST_JUMP` and 5 standard errors, since a higher conversion gain
    lowers the noise; a piece of a single ISO counts only if the noise itself falls across the step.
    """
    known = {name: [point for point in points if point[1].value > 0] for name, points in figures.items()}
    usable = {name: sorted(points, key=lambda p: p[0]) for name, points in known.items() if len(points) >= 4}
    isos = sorted({iso for points in usable.values() for iso, _ in points})
    places = [Step(low, high) for low, high in itertools.pairwise(isos)]
    best: tuple[float, tuple[Step, ...]] = (LEAST_EVIDENCE, ())
    for count in (1, 2):
        tries = math.comb(len(places), count)
        for steps in itertools.combinations(places, count):
            evidence = _evidence(usable, steps)
            if evidence is not None:
                best = max(best, (evidence - 2 * math.log(tries), steps), key=lambda item: item[0])
    return best[1]


def _evidence(figures: Mapping[str, Points], steps: tuple[Step, ...]) -> float | None:
    """Gain in BIC of these steps over none; None where a jump is not one of a conversion gain."""
    total = 0.0
    proven = np.zeros(len(steps), dtype=bool)
    for points in figures.values():
        isos = np.array([iso for iso, _ in points])
        sides = np.stack([isos >= step.iso_above for step in steps], axis=1).astype(np.float64)
        count = len(points)
        if not _separates(sides) or count < len(steps) + 3:
            continue
        y, error = read_heights(points, "log")
        weight = 1 / (error**2 + MODEL_SPREAD**2)
        one, _ = _best_shape(isos, y, weight, sides[:, :0], steps)
        more, jumps = _best_shape(isos, y, weight, sides, steps)
        total += count * math.log((one + count) / (more + count)) - len(steps) * math.log(count)
        scatter = math.sqrt(max(more / max(count - 2 - len(steps), 1), 1.0) / float(np.mean(weight)))
        sizes = np.bincount(sides.sum(axis=1).astype(np.int64))
        jump_error = scatter * np.sqrt(1 / sizes[:-1] + 1 / sizes[1:])
        clear = (jumps < LEAST_JUMP) & (jumps < -5 * jump_error)
        proven |= clear & _falls_where_lonely(y, sides)
    return total if proven.all() else None


def _best_shape(
    isos: NDArray[np.float64],
    y: NDArray[np.float64],
    weight: NDArray[np.float64],
    sides: NDArray[np.float64],
    steps: tuple[Step, ...],
) -> tuple[float, NDArray[np.float64]]:
    """Weighted squared residuals and jumps (of the logarithm) of the better of two shapes.

    A straight line in log-log; or noise in electrons that the gain amplifies, plus noise behind the gain:
    s^2 = A ISO^2 + B, where a step changes A. Both have as many parameters.
    """
    x = np.log(isos / 100)
    line = np.hstack([np.stack([np.ones_like(x), x], axis=1), sides])
    chi2, solution = _residual(line, y, weight)
    first = 1 - sides[:, :1] if sides.shape[1] else np.ones((len(x), 1))
    pieces = np.hstack([first, sides[:, :-1] - sides[:, 1:], sides[:, -1:]]) if sides.shape[1] else first
    square = (isos / 100) ** 2
    design = np.hstack([pieces * square[:, None], np.ones((len(x), 1))]) / np.exp(2 * y)[:, None]
    root = np.sqrt(weight)
    parts, _ = nnls(design * root[:, None], root)
    ratio = design @ parts
    other = float(np.sum(weight * (np.log(np.maximum(ratio, 1e-9)) / 2) ** 2))
    if chi2 <= other:
        return chi2, solution[2:]
    at = np.array([step.iso / 100 for step in steps[: sides.shape[1]]]) ** 2
    below, above = parts[:-2] * at + parts[-1], parts[1:-1] * at + parts[-1]
    return other, np.log(np.maximum(above, 1e-12) / np.maximum(below, 1e-12)) / 2


def _separates(sides: NDArray[np.float64]) -> bool:
    """True where every piece holds a point."""
    return bool(len({*sides.sum(axis=1)}) == sides.shape[1] + 1)


def _falls_where_lonely(y: NDArray[np.float64], sides: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Per step: both neighbouring pieces hold two points, or the noise falls across the step."""
    piece = sides.sum(axis=1).astype(np.int64)
    sizes = np.bincount(piece)
    falls = [y[piece == i + 1][0] < y[piece == i][-1] for i in range(sides.shape[1])]
    return np.array(falls) | ((sizes[:-1] >= 2) & (sizes[1:] >= 2))


def _residual(
    design: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Weighted sum of squared residuals of a linear fit, and its coefficients."""
    normal = np.linalg.pinv((design * weight[:, None]).T @ design)
    solution = normal @ (design.T @ (weight * y))
    return float(np.sum(weight * (y - design @ solution) ** 2)), solution
