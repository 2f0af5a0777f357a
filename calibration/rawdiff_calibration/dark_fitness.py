"""How well a noise model explains darks: quantiles against its law, divergence, correlation of neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.errors import TooFewFramesError
from rawdiff_calibration.mosaic import CfaPhase, Mosaic, color_planes, plane_slices
from rawdiff_calibration.noise import NoiseModel
from rawdiff_calibration.refusals import CORRELATION_LIMIT, measure_correlations
from rawdiff_calibration.tail import tukey_cdf, tukey_std

Float = NDArray[np.float64]

_SIDE = 200
_GRID = 4001
_PROBABILITIES = np.array(
    [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, *np.arange(0.1, 0.91, 0.1), 0.97, 0.99, 0.997, 0.999, 0.9997, 0.9999]
)
_SPREAD_TOLERANCE = 0.1
_DIVERGENCE_TOLERANCE = 0.02


@dataclass(frozen=True)
class DarkFitness:
    """The verdict of darks on a noise model.

    Attributes:
        quantiles_expected_dn, quantiles_seen_dn: of green's pixel noise, at the same probabilities.
        spread: width of the noise between 2.3 and 97.7 % over that expected; 1 where the model is right.
        divergence: Kullback-Leibler divergence of the noise from the law [nat], sampling's share removed.
        correlations: of neighbouring pixels, by lag (rows, columns).
        good: True where all three are within bounds.
        verdict: in words.
    """

    quantiles_expected_dn: Float
    quantiles_seen_dn: Float
    spread: float
    divergence: float
    correlations: Mapping[tuple[int, int], float]
    good: bool
    verdict: str


def judge_darks(model: NoiseModel, frames: Sequence[Mosaic], phase: CfaPhase | None) -> DarkFitness:
    """Judge a model by at least three darks `[H, W]` of one exposure time.

    Raises:
        TooFewFramesError: fewer than three darks.
    """
    if len(frames) < 3:
        raise TooFewFramesError(f"three darks are needed to judge a profile, got {len(frames)}")
    residuals = _residuals(frames, phase)
    # A frame minus the mean of the n - 1 others carries 1/(n - 1) of foreign variance, nearly Gaussian.
    grid, law = _law(model, foreign=1 / (len(frames) - 1))
    expected = np.interp(_PROBABILITIES, law, grid)
    seen = np.quantile(residuals, _PROBABILITIES)
    outer = np.array([0.0228, 0.9772])
    width = np.interp(outer, law, grid)
    spread = float(np.ptp(np.quantile(residuals, outer)) / np.ptp(width))
    divergence = _divergence(residuals, grid, law)
    correlations = measure_correlations(np.subtract(frames[0], frames[1], dtype=np.float32), phase)
    verdict, good = _conclude(spread, divergence, correlations)
    return DarkFitness(expected, seen, spread, divergence, correlations, good, verdict)


def _residuals(frames: Sequence[Mosaic], phase: CfaPhase | None) -> Float:
    """Green's noise (or the only plane's) on a lattice of pixels, freed of frame, row and column offsets."""
    plane = color_planes(phase)[-2 if phase else 0][0]
    place = plane_slices(phase)[plane]
    stack = []
    for frame in frames:
        values = np.array(frame[place], dtype=np.float32)
        values -= np.median(values)
        reach = 12 * max(float(np.subtract(*np.percentile(values, [75, 25]))) / 1.349, 0.5)
        # Means, not medians: those would leave the values on the lattice of the stored integers.
        for axis in (1, 0):
            values -= np.clip(values, -reach, reach).mean(axis=axis, keepdims=True)
        down, across = (max(1, extent // _SIDE) for extent in values.shape)
        stack.append(values[::down, ::across].astype(np.float64).ravel())
    sampled = np.stack(stack)
    others = (sampled.sum(axis=0)[None] - sampled) / (len(frames) - 1)
    return np.asarray((sampled - others).ravel())


def _law(model: NoiseModel, foreign: float) -> tuple[Float, Float]:
    """Distribution function of such residuals on a grid of values [DN]."""
    shape = 0.1349 if model.tukey_lambda is None else model.tukey_lambda
    read = max(model.read_noise_dn[1], 1e-3)
    scale = read / tukey_std(shape) if model.tukey_scale_dn is None else model.tukey_scale_dn
    rounding = model.quantisation_dn**2 / 12
    borrowed = math.sqrt(foreign * (read**2 + rounding))
    reach = 14 * math.hypot(read, model.quantisation_dn)
    grid = np.linspace(-reach, reach, _GRID)
    law = tukey_cdf(grid, shape, scale, step=model.quantisation_dn, spread=borrowed)
    return grid, np.maximum.accumulate(law + np.linspace(0, 1e-12, _GRID))


def _divergence(residuals: Float, grid: Float, law: Float) -> float:
    """Divergence of the histogram over 40 bins of equal expected probability, sampling's share removed."""
    bins = 40
    edges = np.interp(np.arange(1, bins) / bins, law, grid)
    counts = np.bincount(np.searchsorted(edges, residuals), minlength=bins).astype(np.float64)
    share = counts / counts.sum()
    filled = share > 0
    divergence = float(np.sum(share[filled] * np.log(share[filled] * bins)))
    return max(divergence - (bins - 1) / (2 * float(counts.sum())), 0.0)


def _conclude(
    spread: float, divergence: float, correlations: Mapping[tuple[int, int], float]
) -> tuple[str, bool]:
    faults = []
    if abs(spread - 1) > _SPREAD_TOLERANCE:
        faults.append(f"the noise in the dark is {spread:.2f} times as wide as the model says")
    elif divergence > _DIVERGENCE_TOLERANCE:
        faults.append(f"the shape of the noise in the dark is another (divergence {divergence:.3f} nat)")
    lag, worst = max(correlations.items(), key=lambda item: abs(item[1]))
    if abs(worst) > CORRELATION_LIMIT:
        faults.append(f"neighbouring pixels {lag} are correlated by {worst:+.2f}: the noise is not white")
    if faults:
        return "; ".join(faults), False
    return f"explains the darks: width {spread:.2f}, divergence {divergence:.4f} nat", True
