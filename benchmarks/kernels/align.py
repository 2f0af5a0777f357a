"""Alignment of one frame over a pyramid of four levels, on the grey of a mosaic of the given size."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from rawdiff_kernels import align
from rawdiff_kernels.align.op import cost
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.routes import Route
from torch import Tensor

from benchmarks.kernels.measure import Measurement

LEVELS = ((16, 1, "l1"), (16, 4, "l2"), (16, 4, "l2"), (8, 4, "l2"))
"""Tile, radius and metric from fine to coarse; each level after the first is 2, 4 and 4 times smaller."""


def measurements(height: int, width: int, device: torch.device) -> Iterator[Measurement]:
    """The whole pyramid, and each of its levels alone."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.rand(height // 2 + 8, width // 2 + 8, generator=generator)
    own = _pyramid(scene[:-8, :-8].to(device).contiguous())
    other = _pyramid((scene[3:-5, 5:-3] + 0.02 * torch.rand(own[0].shape, generator=generator)).to(device))
    route: Route = "gpu" if device.type == "cuda" else "cpu"
    costs = [cost(a, tile, radius, tile // 2) for a, (tile, radius, _) in zip(own, LEVELS, strict=True)]
    whole = Cost(sum(c.bytes for c in costs), sum(c.operations for c in costs))
    yield Measurement(
        "align", "a frame: its pyramid and four levels", whole,
        {route: lambda: _align(own, _pyramid(other[0]), route)},
    )  # fmt: skip
    for a, b, c, level in zip(own, other, costs, LEVELS, strict=True):
        name = f"{a.shape[0]}x{a.shape[1]}, tile {level[0]}, radius {level[1]}, {level[2]}"
        yield Measurement("align", name, c, {route: lambda a=a, b=b, level=level: _match(a, b, level, route)})


def _pyramid(grey: Tensor) -> list[Tensor]:
    levels = [grey]
    for halvings in (1, 2, 2):
        for _ in range(halvings):
            grey = align.downsample(grey)
        levels.append(grey)
    return levels


def _match(own: Tensor, other: Tensor, level: tuple[int, int, str], route: Route) -> Tensor:
    tile, radius, metric = level
    found, _ = align.match_tiles(
        own, other, tile, radius, metric=metric, subpixel=metric == "l2", route=route
    )  # type: ignore[arg-type]
    return found


def _align(own: list[Tensor], other: list[Tensor], route: Route) -> list[Tensor]:
    return [_match(a, b, level, route) for a, b, level in zip(own, other, LEVELS, strict=True)]
