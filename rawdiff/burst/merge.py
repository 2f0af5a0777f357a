"""Adding photons: aligned frames join the reference where the noise model says that they show the same.

Every frame is compared with the estimate so far by two statistics under the calibrated noise: the energy of
the difference in a small window (texture that moved), and the signed difference of a large one (an object
hidden in the noise). Both have known distributions where nothing moved, so trust is a false-alarm rate, at
any level of light: 1 up to the value that one window in a thousand passes by chance, 0 from one in ten
million.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from rawdiff_kernels import merge as merge_kernel
from scipy.stats import chi2
from torch import Tensor
from torch.nn.functional import max_pool2d

from rawdiff.burst.align import CLIP, SPACING

DOUBT, REJECT = 1e-3, 1e-7
"""Chances under which a window of a still scene loses some trust, and all of it."""
_FINE, _WIDE = 2, 6
_PLANES = 4
_CORRELATION = 1.6
"""Interpolated noise is correlated: the energy of a window varies as if it held fewer independent values."""
_BAND = 256


@dataclass(frozen=True, eq=False)
class Light:
    """A frame ready to be added: packed raw and its noise, in units of the reference's white range.

    Attributes:
        planes: `[4, h, w]`, black 0, divided by `brightness`.
        gain: `[4]`, of the stored values before that division.
        sigma: `[4]`, the same.
        brightness: how many times brighter than the reference the frame was stored.
        photons: how many times the reference's light it holds.
    """

    planes: Tensor
    gain: Tensor
    sigma: Tensor
    brightness: float = 1.0
    photons: float = 1.0

    def clipped(self) -> Tensor:
        """1 where any plane of a cell is at the sensor's white, `[h, w]`."""
        return (self.planes.amax(dim=0) * self.brightness >= CLIP).to(self.planes.dtype)


@dataclass(eq=False)
class Merge:
    """The burst so far. The reference comes first; frames are added one at a time and not kept.

    merged = total / weight, effective exposures = weight^2 / square, all per Bayer cell.
    """

    reference: Light
    total: Tensor = field(init=False)
    weight: Tensor = field(init=False)
    square: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.total = self.reference.planes.clone()
        self.weight = torch.ones_like(self.reference.planes[0])
        self.square = torch.ones_like(self.weight)

    def add(self, frame: Light, vectors: Tensor) -> float:
        """Add a frame that `vectors` lay on the reference; return the share of it that was trusted.

        Args:
            frame: of the reference's size.
            vectors: `[gh, gw, 2]` packed pixels, `SPACING` apart, as `align.align_frame` gives them.
        """
        height, width = self.weight.shape
        stacked = torch.cat([frame.planes, frame.clipped()[None]])
        trusted = 0.0
        # Every band meets the estimate from before this frame, so that bands do not see each other.
        before = (self.total / self.weight, self.square / self.weight**2)
        for top in range(0, height, _BAND):
            bottom = min(top + _BAND, height)
            trusted += self._add_band(frame, stacked, vectors, before, top, bottom)
        return trusted / (height * width)

    def _add_band(
        self,
        frame: Light,
        stacked: Tensor,
        vectors: Tensor,
        before: tuple[Tensor, Tensor],
        top: int,
        bottom: int,
    ) -> float:
        halo = _WIDE * 2 + 2
        first, last = max(top - halo, 0), min(bottom + halo, self.weight.shape[0])
        warped, share = merge_kernel.warp(
            stacked, vectors, spacing=SPACING, origin=(SPACING - 1) / 2, rows=(first, last)
        )
        share = share * (warped[4] < 0.01)
        light, estimate = warped[:4].contiguous(), before[0][:, first:last].contiguous()
        trust = self._trust(frame, light, share, estimate, before[1][first:last])
        inner = slice(top - first, bottom - first)
        trust = trust[inner].contiguous()
        merge_kernel.accumulate(
            self.total[:, top:bottom], self.weight[top:bottom], self.square[top:bottom],
            light[:, inner], share[inner], trust, frame.photons,
        )  # fmt: skip
        return float(trust.sum())

    def _trust(self, frame: Light, light: Tensor, share: Tensor, estimate: Tensor, inverse: Tensor) -> Tensor:
        """Trust in 0..1 per cell of a band, from the worse of the two statistics."""
        reference = self.reference
        floor = (reference.sigma**2).view(_PLANES, 1, 1)
        variance = (reference.gain.view(_PLANES, 1, 1) * estimate.clamp(min=0) + floor) * inverse
        trust = (share > 0).to(light.dtype)
        for radius, signed in ((_FINE, False), (_WIDE, True)):
            energy, shift = merge_kernel.mismatch(
                estimate, variance, light, share, frame.gain, frame.sigma, frame.brightness, radius
            )
            statistic = shift if signed else energy
            freedom = _PLANES if signed else _PLANES * (2 * radius + 1) ** 2 / _CORRELATION
            trust = torch.minimum(trust, trust_of(statistic, freedom))
        # The worst cell around decides: an edge of an object is as wrong as its middle.
        worst: Tensor = -max_pool2d(-trust[None, None], 3, stride=1, padding=1)[0, 0]
        return worst * (share > 0)

    def result(self) -> tuple[Tensor, Tensor]:
        """Merged planes `[4, h, w]` and effective exposures `[h, w]`."""
        return self.total / self.weight, self.weight**2 / self.square


def trust_of(statistic: Tensor, freedom: float) -> Tensor:
    """1 below the quantile of `DOUBT`, 0 above that of `REJECT`, for a mean of `freedom` squared normals."""
    doubt, reject = (float(chi2.isf(chance, freedom)) / freedom for chance in (DOUBT, REJECT))
    return ((reject - statistic) / (reject - doubt)).clamp(0, 1)
