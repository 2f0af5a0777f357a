"""The one reverse step, and the rules that choose how much of the old noise it keeps.

x_s = A_s x0 + B_s u + k (x_t - A_t x0 - B_t u) + sqrt(C_s^2 - k^2 C_t^2) z

With the fitting k it is DDPM, DDIM, DDIM(eta), ResShift, I2SB, rectified flow, DiffPIR's step and the sigma
map's; all coefficients may be maps.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rawdiff.diffusion.process import Coefficients

KRule = Callable[[Coefficients, Coefficients], Tensor]


def reverse_step(
    x: Tensor, x0: Tensor, anchor: Tensor | float, now: Coefficients, then: Coefficients, k: Tensor, z: Tensor
) -> Tensor:
    """Return x at the time of `then`, given x at the time of `now` and the estimate `x0`.

    Args:
        x: state at `now`.
        x0: estimate of the clean image from it.
        anchor: u; 0 where the process has none.
        now: coefficients of the time that is left.
        then: coefficients of the time that is reached, with less noise.
        k: share of the old noise that is kept, 0 <= k <= C_then / C_now.
        z: standard normal noise, as `x`.
    """
    kept = k * (x - now.a * x0 - now.b * anchor)
    fresh = (then.c**2 - k**2 * now.c**2).clamp(min=0).sqrt()
    return then.a * x0 + then.b * anchor + kept + fresh * z


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Part over whole, 0 where the whole is 0: a noise that is not there cannot be kept."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, torch.ones_like(whole)), 0.0)


def keep_all(now: Coefficients, then: Coefficients) -> Tensor:
    """k = C_s / C_t: no fresh noise; DDIM and every probability-flow ODE (Euler)."""
    return _ratio(then.c, now.c)


def keep_markov(now: Coefficients, then: Coefficients) -> Tensor:
    """The k of the true reverse chain: ancestral sampling, DDPM, I2SB, ResShift, the sigma map.

    k = (A_t / A_s) (C_s / C_t)^2 without an anchor, B_s / B_t with one.
    """
    if bool((now.b != 0).any()):
        return _ratio(then.b, now.b)
    return now.a / then.a * _ratio(then.c, now.c) ** 2


def keep_eta(eta: float) -> KRule:
    """DDIM's family: eta 0 keeps all, eta 1 is the Markov chain (Song et al. 2021, eq. 16)."""

    def rule(now: Coefficients, then: Coefficients) -> Tensor:
        markov = keep_markov(now, then)
        fresh = (then.c**2 - markov**2 * now.c**2).clamp(min=0)
        return _ratio((then.c**2 - eta**2 * fresh).clamp(min=0).sqrt(), now.c)

    return rule


def keep_zeta(zeta: float) -> KRule:
    """k = sqrt(1 - zeta) C_s / C_t (DiffPIR, Zhu et al. 2023)."""

    share = math.sqrt(1 - zeta)

    def rule(now: Coefficients, then: Coefficients) -> Tensor:
        return share * keep_all(now, then)

    return rule


def keep_none(now: Coefficients, then: Coefficients) -> Tensor:
    """k = 0: forget the noise, draw all of it anew (consistency models' multi-step; pyramid up-scaling)."""
    return torch.zeros_like(then.c)
