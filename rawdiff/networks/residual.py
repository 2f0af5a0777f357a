"""The adaptive residual layer: a network that says where to trust the state and where to invent.

F = M x0 + (1 - M) (residual + Z), M in (0, 1) one map for all planes (Wang et al., "ExposureDiffusion",
ICCV 2023, section 3.3). In the published layer both branches are clipped to [0, 1]; here only at white,
since a state may lie below black.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AdaptiveResidual:
    """The two answers of a network and the map that mixes them, planes `[B, C, h, w]`, map `[B, 1, h, w]`."""

    mix: Tensor
    direct: Tensor
    corrected: Tensor

    @classmethod
    def split(cls, answer: Tensor, state: Tensor) -> AdaptiveResidual:
        """Read the 2C + 1 channels of a network's answer: mix, direct estimate, residual."""
        planes = state.shape[1]
        if answer.shape[1] != 2 * planes + 1:
            raise ValueError(f"{planes} planes need {2 * planes + 1} channels, not {answer.shape[1]}")
        mix = torch.sigmoid(answer[:, :1])
        return cls(mix, answer[:, 1 : planes + 1], answer[:, planes + 1 :] + state)

    def image(self) -> Tensor:
        """The mixed estimate, clipped at white."""
        return self.mix * self.direct.clamp(max=1.0) + (1 - self.mix) * self.corrected.clamp(max=1.0)
