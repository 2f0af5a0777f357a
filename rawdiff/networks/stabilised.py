"""The camera-independent denoiser: D(state, sigma map) -> noise-free state, in the stabilised domain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rawdiff.networks.condition import BLUR_REACH, STABILISED_CHANNELS, blur, stabilised_features
from rawdiff.networks.unet import UNet, pad_to

_GATE_AT_START = -2.0


class StabilisedDenoiser(nn.Module):
    """A U-Net that weighs the measured detail and adds what is missing.

    out = base + gate * (state - base) + sigma * residual, where base is a 7x7 blur: at low light the blur
    is the better start, in bright light the measurement is, and the gate moves between the two.

    Args:
        widths: channels of the U-Net's levels.
        blocks: residual blocks a level.
    """

    def __init__(
        self, widths: Sequence[int] = (32, 64, 128, 256), blocks: Sequence[int] = (1, 1, 1, 2)
    ) -> None:
        super().__init__()
        self.config = {"widths": list(widths), "blocks": list(blocks)}
        self.unet = UNet(STABILISED_CHANNELS, 8, widths, blocks)

    @property
    def align(self) -> int:
        """Tile edges fall on multiples of this many packed pixels."""
        return self.unet.align

    @property
    def halo(self) -> int:
        """Packed pixels a tile reads beyond what it writes."""
        return self.unet.reach() + BLUR_REACH

    def forward(self, state: Tensor, sigma: Tensor, floor: Tensor) -> Tensor:
        """Estimate the noise-free state.

        Args:
            state: `[B, 4, h, w]`, variance-stabilised.
            sigma: standard deviation of its noise, broadcastable to it, above 0.
            floor: transform of no light, broadcastable to it.
        """
        height, width = state.shape[-2:]
        state = pad_to(state, self.align)
        sigma = spread_over(sigma, state)
        floor = spread_over(floor, state)
        base = blur(state)
        answer = self.unet(stabilised_features(state, base, sigma, floor))
        gate = torch.sigmoid(answer[:, :4] + _GATE_AT_START)
        clean = base + gate * (state - base) + sigma * answer[:, 4:]
        inside: Tensor = clean[..., :height, :width]
        return inside


def spread_over(figure: Tensor, state: Tensor) -> Tensor:
    """Extend a map to the size of the padded state; a scalar or a per-plane figure stays as it is."""
    if figure.ndim < 2 or figure.shape[-2:] in ((1, 1), state.shape[-2:]):
        return figure.reshape((1,) * (4 - figure.ndim) + figure.shape)
    right, down = state.shape[-1] - figure.shape[-1], state.shape[-2] - figure.shape[-2]
    leading = figure.reshape(-1, 1, *figure.shape[-2:])
    padded = F.pad(leading, (0, right, 0, down), mode="replicate")
    return padded.reshape(*figure.shape[:-2], *state.shape[-2:])
