"""What the Haar op is: sums and differences of 2x2 pixels, level by level, in plain torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Coefficients(NamedTuple):
    """A transformed image.

    Attributes:
        average: [..., h, w], the LL band of the last level.
        details: one [..., 3, h_l, w_l] for each level, finest first; the bands HL, LH, HH.
        size: H and W of the image.
    """

    average: Tensor
    details: tuple[Tensor, ...]
    size: tuple[int, int]


def half(size: int) -> int:
    """Rows (or columns) of the next level: the last of an odd number counts twice."""
    return (size + 1) // 2


def forward(image: Tensor, levels: int) -> Coefficients:
    """Split `levels` times; [..., H, W] to Coefficients."""
    size = (image.shape[-2], image.shape[-1])
    details = []
    for _ in range(levels):
        image, bands = split(image)
        details.append(bands)
    return Coefficients(image, tuple(details), size)


def inverse(coefficients: Coefficients) -> Tensor:
    """Undo `forward`; Coefficients to [..., H, W]."""
    image, details, size = coefficients
    sizes = [size, *((band.shape[-2], band.shape[-1]) for band in details)]
    for bands, (height, width) in zip(reversed(details), reversed(sizes[:-1]), strict=True):
        image = join(image, bands, height, width)
    return image


def split(image: Tensor) -> tuple[Tensor, Tensor]:
    """One level: [..., H, W] to LL [..., h, w] and HL, LH, HH [..., 3, h, w]."""
    image = _replicate(image)
    a, c = image[..., 0::2, 0::2], image[..., 0::2, 1::2]
    b, d = image[..., 1::2, 0::2], image[..., 1::2, 1::2]
    upper, lower = a + c, b + d
    upper_step, lower_step = c - a, d - b
    bands = (upper_step + lower_step, lower - upper, lower_step - upper_step)
    return (upper + lower) * 0.5, torch.stack(bands, dim=-3) * 0.5


def join(average: Tensor, bands: Tensor, height: int, width: int) -> Tensor:
    """Undo `split` onto height x width, the size of the level above."""
    horizontal, vertical, diagonal = bands.unbind(-3)
    upper, lower = average - vertical, average + vertical
    upper_step, lower_step = horizontal - diagonal, horizontal + diagonal
    rows = (
        torch.stack((upper - upper_step, upper + upper_step), dim=-1).flatten(-2),
        torch.stack((lower - lower_step, lower + lower_step), dim=-1).flatten(-2),
    )
    image = torch.stack(rows, dim=-2).flatten(-3, -2) * 0.5
    return image[..., :height, :width]


def _replicate(image: Tensor) -> Tensor:
    """Repeat the last row and column where their number is odd."""
    if image.shape[-2] % 2:
        image = torch.cat((image, image[..., -1:, :]), dim=-2)
    if image.shape[-1] % 2:
        image = torch.cat((image, image[..., :, -1:]), dim=-1)
    return image
