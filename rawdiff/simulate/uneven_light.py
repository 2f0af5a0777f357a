"""Light that is not the same across the frame: what enhancers are judged under."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def uneven_lights(height: int, width: int) -> dict[str, Tensor]:
    """The three uneven lights as maps `[3, H, W]` of largest value about 1.

    A ramp exp(-x ln 8); a pool 1/8 + 7/8 exp(-r^2 / (2 0.2^2)) around (0.3, 0.4); two coloured lamps of
    sigma 0.5 in opposite corners. Coordinates run from 0 to 1 across the frame.
    """
    x = ((torch.arange(width) + 0.5) / width).expand(height, width)
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)

    def lamp(at_x: float, at_y: float, sigma: float) -> Tensor:
        return torch.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * sigma**2))

    warm, cold = (torch.tensor(color).view(3, 1, 1) for color in ((1.0, 0.75, 0.45), (0.45, 0.7, 1.0)))
    return {
        "ramp": torch.exp(-x * math.log(8)).expand(3, height, width),
        "pool": (1 / 8 + 7 / 8 * lamp(0.3, 0.4, 0.2)).expand(3, height, width),
        "lamps": warm * lamp(0.0, 0.0, 0.5) + cold * lamp(1.0, 1.0, 0.5),
    }
