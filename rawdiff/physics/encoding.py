"""Coordinates for light: linear, root, variance-stabilised. Each owns its inverse and the noise it implies.

Signals are packed raw, black 0 and white 1. `gain` is what one electron adds and `sigma` the standard
deviation in the dark, both on that scale and for one frame; `exposures` (n) is the number of frames whose
mean the signal is, so that Var[x] = (gain x + sigma^2) / n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_NEWTON_STEPS = 4


class Encoding(Protocol):
    """What a denoiser's domain must offer."""

    def encode(self, signal: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """Map signal into the domain."""

    def decode(self, coded: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """Map an estimate of the noise-free value back to signal."""

    def noise_std(self, signal: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """Standard deviation of the noise in the domain where the light is `signal`."""


@dataclass(frozen=True)
class Linear:
    """The signal itself; its noise grows with the light."""

    gain: Tensor
    sigma: Tensor

    def encode(self, signal: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """The identity."""
        return signal

    def decode(self, coded: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """The identity."""
        return coded

    def noise_std(self, signal: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """Root of (gain x + sigma^2) / n."""
        return torch.sqrt((self.gain * signal.clamp(min=0) + self.sigma**2) / exposures)


@dataclass(frozen=True)
class Root:
    """sign(x) |x|^(1/power): a display-like domain without knowledge of the sensor's floor."""

    gain: Tensor
    sigma: Tensor
    power: float = 2.0

    def encode(self, signal: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """The signed root."""
        return torch.sign(signal) * signal.abs() ** (1 / self.power)

    def decode(self, coded: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """The signed power."""
        return torch.sign(coded) * coded.abs() ** self.power

    def noise_std(self, signal: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """First order around the light, held at one standard deviation near zero where the root is steep."""
        spread = Linear(self.gain, self.sigma).noise_std(signal, exposures)
        at = torch.maximum(signal.abs(), spread)
        return spread * at ** (1 / self.power - 1) / self.power


@dataclass(frozen=True)
class VarianceStabilised:
    """Generalised Anscombe transform: noise of standard deviation 1/sqrt(n) wherever a few electrons are.

    z = 2 sqrt(e + s^2 + 3/(8 n)) with e = x / gain and s = sigma / gain [e-], which is the transform of the
    mean of n frames divided by sqrt(n): the picture stays in place where n changes across the frame.
    Makitalo and Foi, "Optimal inversion of the generalized Anscombe transformation for Poisson-Gaussian
    noise", TIP 2013.

    Attributes:
        gain: broadcastable to the signal, above 0.
        sigma: likewise, at least 0.
    """

    gain: Tensor
    sigma: Tensor

    def floor(self, exposures: Tensor | float = 1.0) -> Tensor:
        """The transform of no light at all."""
        return 2.0 * torch.sqrt((self.sigma / self.gain) ** 2 + 0.375 / exposures)

    def encode(self, signal: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """Transform a measured value; far below black it ends at 0."""
        inside = signal / self.gain + ((self.sigma / self.gain) ** 2 + 0.375 / exposures)
        return 2.0 * torch.sqrt(inside.clamp(min=0))

    def decode(self, coded: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """Exact unbiased inverse: the light whose measurements have `coded` as their mean transform.

        Closed form of the inverse of E[z | e]; below nine tenths of the floor it goes on along its tangent,
        so that it is monotone, differentiable and may leave values below black.
        """
        return self.gain * self._electrons(coded, exposures)

    def expect(self, signal: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """Mean transform of measurements of light `signal`: the inverse of `decode`, by Newton's method."""
        electrons = signal / self.gain
        coded = self.encode(signal.clamp(min=0), exposures)
        for _ in range(_NEWTON_STEPS):
            excess = self._electrons(coded, exposures) - electrons
            coded = coded - excess / self._slope(coded, exposures)
        return coded

    def noise_std(self, signal: Tensor, exposures: Tensor | float = 1.0) -> Tensor:
        """1/sqrt(n) everywhere, of the signal's shape."""
        return torch.ones_like(signal) / torch.sqrt(torch.as_tensor(exposures, dtype=signal.dtype))

    def _split(self, coded: Tensor, exposures: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        """The transform of n e electrons cut off at the tangent point, that point, and what lies below it."""
        frames = torch.as_tensor(exposures, dtype=coded.dtype, device=coded.device)
        mean = torch.sqrt(frames) * coded
        lowest = 0.9 * torch.sqrt(frames) * self.floor(exposures)
        inside = torch.maximum(mean, lowest)
        return inside, lowest, mean - inside

    def _electrons(self, coded: Tensor, exposures: Tensor | float) -> Tensor:
        inside, lowest, below = self._split(coded, exposures)
        inverse = 1.0 / inside
        series = inverse * (0.25 * 1.5**0.5 + inverse * (-1.375 + inverse * 0.625 * 1.5**0.5))
        counted = 0.25 * inside**2 + series + below * _tangent(lowest) - 0.125
        electrons: Tensor = counted / exposures - (self.sigma / self.gain) ** 2
        return electrons

    def _slope(self, coded: Tensor, exposures: Tensor | float) -> Tensor:
        inside, _, _ = self._split(coded, exposures)
        frames = torch.as_tensor(exposures, dtype=coded.dtype, device=coded.device)
        return _tangent(inside) / torch.sqrt(frames)


def _tangent(mean: Tensor) -> Tensor:
    """Derivative of the closed-form inverse."""
    inverse = 1.0 / mean
    root = 1.5**0.5
    slope: Tensor = 0.5 * mean + inverse**2 * (-0.25 * root + inverse * (2.75 - inverse * 1.875 * root))
    return slope
