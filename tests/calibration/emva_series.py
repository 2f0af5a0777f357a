"""Exposure series for the EMVA 1288 parity: NumPy's frozen legacy generator, so that they never change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """A 12-bit camera seen over exposure times, lit by a constant lamp."""

    seed: int
    gain_dn_per_e: float
    dark_noise_e: float
    full_series_e: float
    dark_e_per_s: float
    steps: int = 20
    shape: tuple[int, int] = (60, 80)
    efficiency: float = 0.5
    stack: int = 12


SERIES = {
    "ordinary": Series(1, 0.4, 4.0, 9500.0, 30.0),
    "noisy": Series(2, 0.25, 45.0, 15000.0, 800.0),
    "near saturation": Series(3, 1.0, 6.0, 5200.0, 60.0),
}


@dataclass(frozen=True)
class Shots:
    """The frames: (photons, exposure time, lit pair, dark pair) per step, and the two stacks."""

    steps: list[tuple[float, float, tuple[Frame, Frame], tuple[Frame, Frame]]]
    lit_stack: list[Frame]
    dark_stack: list[Frame]
    stack_photons: float
    stack_exposure_s: float


def shoot(series: Series) -> Shots:
    """Take all frames of a series."""
    rng = np.random.RandomState(series.seed)
    response = (
        1 + 0.01 * rng.standard_normal(series.shape) + 0.004 * rng.standard_normal((series.shape[0], 1))
    )
    response = response + 0.006 * rng.standard_normal((1, series.shape[1]))
    offset_e = 3 * rng.standard_normal(series.shape) + 1.5 * rng.standard_normal((1, series.shape[1]))
    offset_e = offset_e + 1.0 * rng.standard_normal((series.shape[0], 1))

    def take(photons: float, exposure_s: float) -> Frame:
        mean = series.efficiency * photons * response + series.dark_e_per_s * exposure_s
        electrons = rng.poisson(np.maximum(mean, 0)) + offset_e
        electrons = electrons + series.dark_noise_e * rng.standard_normal(series.shape)
        return np.clip(np.rint(64 + series.gain_dn_per_e * electrons), 0, 4095).astype(np.int64)

    steps = []
    for number in range(1, series.steps + 1):
        exposure_s = number / series.steps
        photons = series.full_series_e / series.efficiency * exposure_s
        lit = (take(photons, exposure_s), take(photons, exposure_s))
        dark = (take(0.0, exposure_s), take(0.0, exposure_s))
        steps.append((photons, exposure_s, lit, dark))
    middle_s = 0.4
    photons = series.full_series_e / series.efficiency * middle_s
    lit_stack = [take(photons, middle_s) for _ in range(series.stack)]
    dark_stack = [take(0.0, middle_s) for _ in range(series.stack)]
    return Shots(steps, lit_stack, dark_stack, photons, middle_s)
