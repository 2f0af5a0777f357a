"""Where an element stands: its place in the frame decides which random numbers it gets."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rawdiff_kernels import checks
from rawdiff_kernels.checks import FLOATS, KernelError
from rawdiff_kernels.photon import reference

Level = float | Tensor
"""One number for all pixels, or a tensor that broadcasts to their shape."""

_STREAMS = 1 << 24
_LARGEST = 1 << 32


class Grid(NamedTuple):
    """The elements of a call as `[planes, rows, columns]`, and which random numbers they get."""

    planes: int
    rows: int
    columns: int
    origin_row: int
    origin_column: int
    seed: int
    stream: int

    def draw(self, device: torch.device) -> reference.Draw:
        """Return the numbering as the reference takes it."""
        origin = (self.origin_row, self.origin_column)
        return reference.number_elements(
            self.planes, self.rows, self.columns, self.seed, self.stream, origin, device
        )

    def scalars(self) -> tuple[int, ...]:
        """Return the numbering as C and Triton take it: the seed as a signed 64-bit number."""
        seed = self.seed - (1 << 64) if self.seed >= 1 << 63 else self.seed
        return (*self[:5], seed, self.stream)


class Map(NamedTuple):
    """A tensor that broadcasts over a grid: its data without the repeats, and a step per dimension."""

    data: Tensor
    steps: tuple[int, int, int]

    def spread(self, grid: Grid) -> Tensor:
        """Return the value of every element, flat, in float64."""
        return self.data.double().expand(grid.planes, grid.rows, grid.columns).reshape(-1)


def lay_grid(name: str, tensor: Tensor, seed: int, stream: int, origin: tuple[int, int]) -> Grid:
    """Number the elements of `tensor` from `origin` on, or refuse what has no number."""
    if tensor.numel() == 0:
        raise checks.ShapeError(name, tensor.shape, "no empty dimension")
    if not 0 <= seed < 1 << 64:
        raise KernelError(f"seed must be in 0 to 2^64 - 1, got {seed}")
    if not 0 <= stream < _STREAMS:
        raise KernelError(f"stream must be in 0 to 2^24 - 1, got {stream}")
    rows, columns = (1, 1, *tensor.shape)[-2:]
    planes = tensor.numel() // (rows * columns)
    if min(origin) < 0 or max(planes, origin[0] + rows, origin[1] + columns) > _LARGEST:
        raise KernelError(f"elements are numbered in 32 bits, got {list(tensor.shape)} at origin {origin}")
    return Grid(planes, rows, columns, origin[0], origin[1], seed, stream)


def lay_map(name: str, level: Level, like: Tensor) -> Map:
    """Lay a level over the grid of `like` without copying what repeats."""
    data = level if isinstance(level, Tensor) else torch.tensor(level, dtype=like.dtype, device=like.device)
    checks.require_dtype(name, data, FLOATS)
    try:
        spread = data.detach().to(like.dtype).expand(like.shape)
    except RuntimeError:
        raise checks.ShapeError(name, data.shape, f"one that broadcasts to {list(like.shape)}") from None
    rows, columns = (1, 1, *like.shape)[-2:]
    view = spread.reshape(-1, rows, columns)
    compact = view[tuple(slice(0, 1) if step == 0 else slice(None) for step in view.stride())].contiguous()
    steps = [0 if size == 1 else step for size, step in zip(compact.shape, compact.stride(), strict=True)]
    return Map(compact, (steps[0], steps[1], steps[2]))
