"""Cutting a frame into tiles so that the result does not depend on the cut.

A tile has an inner part, which it alone writes, and a halo around it, which it only reads. Where the halo
is at least the reach of the operation, every output pixel sees the same neighbours whatever the tile size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

_MOST_PARTS = 64


@dataclass(frozen=True)
class Tile:
    """Half-open pixel ranges: `inner` is written, `outer` (inner plus halo, cut at the frame) is read."""

    inner_top: int
    inner_bottom: int
    inner_left: int
    inner_right: int
    outer_top: int
    outer_bottom: int
    outer_left: int
    outer_right: int

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of the inner part, in frame coordinates."""
        return slice(self.inner_top, self.inner_bottom), slice(self.inner_left, self.inner_right)

    @property
    def outer(self) -> tuple[slice, slice]:
        """Rows and columns of the part that is read, in frame coordinates."""
        return slice(self.outer_top, self.outer_bottom), slice(self.outer_left, self.outer_right)

    @property
    def inner_in_outer(self) -> tuple[slice, slice]:
        """Rows and columns of the inner part, in the coordinates of the outer one."""
        top = self.inner_top - self.outer_top
        left = self.inner_left - self.outer_left
        return (
            slice(top, top + self.inner_bottom - self.inner_top),
            slice(left, left + self.inner_right - self.inner_left),
        )


def divide(height: int, width: int, area: int, halo: int, align: int = 1) -> tuple[int, int]:
    """Rows and columns of the inner part with which a frame costs least.

    Of all even cuts whose tiles, halo included, have at most `area` pixels, the one that reads the fewest
    pixels in total. Where even the smallest tile has more, that one: `align` pixels a side.

    Args:
        height: rows of the frame.
        width: columns of the frame.
        area: pixels that a tile may read.
        halo: pixels read around the inner part.
        align: the sides are multiples of this.

    Raises:
        ValueError: no frame, or no alignment.
    """
    if height < 1 or width < 1 or align < 1 or halo < 0:
        raise ValueError(f"no cut of a {height}x{width} frame with halo {halo}, align {align}")
    best, least = (align, align), math.inf
    for rows, highest, high in _cuts(height, halo, align):
        for columns, widest, wide in _cuts(width, halo, align):
            if highest * widest <= area and high * wide < least:
                best, least = (rows, columns), high * wide
    return best


def _cuts(length: int, halo: int, align: int) -> list[tuple[int, int, int]]:
    """Even cuts of a side: the inner length, the largest outer one, and the sum of all outer ones."""
    cells = -(-length // align)
    sizes = {-(-cells // parts) * align for parts in range(1, min(cells, _MOST_PARTS) + 1)}
    cuts = []
    for size in sorted(sizes, reverse=True):
        tiles = plan_tiles(length, 1, (size, align), halo, align)
        outer = [tile.outer_bottom - tile.outer_top for tile in tiles]
        cuts.append((size, max(outer), sum(outer)))
    return cuts


def plan_tiles(
    height: int, width: int, size: int | tuple[int, int], halo: int, align: int = 1
) -> Iterator[Tile]:
    """Yield the tiles of a frame, row by row.

    Args:
        height: rows of the frame.
        width: columns of the frame.
        size: side of the inner part in pixels, or its rows and columns, rounded up to multiples of `align`.
        halo: pixels read around it, rounded up to a multiple of `align` (so the CFA phase is kept at 2).
        align: every outer edge that is not the frame's own falls on a multiple of this.

    Raises:
        ValueError: a size that is not positive.
    """
    rows, columns = size if isinstance(size, tuple) else (size, size)
    if min(height, width, rows, columns, align) < 1 or halo < 0:
        raise ValueError(f"no tiles in a {height}x{width} frame with size {size}, halo {halo}, align {align}")
    rows, columns, halo = (-(-length // align) * align for length in (rows, columns, halo))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        for left in range(0, width, columns):
            right = min(left + columns, width)
            yield Tile(
                top, bottom, left, right,
                max(top - halo, 0), min(bottom + halo, height),
                max(left - halo, 0), min(right + halo, width),
            )  # fmt: skip
