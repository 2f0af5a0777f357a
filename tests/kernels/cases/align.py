"""Calls of the align op: one order of summation, hence equal bits on every route."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from rawdiff_kernels import align
from rawdiff_kernels.align.reference import Metric
from rawdiff_kernels.routes import Route
from rawdiff_kernels.testing import ODD_SIZES, AgreementCase, strided
from torch import Tensor


def _match(
    height: int, width: int, tile: int, radius: int, metric: Metric, stride: int | None = None,
    subpixel: bool = True, view: bool = False, holes: bool = False, gpu: bool = True,
) -> AgreementCase:  # fmt: skip
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        generator = torch.Generator().manual_seed(height * 1000 + width)
        scene = torch.rand(height + 3, width + 2, generator=generator)
        own, other = scene[:height, :width].clone(), scene[2:, 1:].clone()
        other += 0.02 * torch.rand(other.shape, generator=generator)
        if holes:
            own[torch.rand(own.shape, generator=generator) < 0.3] = float("nan")
            other[: height // 2, : width // 2] = float("nan")
        rows, columns = align.tile_grid(height, width, tile, stride or max(tile // 2, 1))
        start = torch.rand(rows, columns, 2, generator=generator) * 3 - 2
        own, other, start = own.to(device), other.to(device), start.to(device)
        own, other, start = (strided(t) for t in (own, other, start)) if view else (own, other, start)
        vectors, cost = align.match_tiles(
            own, other, tile, radius, start, stride=stride, metric=metric, subpixel=subpixel,
            length_penalty=0.01, route=route,
        )  # fmt: skip
        return {"vectors": vectors, "cost": cost}

    name = f"{height}x{width} tile {tile} radius {radius} {metric} stride {stride} subpixel {subpixel}"
    name += f"{' view' if view else ''}{' holes' if holes else ''}"
    return AgreementCase(name, compute, 0.0, ("cpu", "gpu") if gpu else ("cpu",))


def cases() -> Iterator[AgreementCase]:
    """Odd sizes, tiles wider than the frame, pixels left out, both metrics, views."""
    for size in ODD_SIZES:
        yield _match(size, 7, 8, 1, "l1", gpu=False)
        yield _match(5, size, 16, 2, "l2", gpu=False)
    yield _match(13, 17, 8, 2, "l2")
    yield _match(12, 9, 7, 1, "l1", holes=True)
    yield _match(20, 30, 16, 0, "l1", stride=16, subpixel=False, view=True)
    yield _match(40, 57, 16, 4, "l2", holes=True, gpu=False)
    yield _match(40, 57, 16, 2, "l2", view=True, gpu=False)
