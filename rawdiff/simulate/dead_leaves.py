"""Dead leaves: endless scenes of occluding discs, with the statistics of natural images at no cost.

Matheron's model: discs of radius density r^-3 fall on one another (Lee, Mumford and Huang, IJCV 2001).
Each leaf has a colour, a slope of light across it, and sometimes a grating: edges, gradients and texture
at every scale, which is most of what a denoiser has to know.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

_OVERSAMPLING = 2


def draw_scene(height: int, width: int, generator: Generator, leaves: int = 1500) -> Tensor:
    """Draw a scene.

    Args:
        height: rows.
        width: columns.
        generator: source of randomness.
        leaves: discs that fall, the last on top.

    Returns:
        `[3, height, width]` float32 linear sRGB in [0, 1], its edges averaged over 2x2 samples.
    """
    rows, columns = height * _OVERSAMPLING, width * _OVERSAMPLING
    scene = _color(generator).view(3, 1, 1).expand(3, rows, columns).clone()
    smallest, largest = 3.0, 0.35 * min(rows, columns)
    draws = torch.rand(leaves, 3, generator=generator)
    # Inverse of the distribution function of density r^-3 on [smallest, largest].
    radii = (smallest**-2 - draws[:, 0] * (smallest**-2 - largest**-2)) ** -0.5
    for radius, at_row, at_column in zip(radii.tolist(), *draws[:, 1:].T.tolist(), strict=True):
        _drop_leaf(scene, radius, at_row * rows, at_column * columns, generator)
    return torch.nn.functional.avg_pool2d(scene[None], _OVERSAMPLING)[0].clamp(0.0, 1.0)


def _drop_leaf(scene: Tensor, radius: float, row: float, column: float, generator: Generator) -> None:
    top, bottom = max(int(row - radius), 0), min(int(row + radius) + 2, scene.shape[1])
    left, right = max(int(column - radius), 0), min(int(column + radius) + 2, scene.shape[2])
    if top >= bottom or left >= right:
        return
    down = torch.arange(top, bottom).sub(row).div(radius)[:, None]
    across = torch.arange(left, right).sub(column).div(radius)[None, :]
    inside = down**2 + across**2 <= 1.0
    draws = torch.rand(6, generator=generator).tolist()
    angle = 2 * math.pi * draws[0]
    along = math.cos(angle) * across + math.sin(angle) * down
    shade = 1.0 + 0.6 * (draws[1] - 0.5) * along
    if draws[2] < 0.3:  # a grating, from coarse to one period in three samples
        periods = radius / 3 * draws[3] ** 2 + 1
        shade = shade * (1.0 + 0.7 * draws[4] * torch.sin(math.pi * periods * along + 6.28 * draws[5]))
    leaf = _color(generator).view(3, 1, 1) * shade
    part = scene[:, top:bottom, left:right]
    part.copy_(torch.where(inside, leaf, part))


def _color(generator: Generator) -> Tensor:
    """A linear colour: brightness over three decades' worth of stops, saturation mostly low."""
    brightness, saturation = torch.rand(2, generator=generator).tolist()
    hue = torch.rand(3, generator=generator)
    level = 0.9 * brightness**2.2 + 0.003
    color: Tensor = level * (1 - saturation**1.5 + saturation**1.5 * hue / hue.max())
    return color
