"""The Tukey-lambda law of read noise: heavier or lighter tails than a Gaussian's, by one number.

Quantile Q(p) = s (p^lambda - (1 - p)^lambda) / lambda: logistic at lambda 0, close to a Gaussian at 0.135.
s is a scale, not a standard deviation (Joiner and Rosenblatt, JASA 1971; for read noise Wei et al.,
TPAMI 2021).

The fit is maximum likelihood on histograms rather than a probability plot, since stored values are rounded
and residuals are taken from a mean of few frames: both are convolved into the law that is fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from rawdiff_calibration.errors import FitError, TooFewFramesError
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.mosaic import Matrix

FIT_RANGE = 6.0
"""Residuals beyond this many robust standard deviations are left out, and the law truncated alike."""
_BINS = 240
_LOGITS = np.linspace(-36.0, 36.0, 4801)
_UPPER, _LOWER = 1 / (1 + np.exp(-_LOGITS)), 1 / (1 + np.exp(_LOGITS))
_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.hermite_e.hermegauss(13)
_BOX_NODES, _BOX_WEIGHTS = np.polynomial.legendre.leggauss(6)


def tukey_std(shape: float) -> float:
    """Standard deviation of the law at scale 1.

    Raises:
        ValueError: `shape` is at or below -0.5, where the variance is infinite.
    """
    if shape <= -0.5:
        raise ValueError(f"a Tukey-lambda law of shape {shape} has no variance")
    if abs(shape) < 1e-4:  # Var = pi^2/3 (1 - 2 a lambda), a = 1.6449..., to first order around the logistic
        slope = (_variance(1e-3) - _variance(-1e-3)) / 2e-3
        return math.sqrt(math.pi**2 / 3 + slope * shape)
    return math.sqrt(_variance(shape))


def _variance(shape: float) -> float:
    beta = math.exp(2 * math.lgamma(shape + 1) - math.lgamma(2 * shape + 2))
    return 2 / shape**2 * (1 / (1 + 2 * shape) - beta)


def sample_tukey(shape: float, size: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw from the law at scale 1."""
    # One tail is drawn and a sign, so that single precision resolves both tails alike.
    small = rng.random(size, dtype=np.float32)
    sign = np.where(small < 0.5, np.float32(-1), np.float32(1))
    small = np.minimum(small, 1 - small) + np.float32(2**-26)
    log_small, log_large = np.log(small), np.log(1 - small)
    if abs(shape) < 1e-3:
        return np.asarray(sign * (log_large - log_small), np.float32)
    power = np.float32(shape)
    return np.asarray(sign * (np.exp(power * log_large) - np.exp(power * log_small)) / power, np.float32)


def tukey_quantile(shape: float, probability: NDArray[np.float64]) -> Matrix:
    """Quantiles of the law at scale 1."""
    p = np.asarray(probability, np.float64)
    if abs(shape) < 1e-6:
        return np.asarray(np.log(p) - np.log1p(-p))
    return np.asarray((p**shape - (1 - p) ** shape) / shape)


def tukey_cdf(
    values: Matrix, shape: float, scale: float, *, step: float = 0.0, spread: float = 0.0
) -> Matrix:
    """Distribution of Tukey-lambda noise after rounding to `step` and with a Gaussian of std `spread` added.

    The rounding error is taken as uniform and independent, which holds where the noise exceeds about half
    a step or the black levels of the pixels differ by more than a step.
    """
    table = scale * (_LOGITS if abs(shape) < 1e-6 else (_UPPER**shape - _LOWER**shape) / shape)
    gauss = _GAUSS_NODES * spread if spread else np.zeros(1)
    gauss_weights = _GAUSS_WEIGHTS / _GAUSS_WEIGHTS.sum() if spread else np.ones(1)
    box = _BOX_NODES * step / 2 if step else np.zeros(1)
    box_weights = _BOX_WEIGHTS / 2 if step else np.ones(1)
    shifts = (gauss[:, None] + box[None, :]).ravel()
    weights = (gauss_weights[:, None] * box_weights[None, :]).ravel()
    return np.asarray(np.interp(values[:, None] - shifts, table, _UPPER) @ weights)


@dataclass(frozen=True)
class TailFit:
    """The law of one colour's read noise.

    Attributes:
        shape: lambda.
        scale_dn: its scale [DN].
        std_dn: standard deviation of the fitted law [DN].
        divergence: Kullback-Leibler divergence of the histogram from the law [nat]; sampling alone gives
            about bins / (2 samples).
        gaussian_divergence: the same for the best Gaussian.
        edges_dn, counts: the histogram that was fitted.
        expected: what the law expects in it.
    """

    shape: Measured
    scale_dn: Measured
    std_dn: float
    divergence: float
    gaussian_divergence: float
    edges_dn: Matrix
    counts: Matrix
    expected: Matrix


