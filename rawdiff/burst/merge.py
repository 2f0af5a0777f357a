"""Adding photons: aligned frames join the reference where the noise model says that they show the same.

Every frame is compared with the estimate so far by two statistics under the calibrated noise: the energy of
the difference in a small window, which finds texture that moved (`rawdiff_kernels.merge`), and the signed
difference of a large one, which finds an object hidden in the noise. Both have known laws where nothing
moved, so rejection is a false-alarm rate, at any level of light.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rawdiff_kernels import merge as merge_kernel
from scipy.special import chdtri
from torch import Tensor
from torch.nn.functional import max_pool2d

from rawdiff.burst.align import CLIP, STRIDE, TILE

FALSE_ALARM = 1e-4
"""Share of a still scene that loses half its weight by chance."""
WIDE_FALSE_ALARM = 1e-6
_FINE_RADIUS, _WIDE_RADIUS = 2, 5
_PLANES = 4
_MISREGISTRATION_PX = 0.04
"""Standard deviation of the alignment in packed pixels, as simulated bursts of 60 to 400 electrons show."""


@dataclass(frozen=True, eq=False)
class Light:
    """A frame ready to be added, in the reference's white range.

    Attributes:
        planes: packed raw `[4, h, w]` as stored, black 0.
        gain: `[4]`, per electron.
        sigma: `[4]`, of the signal-independent noise.
        exposure: how many times the reference's light it holds.
    """

    planes: Tensor
    gain: Tensor
    sigma: Tensor
    exposure: float = 1.0

    def usable(self) -> Tensor:
        """The planes with clipped values, and those beside them in the cell, as NaN."""
        clipped = self.planes.amax(dim=0) >= CLIP
        return self.planes.masked_fill(clipped, torch.nan) if bool(clipped.any()) else self.planes


class Merge:
    """The burst so far. The reference comes first; frames are added one at a time and not kept."""

    def __init__(self, reference: Light) -> None:
        self._reference = reference
        self._total = reference.planes.clone()
        self._weight = torch.ones_like(self._total[0])
        self._square = torch.ones_like(self._weight)

    def add(self, frame: Light, vectors: Tensor) -> float:
        """Add a frame that `vectors` lay on the reference; return the share of it that was trusted.

        Args:
            frame: of the reference's size.
            vectors: `[Ty, Tx, 2]` packed pixels, as `align.align_frame` gives them.
        """
        # A frame of equal exposure clips where the reference does, and there is nothing better to be had.
        planes = frame.planes if frame.exposure < 1.05 else frame.usable()
        warped, share = merge_kernel.warp(planes / frame.exposure, vectors, STRIDE, (TILE - 1) / 2)
        share = share.masked_fill(self._moved(frame, warped, share), 0.0)
        trust = merge_kernel.accumulate(
            self._total,
            self._weight,
            self._square,
            warped,
            share,
            exposure=frame.exposure,
            gain=self._reference.gain.tolist(),
            sigma=self._reference.sigma.tolist(),
            radius=_FINE_RADIUS,
            false_alarm=FALSE_ALARM,
            misregistration=_MISREGISTRATION_PX,
        )
        return float((trust * (share > 0)).mean())

    def _moved(self, frame: Light, warped: Tensor, share: Tensor) -> Tensor:
        """Cells near a window whose summed light differs from the estimate's beyond chance, `[h, w]` bool."""
        light, exposures = self.result()
        gain, floor = (v.view(_PLANES, 1, 1) for v in (self._reference.gain, self._reference.sigma**2))
        variance = (gain * light.clamp(min=0) + floor) / exposures
        _, shift = merge_kernel.mismatch(
            light,
            variance,
            warped,
            share,
            frame.gain.tolist(),
            frame.sigma.tolist(),
            frame.exposure,
            _WIDE_RADIUS,
        )
        alarm = (shift * _PLANES > float(chdtri(_PLANES, WIDE_FALSE_ALARM))).to(shift.dtype)
        # Half a window around: an object's edge is as wrong as its middle.
        side = 2 * (_WIDE_RADIUS // 2) + 1
        return max_pool2d(alarm[None, None], side, stride=1, padding=side // 2)[0, 0] > 0

    def result(self) -> tuple[Tensor, Tensor]:
        """Merged planes `[4, h, w]` and effective exposures `[h, w]`."""
        return merge_kernel.result(self._total, self._weight, self._square)
