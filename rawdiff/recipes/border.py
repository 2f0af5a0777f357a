"""The frame's border: a mosaic goes on beyond it as its own mirror image.

A network that meets the edge of its input denoises there with half of what it sees elsewhere. A mosaic that
is mirrored about its first and last row and column keeps its colour filter array, so that what the network
finds beyond the border is what it was trained on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawdiff.raw.frame import plane_sites

MARGIN = 16
"""Packed pixels added on each side: a multiple of every network's alignment; twice as many gain nothing."""


def mirror_beyond(planes: Tensor, margin: int = MARGIN) -> Tensor:
    """Extend packed raw `[4, h, w]`, R, Gr, Gb, B, by `margin` packed pixels on each side."""
    height, width = planes.shape[-2:]
    extended = []
    for plane, (row, column) in zip(planes, plane_sites("RGGB"), strict=True):
        rows, columns = _mirrored(height, margin, row), _mirrored(width, margin, column)
        extended.append(plane.index_select(0, rows).index_select(1, columns))
    return torch.stack(extended)


def mirror_map(figure: Tensor, margin: int = MARGIN) -> Tensor:
    """Extend a map `[..., h, w]` of Bayer cells alike; a figure that is one for the frame stays as it is."""
    if figure.shape[-2:] == (1, 1):
        return figure
    rows, columns = (_mirrored(side, margin, 0) for side in figure.shape[-2:])
    return figure.index_select(-2, rows).index_select(-1, columns)


def inside(extended: Tensor, margin: int = MARGIN) -> Tensor:
    """What lies within the border, `[..., h, w]`."""
    return extended[..., margin:-margin, margin:-margin].contiguous()


def _mirrored(cells: int, margin: int, parity: int) -> Tensor:
    """For each cell of the extended side the one it shows; `parity` is the plane's place in a cell."""
    last = 2 * cells - 1
    place = (2 * torch.arange(-margin, cells + margin) + parity).abs()
    if cells <= margin:  # mirrored again and again; exported graphs take no remainder by a free size
        place = place % (2 * last)
    return (last - (last - place).abs()) // 2