def fit_tail(
    residuals: Matrix, *, frames: int, step: float = 1.0, borrowed: float = 0.0, groups: int = 48
) -> TailFit:
    """Fit the law to dark residuals `[frames, pixels]`: values minus the mean of the *other* frames.

    `borrowed` is the variance, in units of the noise's own, of what else was subtracted: 1/(n - 1) for the
    mean of a line of n pixels that holds the pixel itself, the residual then scaled by n/(n - 1).

    Truncated maximum likelihood on a histogram. The errors come from the scatter of the score over
    `groups` disjoint sets of pixels (a sandwich estimate), as residuals of one pixel share their mean.

    Raises:
        TooFewFramesError: fewer than 3 frames, or fewer than 20 pixels a group.
        FitError: the residuals do not spread, or no law fits.
    """
    if frames < 3 or residuals.shape[1] < 20 * groups:
        raise TooFewFramesError(
            f"the tail of the read noise needs 3 darks and {20 * groups} pixels, got {frames} and "
            f"{residuals.shape[1]}"
        )
    robust = float(np.subtract(*np.percentile(residuals, [75, 25]))) / 1.349
    if robust <= 0:
        raise FitError("the darks hold a single value: there is no read noise to fit")
    edges = _edges(robust, step / (frames - 1))
    histograms = _histogram_groups(residuals, edges, groups)
    counts = histograms.sum(axis=0)
    law = _Law(edges, step, (1 + 1 / (frames - 1)) * (1 + borrowed) - 1)
    start = np.array([0.1, math.log(robust / tukey_std(0.1))])
    simplex = start + np.array([[0.0, 0.0], [-0.1, 0.03], [0.0, 0.05]])
    found = minimize(
        lambda parameters: -float(counts @ law.log_probability(parameters)),
        start,
        method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-3, "initial_simplex": simplex},
    )
    if not found.success or not -0.45 < found.x[0] < 1.5:
        raise FitError(f"no Tukey-lambda law fits the darks (shape {found.x[0]:.2f})")
    return _describe(found.x, law, histograms)


@dataclass(frozen=True)
class _Law:
    """Log-probabilities of the bins, truncated to the fit range."""

    edges: Matrix
    step: float
    borrowed: float

    def log_probability(self, parameters: Matrix) -> Matrix:
        shape, scale = float(np.clip(parameters[0], -0.48, 2.0)), math.exp(parameters[1])
        variance = (scale * tukey_std(shape)) ** 2 + self.step**2 / 12
        spread = math.sqrt(variance * self.borrowed)
        return _log_bins(tukey_cdf(self.edges, shape, scale, step=self.step, spread=spread))


def _log_bins(cdf: Matrix) -> Matrix:
    """Log-probability of each bin, given that a value fell into one."""
    return np.asarray(np.log(np.maximum(np.diff(cdf), 1e-300) / (cdf[-1] - cdf[0])))


def _edges(robust: float, lattice: float) -> Matrix:
    """Edges of about `_BINS` equal bins over the fit range, each of whole lattice points.

    A rounded value minus the mean of n others lies on a lattice of step / n: bins that cut across it
    would hold unequal numbers of its points.
    """
    width = 2 * FIT_RANGE * robust / _BINS
    if lattice:
        width = max(1, round(width / lattice)) * lattice
    half = math.ceil(FIT_RANGE * robust / width)
    return np.asarray(np.arange(-half, half + 1) * width - lattice / 2)


def _histogram_groups(residuals: Matrix, edges: Matrix, groups: int) -> Matrix:
    """Histograms `[groups, bins]` of interleaved, disjoint sets of pixels."""
    return np.stack([np.histogram(residuals[:, group::groups], edges)[0] for group in range(groups)]).astype(
        np.float64
    )


def _describe(parameters: Matrix, law: _Law, histograms: Matrix) -> TailFit:
    """Errors and goodness of a fit."""
    counts = histograms.sum(axis=0)
    total = counts.sum()
    best = law.log_probability(parameters)
    delta = 1e-3
    slopes = np.stack(
        [
            (law.log_probability(parameters + move) - law.log_probability(parameters - move)) / (2 * delta)
            for move in np.eye(2) * delta
        ]
    )
    information = (slopes * (np.exp(best) * total)) @ slopes.T
    scores = histograms @ slopes.T
    scores -= scores.mean(axis=0)
    spread = scores.T @ scores * len(scores) / (len(scores) - 1)
    covariance = np.linalg.solve(information, np.linalg.solve(information, spread).T)
    shape, scale = float(parameters[0]), math.exp(parameters[1])
    occupied = counts > 0
    share = counts[occupied] / total
    return TailFit(
        shape=Measured(shape, math.sqrt(covariance[0, 0])),
        scale_dn=Measured(scale, scale * math.sqrt(covariance[1, 1])),
        std_dn=scale * tukey_std(shape),
        divergence=float(share @ (np.log(share) - best[occupied])),
        gaussian_divergence=_gaussian_divergence(counts, law.edges),
        edges_dn=law.edges,
        counts=counts,
        expected=np.exp(best) * total,
    )


def _gaussian_divergence(counts: Matrix, edges: Matrix) -> float:
    """Divergence of the histogram from the truncated Gaussian that fits it best."""
    from scipy.special import ndtr

    share = counts / counts.sum()
    centres = (edges[1:] + edges[:-1]) / 2
    start = math.log(math.sqrt(float(share @ centres**2)))
    entropy = float(share[share > 0] @ np.log(share[share > 0]))
    found = minimize(
        lambda log_std: -float(share @ _log_bins(ndtr(edges / math.exp(log_std[0])))),
        np.array([start]),
        method="Nelder-Mead",
    )
    return entropy + float(found.fun)
