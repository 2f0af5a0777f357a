"""The network of the exposure process: from a state at some exposure to the clean light.

It is told the exposure only by its photons: state and photon map enter through the stabilising transform,
2 sqrt(P + s^2 + 3/8), in units of the noise that so many photons have.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rawdiff.networks.condition import ORIGIN_CHANNELS, Origin, origin_features
from rawdiff.networks.residual import AdaptiveResidual
from rawdiff.networks.stabilised import StabilisedNetwork


class ExposureNetwork(StabilisedNetwork[AdaptiveResidual]):
    """U-Net with photon map in and adaptive residual layer out.

    Args:
        widths: channels of the U-Net's levels.
        blocks: residual blocks a level.
        photon_map: tell the network how many photons there are; without, it sees the detail alone.
        adaptive_residual: mix a direct estimate with a corrected state; without, the direct one alone.
        origin: show it the photograph beside the state at every step; without, only the share of it that the
            state still holds.
        steps: evaluations of the trajectories it is trained on, and its own number at inference.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (1, 1, 2, 1),
        photon_map: bool = True,
        adaptive_residual: bool = True,
        origin: bool = True,
        steps: int = 3,
    ) -> None:
        super().__init__(9, widths, blocks, ORIGIN_CHANNELS if origin else 0)
        self.config = {
            "widths": list(widths),
            "blocks": list(blocks),
            "photon_map": photon_map,
            "adaptive_residual": adaptive_residual,
            "origin": origin,
            "steps": steps,
        }
        self.steps = steps
        self.photon_map = photon_map
        self.adaptive_residual = adaptive_residual
        self.origin = origin

    def features(
        self, state: Tensor, base: Tensor, sigma: Tensor, floor: Tensor, origin: Origin | None
    ) -> Tensor:
        """The features of the domain, and the photograph; without the photon map its share of them is 0."""
        features = super().features(state, base, sigma, floor, None)
        if not self.photon_map:
            detail = 4 * self.unet.stem**2
            features = torch.cat([features[:, :detail], torch.zeros_like(features[:, detail:])], dim=1)
        if not self.origin:
            return features
        # A walk that only begins is at its origin.
        started = Origin(state, sigma, floor) if origin is None else origin
        return torch.cat([features, origin_features(started, base, floor, self.unet.stem)], dim=1)

    def answer(self, planes: Tensor, state: Tensor, base: Tensor, sigma: Tensor) -> AdaptiveResidual:
        """Read both branches and the map that mixes them."""
        both = AdaptiveResidual.split(planes, base, state, sigma)
        if self.adaptive_residual:
            return both
        return AdaptiveResidual(torch.ones_like(both.mix), both.direct, both.corrected)
