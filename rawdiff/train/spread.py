"""Learning how large a denoiser's errors are: a log-linear model of their variance, by maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rawdiff.recipes.spread import COVERAGES, SpreadModel, look, measurement_variance, quadratic

Denoise = Callable[[Tensor, Tensor, Tensor, "float | Tensor", float], Tensor]

_ROUNDS = 30
_BINS = 12
_RANGE = (0.002, 0.998)


@dataclass(frozen=True, eq=False)
class Errors:
    """What one frame teaches: features `[5, n]`, errors in standard deviations of the noise, true light."""

    features: Tensor
    errors: Tensor
    truth_e: Tensor


def gather_errors(
    denoise: Denoise,
    planes: Tensor,
    truth: Tensor,
    gain: Tensor,
    sigma: Tensor,
    exposure: float,
    every: int,
    generator: torch.Generator,
) -> Errors:
    """Denoise a frame with known truth and keep a share of its pixels, one in `every`.

    Clipped highlights are left out: what is there was not measured.
    """
    clean = denoise(planes, gain, sigma, exposure, 1.0)
    spread = torch.sqrt(measurement_variance(clean, gain, sigma, exposure))
    errors = (clean - truth) / gain.view(4, 1, 1) / spread
    features = look(planes, clean, gain, sigma, exposure)
    kept = torch.rand(errors.shape, generator=generator) * every < 1
    kept &= planes < 0.98
    return Errors(features[:, kept], errors[kept], (truth / gain.view(4, 1, 1))[kept])


def fit_spread(frames: Iterable[Errors], recipe: str, weights: str) -> SpreadModel:
    """Fit the variance by iterated least squares, then the widths of intervals by quantiles.

    The estimate is that of a normal law, which finds E[error^2] given the features whatever the law is
    (a gamma regression with logarithmic link; McCullagh and Nelder, "Generalized linear models", 1989).

    Args:
        frames: of training photographs.
        recipe: name of the denoiser.
        weights: SHA-256 of its weights.
    """
    gathered = list(frames)
    features = torch.cat([frame.features for frame in gathered], dim=1).double()
    errors = torch.cat([frame.errors for frame in gathered]).double()
    center, scale = features.mean(dim=1), features.std(dim=1)
    standard = (features - center[:, None]) / scale[:, None]
    ordered = standard.sort(dim=1).values
    low, high = (ordered[:, int(share * (ordered.shape[1] - 1))] for share in _RANGE)
    terms = quadratic(torch.maximum(torch.minimum(standard, high[:, None]), low[:, None])).T
    squares = errors.square()
    form = torch.zeros(terms.shape[1], dtype=torch.float64)
    form[0] = squares.mean().log()
    normal = terms.T @ terms + 1e-6 * len(terms) * torch.eye(terms.shape[1], dtype=torch.float64)
    for _ in range(_ROUNDS):
        excess = (squares * torch.exp(-(terms @ form)) - 1).clamp(max=20.0)
        form = form + torch.linalg.solve(normal, terms.T @ excess)
    log_variance = terms @ form
    knots, widths = _fit_widths(log_variance, errors.abs() * torch.exp(-0.5 * log_variance))
    return SpreadModel(
        recipe, weights, center.tolist(), scale.tolist(),
        list(zip(low.tolist(), high.tolist(), strict=True)), form.tolist(), knots, widths,
    )  # fmt: skip


def _fit_widths(log_variance: Tensor, ratios: Tensor) -> tuple[list[float], list[list[float]]]:
    """Quantiles of |error| over its standard deviation, in bins of equal count along the log variance."""
    order = log_variance.argsort()
    knots, widths = [], []
    for part in order.chunk(_BINS):
        knots.append(float(log_variance[part].mean()))
        ordered = ratios[part].sort().values
        widths.append([float(ordered[int(coverage * (len(ordered) - 1))]) for coverage in COVERAGES])
    return knots, [list(column) for column in zip(*widths, strict=True)]
