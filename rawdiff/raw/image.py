"""The photograph on its way: linear light as torch tensors, with the exposure it stands for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from rawdiff.raw.frame import CfaPhase


@dataclass(frozen=True, eq=False)
class ExposureMap:
    """Effective exposures per pixel, in units of one input frame: 1 for a single frame, up to N for a burst.

    `value` is a float, or a `[H/2, W/2]` tensor (one figure a Bayer cell).
    """

    value: float | torch.Tensor = 1.0

    def mean(self) -> float:
        """Mean effective exposure."""
        return float(self.value) if isinstance(self.value, float) else float(self.value.mean())


@dataclass(frozen=True, eq=False)
class PackedRaw:
    """Packed raw `[4, H/2, W/2]`, planes R, Gr, Gb, B; black 0, white 1 per plane, negatives kept.

    `phase` is the phase of the mosaic it came from, so that it can be unpacked in place.
    """

    planes: torch.Tensor
    phase: CfaPhase
    exposure: ExposureMap = ExposureMap()
