"""What the mosaic op is: plain torch, slices of the mosaic scaled plane by plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rawdiff_kernels.checks import KernelError

PHASES = ("RGGB", "BGGR", "GRBG", "GBRG")


class Site(NamedTuple):
    """One of the 2x2 pixels of a CFA cell: its plane (R, Gr, Gb, B), its black level, its factor."""

    plane: int
    black: float
    scale: float


def sites_of(phase: str, black: Sequence[float], scale: Sequence[float]) -> tuple[Site, ...]:
    """Return the sites top left, top right, bottom left, bottom right of a phase.

    Gr is the green in the rows of red, Gb the green in the rows of blue.

    Args:
        phase: RGGB, BGGR, GRBG or GBRG.
        black: black level of R, Gr, Gb, B.
        scale: factor of R, Gr, Gb, B.

    Raises:
        KernelError: not a Bayer phase.
    """
    if phase not in PHASES:
        raise KernelError(f"phase must be one of {', '.join(PHASES)}, got {phase!r}")
    red_row, red_column = divmod(phase.index("R"), 2)
    planes = [2 * (row != red_row) + (column != red_column) for row in (0, 1) for column in (0, 1)]
    return tuple(Site(plane, float(black[plane]), float(scale[plane])) for plane in planes)


def pack(mosaic: Tensor, sites: tuple[Site, ...]) -> Tensor:
    """(x - black) scale of each site, planes in order; [H, W] to [4, H/2, W/2]."""
    pixels = mosaic if mosaic.dtype == torch.float64 else mosaic.to(torch.float32)
    planes: list[Tensor] = [pixels] * 4
    for position, site in enumerate(sites):
        row, column = divmod(position, 2)
        black, scale = _constants(site, pixels)
        planes[site.plane] = (pixels[row::2, column::2] - black) * scale
    return torch.stack(planes)


def unpack(packed: Tensor, sites: tuple[Site, ...]) -> Tensor:
    """x scale + black of each plane at its site; [4, H/2, W/2] to [H, W]."""
    _, height, width = packed.shape
    mosaic = packed.new_empty(2 * height, 2 * width)
    for position, site in enumerate(sites):
        row, column = divmod(position, 2)
        black, scale = _constants(site, packed)
        mosaic[row::2, column::2] = packed[site.plane] * scale + black
    return mosaic


def _constants(site: Site, like: Tensor) -> tuple[Tensor, Tensor]:
    """Black and scale rounded to the dtype of the data first: torch would compute with Python's doubles."""
    return like.new_tensor(site.black), like.new_tensor(site.scale)
