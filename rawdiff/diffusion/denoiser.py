"""What every sampler asks of a network: D(x, sigma) -> the expected clean image.

`x` is in the variance-exploding frame, x = x0 + sigma e, and sigma is a number or a map. Networks trained to
predict something else are turned into this by the adaptors here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class Denoiser(Protocol):
    """D(x, sigma) -> x0: the posterior mean of the clean image given x = x0 + sigma e."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the estimate, as `x`."""
        ...


Network = Callable[[Tensor, Tensor], Tensor]


def from_noise_prediction(network: Network) -> Denoiser:
    """x0 = x - sigma eps(x_vp, sigma), x_vp = x / sqrt(1 + sigma^2) (Ho et al. 2020, in the VE frame)."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return x - sigma * network(x / (1 + sigma**2).sqrt(), sigma)

    return denoise


def from_velocity_prediction(network: Network) -> Denoiser:
    """x0 = x_vp / sqrt(1 + sigma^2) - sigma / sqrt(1 + sigma^2) v (Salimans & Ho 2022, appendix D)."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        scale = (1 + sigma**2).sqrt()
        preserved = x / scale
        return preserved / scale - sigma / scale * network(preserved, sigma)

    return denoise


def from_edm_network(network: Network, sigma_data: float) -> Denoiser:
    """D = c_skip x + c_out F(c_in x, ln(sigma) / 4) (Karras et al. 2022, table 1)."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        total = sigma**2 + sigma_data**2
        skip, out = sigma_data**2 / total, sigma * sigma_data / total.sqrt()
        return skip * x + out * network(x / total.sqrt(), sigma.log() / 4)

    return denoise
