"""Which frame of a burst the others are laid upon: the sharpest, counted above the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TIE = 3.0
"""Frames within this many standard errors of the sharpest are as sharp as it."""


@dataclass(frozen=True)
class Sharpness:
    """Mean squared gradient of the green plane beyond what noise gives, with its standard error."""

    value: float
    se: float


def measure_sharpness(
    green: NDArray[np.float32], gain: float, floor: float, ceiling: float = float("inf")
) -> Sharpness:
    """Mean squared central difference of `green`, less the share of noise: E[d^2] - 2 Var.

    A difference of two values of variance v has noise 2 v; the square of a Gaussian g + n has variance
    4 g^2 s + 2 s^2 (s = 2 v), which gives the standard error.

    Args:
        green: green plane `[h, w]`, black 0, scaled to a common exposure.
        gain: system gain in its unit, so that v = gain * signal + floor.
        floor: signal-independent variance in its unit.
        ceiling: differences from here up are not counted: frames of other exposures clip there.
    """
    noise = 2 * (gain * np.maximum(green, 0) + floor)
    energy, spread, count = 0.0, 0.0, 0
    for first, second, middle in (
        (green[2:, 1:-1], green[:-2, 1:-1], noise[1:-1, 1:-1]),
        (green[1:-1, 2:], green[1:-1, :-2], noise[1:-1, 1:-1]),
    ):
        kept = (first < ceiling) & (second < ceiling)
        square, middle = ((first - second) ** 2)[kept], middle[kept]
        excess = square - middle
        energy += float(excess.sum(dtype=np.float64))
        spread += float((2 * middle * np.maximum(2 * square - middle, middle)).sum(dtype=np.float64))
        count += square.size
    return Sharpness(energy / max(count, 1), spread**0.5 / max(count, 1))


def choose_reference(sharpness: Sequence[Sharpness]) -> int:
    """Index of the sharpest frame; among those as sharp within `TIE` standard errors, the middle one.

    Raises:
        ValueError: no frames.
    """
    if not sharpness:
        raise ValueError("no frames to choose from")
    best = max(sharpness, key=lambda s: s.value)
    middle = len(sharpness) // 2
    tied = [
        index
        for index, s in enumerate(sharpness)
        if best.value - s.value <= TIE * float(np.hypot(best.se, s.se))
    ]
    return min(tied, key=lambda index: (abs(index - middle), index))
