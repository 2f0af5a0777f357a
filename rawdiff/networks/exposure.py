"""The network of the exposure process: from a state at some exposure to the clean light.

It is told the exposure only by its photons: state and photon map enter through the stabilising transform,
2 sqrt(P + s^2 + 3/8), in units of the noise that so many photons have.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rawdiff.networks.condition import BLUR_REACH, STABILISED_CHANNELS, blur, stabilised_features
from rawdiff.networks.residual import AdaptiveResidual
from rawdiff.networks.stabilised import spread_over
from rawdiff.networks.unet import UNet, pad_to


class ExposureNetwork(nn.Module):
    """U-Net with photon map in and adaptive residual layer out.

    Args:
        widths: channels of the U-Net's levels.
        blocks: residual blocks a level.
        photon_map: tell the network how many photons there are; without, it sees the detail alone.
        adaptive_residual: mix a direct estimate with a corrected state; without, the direct one alone.
        steps: evaluations of the trajectories it is trained on, and its own number at inference.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (1, 1, 2, 1),
        photon_map: bool = True,
        adaptive_residual: bool = True,
        steps: int = 3,
    ) -> None:
        super().__init__()
        self.config = {
            "widths": list(widths),
            "blocks": list(blocks),
            "photon_map": photon_map,
            "adaptive_residual": adaptive_residual,
            "steps": steps,
        }
        self.steps = steps
        self.photon_map = photon_map
        self.adaptive_residual = adaptive_residual
        self.unet = UNet(STABILISED_CHANNELS, 9, widths, blocks)

    @property
    def align(self) -> int:
        """Tile edges fall on multiples of this many packed pixels."""
        return self.unet.align

    @property
    def halo(self) -> int:
        """Packed pixels a tile reads beyond what it writes."""
        return self.unet.reach() + BLUR_REACH

    def forward(self, state: Tensor, sigma: Tensor, floor: Tensor) -> AdaptiveResidual:
        """Estimate the noise-free state.

        Args:
            state: `[B, 4, h, w]`, variance-stabilised.
            sigma: standard deviation of its noise, broadcastable to it: one over the root of the exposure.
            floor: transform of no light, broadcastable to it.
        """
        height, width = state.shape[-2:]
        state = pad_to(state, self.align)
        sigma, floor = spread_over(sigma, state), spread_over(floor, state)
        base = blur(state)
        features = stabilised_features(state, base, sigma, floor)
        if not self.photon_map:
            features = torch.cat([features[:, :4], torch.zeros_like(features[:, 4:])], dim=1)
        answer = self.unet(features)
        both = AdaptiveResidual.split(answer, base, state, sigma)
        mix = both.mix if self.adaptive_residual else torch.ones_like(both.mix)
        inside = (..., slice(height), slice(width))
        return AdaptiveResidual(mix[inside], both.direct[inside], both.corrected[inside])
