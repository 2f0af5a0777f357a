"""Carrying a change of light from a small picture to the large one, along its edges.

Around every small pixel the change is an affine law of the picture's own value, new = a old + b; the laws
vary slowly, so they can be enlarged where values cannot (He and Sun, "Fast guided filter", 2015; Chen et
al., "Bilateral guided upsampling", SIGGRAPH Asia 2016). Where nothing varies the law is a gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

_TOE = 0.0015
"""Light below which the root becomes a line: its slope at black is that of sRGB."""

_ROOT_TOE = _TOE**0.5
_SPAN = (1 + _TOE) ** 0.5 - _ROOT_TOE


def encode_light(linear: Tensor) -> Tensor:
    """(sqrt(x + c) - sqrt(c)) / (sqrt(1 + c) - sqrt(c)), going on straight below black; 0 and 1 stay."""
    root = torch.sqrt(linear.clamp(min=0) + _TOE) - _ROOT_TOE
    encoded: Tensor = (root + linear.clamp(max=0) * (0.5 / _ROOT_TOE)) * (1 / _SPAN)
    return encoded


def decode_light(encoded: Tensor) -> Tensor:
    """The inverse of `encode_light`."""
    root = encoded * _SPAN
    above = root.clamp(min=0) + _ROOT_TOE
    linear: Tensor = above * above - _TOE + root.clamp(max=0) * (2 * _ROOT_TOE)
    return linear


@dataclass(frozen=True)
class LocalLaw:
    """new = slope old + offset, maps `[B, C, h, w]` over the small picture."""

    slope: Tensor
    offset: Tensor

    def apply(self, rows: Tensor, size: tuple[int, int], top: int) -> Tensor:
        """Change rows `[B, C, n, W]` of a picture of `size` that begin at row `top`."""
        bottom = top + rows.shape[-2]
        slope = grow(self.slope, size, top, bottom)[..., : rows.shape[-1]]
        return slope * rows + grow(self.offset, size, top, bottom)[..., : rows.shape[-1]]


def fit_law(old: Tensor, new: Tensor, radius: int, contrast: float) -> LocalLaw:
    """Fit the law of every window by least squares, drawn to the window's mean gain where it is flat.

    Args:
        old: `[B, C, h, w]`, black 0.
        new: what became of it.
        radius: windows are squares of 2 radius + 1.
        contrast: standard deviation of `old` in a window at which fit and mean gain weigh the same.
    """
    mean_old, mean_new = _window(old, radius), _window(new, radius)
    both, square = _window(old * new, radius), _window(old * old, radius)
    weight = contrast**2
    gain = (both + 1e-4) / (square + 1e-4)
    slope = (both - mean_old * mean_new + weight * gain) / (square - mean_old * mean_old + weight)
    offset = mean_new - slope * mean_old
    return LocalLaw(_window(slope, radius), _window(offset, radius))


def grow(maps: Tensor, size: tuple[int, int], top: int, bottom: int) -> Tensor:
    """Rows `top` to `bottom` of maps `[..., h, w]` enlarged to `size`; bilinear, the edge repeated.

    Only sums and products in a fixed order: rows are the same bits in whatever band they are asked for.
    """
    height, width = maps.shape[-2:]
    below, above, share = _places(torch.arange(top, bottom), size[0], height)
    rows = maps[..., below, :] + share[:, None] * (maps[..., above, :] - maps[..., below, :])
    left, right, share = _places(torch.arange(size[1]), size[1], width)
    return rows[..., left] + share * (rows[..., right] - rows[..., left])


def _places(index: Tensor, large: int, small: int) -> tuple[Tensor, Tensor, Tensor]:
    at = ((index.double() + 0.5) * (small / large) - 0.5).clamp(0, small - 1)
    first = at.floor().long()
    return first, (first + 1).clamp(max=small - 1), (at - first).float()


def _window(maps: Tensor, radius: int) -> Tensor:
    """Means over squares, of what lies inside the picture."""
    return avg_pool2d(maps, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
