"""What rounding to whole DN adds to noise, and how to take it out again."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from rawdiff_calibration.measure import Measured

_HARMONICS = np.arange(1, 60, dtype=np.float64)


HIDDEN = 0.3
"""Noise below this part of a step shows in so few values that its law cannot be told."""
COARSE = 0.45
"""Noise below this part of a step leaves a pixel's rounding error tied to its level."""


def rounded_variance(variance: float, step: float = 1.0) -> float:
    """Temporal variance of a pixel after rounding, averaged over black levels spread evenly within a step.

    V = sigma^2 + step^2/12 - sum_k exp(-4 pi^2 k^2 sigma^2 / step^2) step^2 / (2 pi^2 k^2): Sheppard's
    step^2/12 less the part that is a fixed offset of the pixel. For sigma above half a step only Sheppard's
    term is left.
    """
    sigma2 = variance / step**2
    held = np.exp(-4 * np.pi**2 * _HARMONICS**2 * sigma2) / (2 * np.pi**2 * _HARMONICS**2)
    # The harmonics that are left out matter at sigma near 0 alone, where all of them sum to 1/12.
    tail = max(1 / 12 - float((1 / (2 * np.pi**2 * _HARMONICS**2)).sum()), 0.0) if sigma2 < 1e-6 else 0.0
    return float(step**2 * (sigma2 + 1 / 12 - held.sum() - tail))


def doubt_rounded(noise: Measured, level_spread: float, step: float = 1.0) -> Measured:
    """The same standard deviation with the error that coarse rounding leaves.

    `remove_rounding` holds where the pixels' levels lie evenly within a step. How far real levels, of the
    given spread, are from that is not known: a twentieth of the figure where they spread widely, up to what
    rounding can hide where they do not.
    """
    if step <= 0 or noise.value >= COARSE * step:
        return noise
    if level_spread < 0.3 * step:
        doubt = 0.3 * step
    else:
        doubt = 0.05 * noise.value if noise.value > 0.2 * step else 0.1 * step
    return Measured(noise.value, float(np.hypot(noise.se, doubt)))


def remove_rounding(measured: Measured, step: float = 1.0) -> Measured:
    """Variance of the noise before rounding, from the temporal variance after it [DN^2].

    Its error grows where the noise is far below a step, as rounding hides it there.
    """
    value = max(measured.value, 0.0)
    if step <= 0 or value > step**2:
        return Measured(measured.value - step**2 / 12, measured.se) if step > 0 else measured
    if value <= rounded_variance(0.0, step):
        return Measured(0.0, max(measured.se, 0.02 * step**2))
    before = brentq(lambda variance: rounded_variance(variance, step) - value, 0.0, value + step**2)
    nearby = 1e-3 * step**2
    slope = (rounded_variance(before + nearby, step) - rounded_variance(before, step)) / nearby
    return Measured(float(before), measured.se / max(slope, 1e-3))
