"""The mosaic as four planes, one per CFA site, read by offsets in pixels.

Every formula of a demosaicing paper is written around a pixel; on a Bayer lattice the neighbour at a fixed
offset of all pixels of one site is a shifted view of one plane. So formulas keep the paper's offsets, every
pixel is computed only where it is needed, and nothing but slices and exact arithmetic touches the data.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

Site = tuple[int, int]
SITES: tuple[Site, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
Colors = dict[Site, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""R, G, B at the pixels of each site."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """Planes `[rows + 2 margin, columns + 2 margin]` by site (row % 2, column % 2), in units of cells."""

    planes: dict[Site, torch.Tensor]
    margin: int

    @classmethod
    def split(cls, mosaic: torch.Tensor, margin: int) -> Lattice:
        """Split a mosaic that carries `margin` cells (2 `margin` pixels) beyond its frame on every side."""
        planes = {(r, c): mosaic[r::2, c::2].contiguous() for r, c in SITES}
        return cls(planes, margin)

    def at(self, site: Site, down: int, right: int, margin: int) -> torch.Tensor:
        """View of the pixels `down` and `right` of each pixel of `site`, `margin` cells beyond the frame."""
        row, column = site[0] + down, site[1] + right
        plane = self.planes[row % 2, column % 2]
        spare = self.margin - margin
        top, left = spare + row // 2, spare + column // 2
        rows, columns = plane.shape
        if top < 0 or left < 0 or max(row // 2, column // 2) > spare:
            raise ValueError(f"a margin of {self.margin} cells does not reach ({down}, {right})")
        return plane[top : rows - 2 * spare + top, left : columns - 2 * spare + left]

    def pair(self, site: Site, down: int, right: int, margin: int) -> torch.Tensor:
        """Sum of the two pixels at plus and minus the offset."""
        return self.at(site, -down, -right, margin) + self.at(site, down, right, margin)


def reflect_index(start: int, stop: int, length: int) -> torch.Tensor:
    """Rows `start` to `stop` of a frame of `length` rows, mirrored at its first and last row.

    The mirror's period is even, so a row keeps its place in the Bayer cell.
    """
    period = 2 * (length - 1)
    index = torch.arange(start, stop) % period
    return torch.minimum(index, period - index)


def extend(mosaic: torch.Tensor, top: int, bottom: int, reach: int) -> torch.Tensor:
    """Rows `top` to `bottom` of a mosaic with `reach` mirrored (or true) pixels on every side."""
    height, width = mosaic.shape
    if top >= reach and bottom + reach <= height:
        rows = mosaic[top - reach : bottom + reach]
    else:
        rows = mosaic[reflect_index(top - reach, bottom + reach, height)]
    left = rows[:, reflect_index(-reach, 0, width)]
    right = rows[:, reflect_index(width, width + reach, width)]
    return torch.cat((left, rows, right), dim=1)
