"""Cutting a frame into tiles so that the result does not depend on the cut.

A tile has an inner part, which it alone writes, and a halo around it, which it only reads. Where the halo
is at least the reach of the operation, every output pixel sees the same neighbours whatever the tile size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


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


def plan_tiles(height: int, width: int, size: int, halo: int, align: int = 1) -> Iterator[Tile]:
    """Yield the tiles of a frame, row by row.

    Args:
        height: rows of the frame.
        width: columns of the frame.
        size: side of the inner part in pixels, rounded up to a multiple of `align`.
        halo: pixels read around it, rounded up to a multiple of `align` (so the CFA phase is kept at 2).
        align: every outer edge that is not the frame's own falls on a multiple of this.

    Raises:
        ValueError: a size that is not positive.
    """
    if height < 1 or width < 1 or size < 1 or align < 1 or halo < 0:
        raise ValueError(f"no tiles in a {height}x{width} frame with size {size}, halo {halo}, align {align}")
    size = -(-size // align) * align
    halo = -(-halo // align) * align
    for top in range(0, height, size):
        bottom = min(top + size, height)
        for left in range(0, width, size):
            right = min(left + size, width)
            yield Tile(
                top, bottom, left, right,
                max(top - halo, 0), min(bottom + halo, height),
                max(left - halo, 0), min(right + halo, width),
            )  # fmt: skip
