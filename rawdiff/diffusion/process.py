"""Forward processes as three coefficients: x_t = A x0 + B u + C e, u an anchor, e standard normal.

Every coefficient may be a number or a map. The table of rawdiff's processes:

| process | A | B | C | anchor u |
|---|---|---|---|---|
| variance exploding (EDM) | 1 | 0 | sigma | none |
| variance preserving (DDPM) | sqrt(abar) | 0 | sqrt(1 - abar) | none |
| sigma map | 1 | 0 | min(sigma, noise of the photograph) | none; starts at the photograph |
| flow (rectified, PMRF) | 1 - t | t | t s | the start |
| residual shift (ResShift) | 1 - eta | eta | kappa sqrt(eta) | the photograph |
| bridge (I2SB) | 1 - b | b | s sqrt(b (1 - b)) | the photograph |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coefficients:
    """A, B and C of x_t = A x0 + B u + C e; each a tensor that broadcasts against x."""

    a: Tensor
    b: Tensor
    c: Tensor


class Process(Protocol):
    """A forward process: its coefficients at a time. The meaning of `t` is the process's own."""

    def at(self, t: Tensor) -> Coefficients:
        """Return the coefficients at time `t`, a scalar."""
        ...


def _scalars(a: Tensor, b: Tensor | float, c: Tensor) -> Coefficients:
    return Coefficients(a, torch.as_tensor(b, dtype=a.dtype, device=a.device), c)


class VarianceExploding:
    """x_t = x0 + t e: time is the noise level (Song et al. 2021; Karras et al. 2022)."""

    def at(self, t: Tensor) -> Coefficients:
        """Coefficients at noise level `t`."""
        return _scalars(torch.ones_like(t), 0.0, t)


@dataclass(frozen=True, eq=False)
class VariancePreserving:
    """x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) e; time is an index, -1 the clean image (Ho et al. 2020)."""

    alpha_bar: Tensor

    def at(self, t: Tensor) -> Coefficients:
        """Coefficients at index `t`; at -1 the image is clean."""
        index = int(t)
        kept = self.alpha_bar[index] if index >= 0 else torch.ones_like(self.alpha_bar[0])
        return _scalars(kept.sqrt(), 0.0, (1 - kept).sqrt())


@dataclass(frozen=True, eq=False)
class SigmaMap:
    """x_t = x0 + min(t, noise) e: every pixel waits at its own noise until the level falls below it.

    Started at the photograph itself it samples the posterior exactly for Gaussian noise and a perfect
    denoiser (Kawar et al. 2021; SVNR, Pearl et al. 2023). Infinite noise marks pixels never measured.

    Attributes:
        noise: standard deviation of the measurement, a map in the domain of x.
    """

    noise: Tensor

    def at(self, t: Tensor) -> Coefficients:
        """Coefficients at the global noise level `t`."""
        return _scalars(torch.ones_like(t), 0.0, torch.minimum(t.to(self.noise.dtype), self.noise))


@dataclass(frozen=True)
class Flow:
    """x_t = (1 - t) x0 + t u + t s e, time from 1 to 0 (rectified flow; PMRF, Ohayon et al. 2024)."""

    spread: float = 0.0

    def at(self, t: Tensor) -> Coefficients:
        """Coefficients at time `t` in 0..1."""
        return Coefficients(1 - t, t, self.spread * t)


@dataclass(frozen=True)
class ResidualShift:
    """x_t = (1 - t) x0 + t u + kappa sqrt(t) e, t the shifted share (ResShift, Yue et al. 2023)."""

    kappa: float = 2.0

    def at(self, t: Tensor) -> Coefficients:
        """Coefficients at share `t` in 0..1."""
        return Coefficients(1 - t, t, self.kappa * t.sqrt())


@dataclass(frozen=True)
class Bridge:
    """x_t = (1 - t) x0 + t u + s sqrt(t (1 - t)) e, t the share of the variance (I2SB, Liu et al. 2023)."""

    spread: float = 1.0

    def at(self, t: Tensor) -> Coefficients:
        """Coefficients at share `t` in 0..1."""
        return Coefficients(1 - t, t, self.spread * (t * (1 - t)).clamp(min=0).sqrt())
