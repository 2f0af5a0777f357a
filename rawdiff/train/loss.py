"""What training minimises: squared errors of light, in units of the noise.

The minimiser of E[w(y) (x^ - x)^2] is the posterior mean of the light x for any weight that depends on the
measurement y alone. So the loss is taken in electrons, not in the stabilised domain (whose posterior mean
is darker after the inverse, by Jensen), and weighted by the noise variance that the estimate itself, held
constant, implies.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.train.synthesis import Batch

_RELATIVE_FROM = 0.05
"""Errors well below this many noise variances count as they are, errors above it by their ratio. What can be
left of the noise in dark smooth frames is a few hundredths of it, and those are what the product is for."""


def stabilised_states(batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor, VarianceStabilised]:
    """Return states, their noise maps and the encoding.

    A captured sample has noise 1/sqrt(n); a Gaussian one is the exact mean transform plus white noise of
    its own map.
    """
    encoding = VarianceStabilised(batch.gain, batch.sigma)
    state = encoding.encode(batch.noisy, batch.exposures)
    spread = encoding.noise_std(state, batch.exposures)
    clean = encoding.expect(batch.clean, batch.exposures)
    white = torch.randn(state.shape, generator=generator)
    chosen = batch.gaussian[:, None, None, None]
    # Both kinds end at 0, where the transform does.
    gaussian = (clean + batch.state_sigma * white).clamp(min=0)
    return (
        torch.where(chosen, gaussian, state),
        torch.where(chosen, batch.state_sigma, spread),
        encoding,
    )


def light_loss(
    estimate: Tensor,
    batch: Batch,
    encoding: VarianceStabilised,
    exposures: Tensor,
    share: Tensor | None = None,
    sigma: Tensor | None = None,
) -> Tensor:
    """Squared error of light over the noise variance of the photograph, mean per sample, `[B]`.

    The weight of a pixel is the geometric mean of its noise variance and of the patch's mean variance:
    between equal care for every pixel's signal-to-noise and equal care for every electron, which is what
    PSNR asks for.

    Args:
        estimate: of the noise-free state, `[B, 4, h, w]`.
        batch: the truth.
        encoding: of the state.
        exposures: those of the state.
        share: further weight per pixel, differentiable, `[B, 1, h, w]`.
        sigma: noise map of the state where it is not the photograph's own.
    """
    light = encoding.decode(estimate, exposures) / batch.gain
    truth = batch.clean / batch.gain
    read = (batch.sigma / batch.gain) ** 2
    spread = 1 / batch.exposures if sigma is None else sigma**2
    variance = (light.detach().clamp(min=0) + read + 0.375) * spread
    weight = torch.sqrt(variance * variance.mean(dim=(1, 2, 3), keepdim=True))
    errors = (light - truth) ** 2 / weight
    return (errors if share is None else errors * share).mean(dim=(1, 2, 3))


def relative(errors: Tensor) -> Tensor:
    """Mean over samples, each counted by its relative error, as decibels do."""
    return (errors / (errors.detach() + _RELATIVE_FROM)).mean()


def posterior_mean_loss(
    network: nn.Module, batch: Batch, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One step's loss of the stabilised denoiser, and the mean error in units of the noise variance."""
    state, sigma, encoding = stabilised_states(batch, generator)
    estimate = network(state, sigma, encoding.floor(batch.exposures))
    errors = light_loss(estimate, batch, encoding, batch.exposures, sigma=sigma)
    return relative(errors), errors.detach().mean()
