"""A U-Net over a large frame: the finest level in strips, the coarse levels whole.

The finest level holds two thirds of the memory and sees a few pixels; the coarse levels are small and see
far. So the finest is made strip by strip with a margin of a few pixels, and only its skip is kept. The
result is that of the whole frame at once, whatever the strips; the cost is a few percent of the finest level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from rawdiff.networks.unet import UNet

Rows = slice
_Estimate = TypeVar("_Estimate")
Writer = Callable[[Rows, _Estimate], None]

_STRIP_CELLS = 1 << 17
"""Pixels of the finest level in a strip. Its feature maps (16 MB at 32 channels) stay near the processor, and
of a size that the allocator keeps; half as many cost 4 % in margins, twice as many as much in cache."""


def run_in_strips(
    unet: UNet, size: Sequence[int], read: Callable[[Rows], Tensor], write: Callable[[Rows, Tensor], None]
) -> None:
    """Evaluate `unet` on a frame whose features and answers exist only in strips.

    Args:
        unet: in inference; no gradient is kept.
        size: rows and columns of the frame, multiples of the network's `align`.
        read: the cells `[1, channels_in stem^2, rows/stem, w/stem]` of rows of the frame, as `enter` takes
            them; neighbouring strips overlap.
        write: takes the answer `[1, channels_out, rows, w]` of rows of the frame, each row once.
    """
    height, width = size
    cell, pair = unet.stem, 2 * unet.stem
    skip = _channels_last(unet.widths[0], height // cell, width // cell)
    coarse = _channels_last(unet.widths[1], height // pair, width // pair)
    for inner, outer in _plan(unet, height, width):
        entered = unet.enter(read(outer))[:, :, _cells(inner, cell, outer.start)]
        skip[:, :, _cells(inner, cell)] = entered
        coarse[:, :, _cells(inner, pair)] = unet.descend(entered)
    del entered
    # Handed over, not kept: the coarse levels are where memory is largest.
    last = [coarse]
    del coarse
    deep = unet.deepen(last.pop())
    for inner, outer in _plan(unet, height, width):
        answer = unet.leave(deep[:, :, _cells(outer, pair)], skip[:, :, _cells(outer, cell)])
        write(inner, answer[:, :, _cells(inner, 1, outer.start)])


def _channels_last(channels: int, height: int, width: int) -> Tensor:
    return torch.empty(1, height, width, channels).permute(0, 3, 1, 2)


def _plan(unet: UNet, height: int, width: int) -> Iterator[tuple[Rows, Rows]]:
    """Rows of each strip, and with the margin that the finest level sees."""
    pair = 2 * unet.stem
    margin = -(-unet.fine_reach() // pair) * pair
    rows = max(_STRIP_CELLS * unet.stem // (width // unet.stem) // unet.align, 1) * unet.align
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield slice(top, bottom), slice(max(top - margin, 0), min(bottom + margin, height))


def _cells(rows: Rows, cell: int, origin: int = 0) -> Rows:
    return slice((rows.start - origin) // cell, (rows.stop - origin) // cell)
