"""What a network is told besides the picture: noise map, level of light, read noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLUR_REACH = 3
_BINOMIAL = (1 / 64, 6 / 64, 15 / 64, 20 / 64, 15 / 64, 6 / 64, 1 / 64)


def blur(planes: Tensor) -> Tensor:
    """Binomial 7x7 blur of each plane, `[B, C, h, w]`; the edge is repeated."""
    channels = planes.shape[1]
    kernel = torch.tensor(_BINOMIAL, dtype=planes.dtype, device=planes.device)
    across = kernel.view(1, 1, 1, 7).expand(channels, 1, 1, 7)
    wide = F.conv2d(F.pad(planes, (3, 3, 0, 0), mode="replicate"), across, groups=channels)
    down = across.transpose(2, 3)
    return F.conv2d(F.pad(wide, (0, 0, 3, 3), mode="replicate"), down, groups=channels)


def stabilised_features(state: Tensor, base: Tensor, sigma: Tensor, floor: Tensor) -> Tensor:
    """Features in units of the noise, so that one network serves every camera and noise level.

    Args:
        state: variance-stabilised planes, `[B, 4, h, w]`.
        base: their blur.
        sigma: standard deviation of the noise in `state`, broadcastable to it, above 0.
        floor: the transform of no light, broadcastable to it.

    Returns:
        `[B, 16, h, w]`: detail and level of light in standard deviations (the level compressed), the
        logarithms of the noise map and of the floor, which tells the read noise.
    """
    detail = (state - base) / sigma
    level = torch.log1p(F.relu((base - floor) / sigma))
    noise, dark = torch.log(sigma).expand(state.shape), torch.log1p(floor).expand(state.shape)
    return torch.cat([detail, level, noise, dark], dim=1)


STABILISED_CHANNELS = 16
