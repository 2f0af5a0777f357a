"""What the quadruple prior is, in plain torch: a colour model, five Gaussian filters, four invariants.

One file holds the published form and the invariant one; they differ in where eps stands (see README).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Padding = Literal["reflect", "zero"]
Form = Literal["invariant", "published"]

COLOR_MODEL = ((0.06, 0.63, 0.27), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17))
"""E, E_lambda, E_lambda_lambda from linear R, G, B (Geusebroek et al., TPAMI 2001)."""

SCALE_LIMIT = 2.5
RATIO_FLOOR = 1e-4
"""Added to the ratio inside C's logarithm, so that grey has a value; it does not depend on the gain."""


def radius_of(scale: float) -> int:
    """Half-width of the filters at log2 sigma = `scale`: ceil(3 sigma + 1/2)."""
    return math.ceil(3.0 * math.pow(2.0, scale) + 0.5)


def taps(scale: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Right halves, centre first, of the filters at log2 sigma = `scale`; each [radius + 1].

    The Gaussian is even and sums to 1; its derivative is odd, its magnitudes sum to 1. The 2-D filters of
    the published code are the outer products of these, normalisation included.
    """
    x = torch.arange(radius + 1, dtype=scale.dtype, device=scale.device)
    sigma = torch.exp2(scale)
    bell = torch.exp(-(x * x) / (2.0 * sigma * sigma))
    slope = -x * bell
    return bell / (2.0 * bell.sum() - bell[0]), slope / (2.0 * slope.abs().sum())


def pad_index(size: int, radius: int, device: torch.device) -> Tensor:
    """Mirror positions -radius to size + radius - 1 into [0, size), the border itself not repeated."""
    position = torch.arange(-radius, size + radius, device=device)
    period = max(2 * (size - 1), 1)
    folded = position % period
    return torch.where(folded < size, folded, period - folded)


def pad(plane: Tensor, radius: int, dim: int, padding: Padding) -> Tensor:
    """Extend a dimension by `radius` on both sides."""
    if padding == "reflect":
        return plane.index_select(dim, pad_index(plane.shape[dim], radius, plane.device))
    shape = list(plane.shape)
    shape[dim] = radius
    border = plane.new_zeros(shape)
    return torch.cat((border, plane, border), dim)


def correlate(plane: Tensor, half: Tensor, parity: int, dim: int, padding: Padding) -> Tensor:
    """Correlate along one dimension with an even (`parity` 1) or odd (-1) filter given by its right half.

    The two sides are joined before they are weighted, on every route in this order.
    """
    radius, size = half.numel() - 1, plane.shape[dim]
    extended = pad(plane, radius, dim, padding)
    total = half[0] * plane if parity > 0 else torch.zeros_like(plane)
    for k in range(1, radius + 1):
        right, left = extended.narrow(dim, radius + k, size), extended.narrow(dim, radius - k, size)
        total = total + half[k] * (right + left if parity > 0 else right - left)
    return total


def order(rgb: Tensor) -> Tensor:
    """Rank of R, G, B in each pixel, scaled to [-1, 1] and without a gradient; [..., 3, H, W].

    Half the sum of the signs of a colour's differences from the two others: 1, 0, -1 where they differ; two
    that tie share a rank (1/2 or -1/2 each); 0 where all are equal.
    """
    red, green, blue = rgb.detach().unbind(-3)

    def half_sign(a: Tensor, b: Tensor) -> Tensor:
        return 0.5 * ((a > b).to(rgb.dtype) - (a < b).to(rgb.dtype))

    red_green, green_blue, red_blue = half_sign(red, green), half_sign(green, blue), half_sign(red, blue)
    return torch.stack((red_green + red_blue, green_blue - red_green, 0.0 - (red_blue + green_blue)), -3)


def responses(rgb: Tensor, matrix: Tensor, bell: Tensor, slope: Tensor, padding: Padding) -> list[Tensor]:
    """E, its derivatives along rows and columns, E_lambda and E_lambda_lambda, all smoothed; each [H, W]."""
    energy, first, second = (row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2] for row in matrix.unbind(0))
    even, odd = (bell, 1), (slope, -1)
    level, ramp, first, second = (
        correlate(plane, *kernel, 1, padding)
        for plane, kernel in ((energy, even), (energy, odd), (first, even), (second, even))
    )
    return [
        correlate(plane, *kernel, 0, padding)
        for plane, kernel in ((level, even), (level, odd), (ramp, even), (first, even), (second, even))
    ]


def invariants(filtered: list[Tensor], eps: float, form: Form) -> tuple[Tensor, Tensor, Tensor]:
    """H, C and W of the filtered planes; eps is a value in the published form, its square in the other."""
    level, down, across, first, second = filtered
    if form == "published":
        hue = torch.atan(first / (second + eps))
        chroma = torch.log((first * first + second * second) / (level * level + eps) + eps)
        edge = torch.atan((down / (level + eps)) ** 2 + (across / (level + eps)) ** 2)
        return hue, chroma, edge
    # atan(first / second) as an angle folded into [-pi/2, pi/2]: its gradient is finite at second = 0.
    side = torch.where(second < 0.0, -1.0, 1.0).to(second.dtype)
    hue = torch.atan2(first * side, second * side)
    below = level * level + eps
    chroma = torch.log((first * first + second * second) / below + RATIO_FLOOR)
    edge = torch.atan((down * down + across * across) / below)
    return hue, chroma, edge


def prior(
    rgb: Tensor, matrix: Tensor, scale: Tensor, radii: list[int], eps: float, padding: Padding, form: Form
) -> Tensor:
    """[B, 6, H, W] in the order H, C, O_R, O_G, O_B, W; `radii` are the filters' half-widths."""
    images = []
    for image, its_scale, radius in zip(rgb, scale, radii, strict=True):
        bell, slope = taps(its_scale, radius)
        hue, chroma, edge = invariants(responses(image, matrix, bell, slope, padding), eps, form)
        images.append(torch.cat((torch.stack((hue, chroma)), order(image), edge.unsqueeze(0))))
    return torch.stack(images)
