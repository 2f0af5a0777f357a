"""The adaptive residual layer: a network that says where to trust the state and where to invent.

F = M x0 + (1 - M) (residual + Z), M in (0, 1) one map for all planes (Wang et al., "ExposureDiffusion",
ICCV 2023, section 3.3). The published layer clips both branches to [0, 1] of the amplified picture; here
they live in the stabilised domain, and the process clips the mean of the photons it draws.
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
    def split(cls, answer: Tensor, base: Tensor, state: Tensor, sigma: Tensor) -> AdaptiveResidual:
        """Read the 2C + 1 channels of a network's answer: mix, direct estimate, residual.

        Both estimates are in standard deviations `sigma`: the direct one starts at `base`, the corrected
        one at `state`.

        Raises:
            ValueError: another number of channels.
        """
        planes = state.shape[1]
        if answer.shape[1] != 2 * planes + 1:
            raise ValueError(f"{planes} planes need {2 * planes + 1} channels, not {answer.shape[1]}")
        direct = base + sigma * answer[:, 1 : planes + 1]
        corrected = state + sigma * answer[:, planes + 1 :]
        # At the start the direct branch has most of the weight: a blur is better than the noise.
        return cls(torch.sigmoid(answer[:, :1] + 2.0), direct, corrected)

    def mixed(self) -> Tensor:
        """The estimate of both branches together."""
        return self.mix * self.direct + (1 - self.mix) * self.corrected
