"""How well a noise model explains darks: quantiles against its law, divergence, correlation of neighbours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.errors import TooFewFramesError
from rawdiff_calibration.mosaic import CfaPhase, Mosaic, color_names, color_planes, plane_slices
from rawdiff_calibration.noise import NoiseModel
from rawdiff_calibration.refusals import CORRELATION_LIMIT, measure_correlations
from rawdiff_calibration.tail import tukey_cdf, tukey_std

Float = NDArray[np.float64]

_SIDE = 200
_GRID = 4001
_PROBABILITIES = np.array(
    [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, *np.arange(0.1, 0.91, 0.1), 0.97, 0.99, 0.997, 0.999, 0.9997, 0.9999]
)
_OUTER = (0.0228, 0.9772)
_NORMAL = 0.1349
"""Shape of the Tukey-lambda law that is nearest to a normal one."""
_SPREAD_TOLERANCE = 0.1
_DIVERGENCE_TOLERANCE = 0.02


@dataclass(frozen=True)
class DarkQuantiles:
    """The noise of one colour in the dark beside the model's law.

    Attributes:
        color: R, G, B, or Y of a monochrome sensor.
        expected_dn, seen_dn: quantiles at the same probabilities, from 0.01 to 99.99 %.
        spread: width between 2.3 and 97.7 % over that expected; 1 where the model is right.
        divergence: Kullback-Leibler divergence from the law [nat], sampling's share removed.
    """

    color: str
    expected_dn: Float
    seen_dn: Float
    spread: float
    divergence: float


@dataclass(frozen=True)
class DarkFitness:
    """The verdict of darks on a noise model.

    Attributes:
        colors: quantiles of each colour.
        correlations: of neighbouring pixels, by lag (rows, columns).
        good: True where widths, divergences and correlations are all within bounds.
        verdict: in words.
    """

    colors: tuple[DarkQuantiles, ...]
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
    colors = tuple(
        _judge_color(model, frames, phase, color, name) for color, name in enumerate(color_names(phase))
    )
    correlations = measure_correlations(np.subtract(frames[0], frames[1], dtype=np.float32), phase)
    verdict, good = _conclude(colors, correlations)
    return DarkFitness(colors, correlations, good, verdict)


def _judge_color(
    model: NoiseModel, frames: Sequence[Mosaic], phase: CfaPhase | None, color: int, name: str
) -> DarkQuantiles:
    residuals = _residuals(frames, plane_slices(phase)[color_planes(phase)[color][0]])
    # A frame minus the mean of the n - 1 others carries 1/(n - 1) of foreign variance, nearly Gaussian.
    grid, law = _law(model, color, foreign=1 / (len(frames) - 1))
    width = np.interp(np.array(_OUTER), law, grid)
    return DarkQuantiles(
        color=name,
        expected_dn=np.interp(_PROBABILITIES, law, grid),
        seen_dn=np.quantile(residuals, _PROBABILITIES),
        spread=float(np.ptp(np.quantile(residuals, _OUTER)) / np.ptp(width)),
        divergence=_divergence(residuals, grid, law),
    )


def _residuals(frames: Sequence[Mosaic], place: tuple[slice, slice]) -> Float:
    """Noise of a plane on a lattice of its pixels, freed of frame, row and column offsets."""
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


def _law(model: NoiseModel, color: int, foreign: float) -> tuple[Float, Float]:
    """Distribution function of such residuals of a colour on a grid of values [DN].

    The model's scale is that of green; other colours stretch it like their read noise.
    """
    shape = _NORMAL if model.tukey_lambda is None else model.tukey_lambda
    read = max(model.read_noise_dn[color], 1e-3)
    scale = read / tukey_std(shape)
    if model.tukey_scale_dn is not None:
        scale = model.tukey_scale_dn * read / max(model.read_noise_dn[1], 1e-3)
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
    colors: Sequence[DarkQuantiles], correlations: Mapping[tuple[int, int], float]
) -> tuple[str, bool]:
    faults = []
    wide = max(colors, key=lambda one: abs(math.log(max(one.spread, 1e-3))))
    odd = max(colors, key=lambda one: one.divergence)
    whose = "" if len(colors) == 1 else " of {}"
    if abs(wide.spread - 1) > _SPREAD_TOLERANCE:
        noise = "the noise" + whose.format(wide.color)
        faults.append(f"{noise} in the dark is {wide.spread:.2f} times as wide as the model says")
    elif odd.divergence > _DIVERGENCE_TOLERANCE:
        noise = "the noise" + whose.format(odd.color)
        faults.append(f"the shape of {noise} in the dark is another (divergence {odd.divergence:.3f} nat)")
    lag, worst = max(correlations.items(), key=lambda item: abs(item[1]))
    if abs(worst) > CORRELATION_LIMIT:
        faults.append(f"neighbouring pixels {lag} are correlated by {worst:+.2f}: the noise is not white")
    if faults:
        return "; ".join(faults), False
    return f"explains the darks: width {wide.spread:.2f}, divergence {odd.divergence:.4f} nat", True
