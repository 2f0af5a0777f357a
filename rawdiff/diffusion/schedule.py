"""When to look: the sequences of noise levels and times that samplers walk down, largest first."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def edm_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """sigma_i = (max^(1/rho) + i/(n-1) (min^(1/rho) - max^(1/rho)))^rho, then 0; `[steps + 1]` float64.

    Karras et al., "Elucidating the design space of diffusion-based generative models", 2022, eq. 5.

    Raises:
        ValueError: no steps, or levels that do not fall.
    """
    _check(steps, sigma_min, sigma_max)
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


def geometric_sigmas(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Levels in constant ratio from `sigma_max` to `sigma_min`, then 0; `[steps + 1]` float64.

    Raises:
        ValueError: no steps, or levels that do not fall.
    """
    _check(steps, sigma_min, sigma_max)
    logs = torch.linspace(math.log(sigma_max), math.log(sigma_min), steps, dtype=torch.float64)
    return torch.cat([logs.exp(), torch.zeros(1, dtype=torch.float64)])


def uniform_times(steps: int) -> Tensor:
    """Times 1, ..., 0 in equal steps, `[steps + 1]` float64; for flows and bridges."""
    return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def linear_beta_alpha_bar(count: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """Cumulative product of 1 - beta, betas linear from `first` to `last`; `[count]` float64.

    Ho et al., "Denoising diffusion probabilistic models", 2020, section 4.
    """
    return torch.cumprod(1 - torch.linspace(first, last, count, dtype=torch.float64), 0)


def cosine_alpha_bar(count: int = 1000, offset: float = 0.008) -> Tensor:
    """cos^2 of the fraction of the way, beta at most 0.999; `[count]` float64.

    Nichol & Dhariwal, "Improved denoising diffusion probabilistic models", 2021, eq. 17.
    """
    t = torch.linspace(0, 1, count + 1, dtype=torch.float64)
    curve = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
    return torch.cumprod((curve[1:] / curve[:-1]).clamp(min=0.001), 0)


def spaced_indices(count: int, steps: int, power: float = 1.0) -> Tensor:
    """`steps` of the indices 0 .. count-1, largest first; a power of 2 is dense at low noise (DiffPIR)."""
    ramp = torch.linspace(1, 0, steps, dtype=torch.float64) ** power
    return (ramp * (count - 1)).round().long()


def exposure_ratios(ratio: float, steps: int, start: float = 1.0) -> Tensor:
    """Exposures r_0 = start < ... < r_n = ratio in equal steps, `[steps + 1]` float64, rising.

    Wang et al., "ExposureDiffusion", ICCV 2023: three steps at ratio 100 look at exposures 1, 34 and 67.

    Raises:
        ValueError: no steps, or a target below the start.
    """
    if steps < 1 or ratio < start:
        raise ValueError(f"cannot rise from exposure {start:g} to {ratio:g} in {steps} steps")
    return torch.linspace(start, ratio, steps + 1, dtype=torch.float64)


def _check(steps: int, sigma_min: float, sigma_max: float) -> None:
    if steps < 1 or not 0 < sigma_min <= sigma_max:
        raise ValueError(f"no schedule of {steps} steps from {sigma_max:g} down to {sigma_min:g}")
