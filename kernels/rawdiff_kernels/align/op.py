"""Tile matching: exhaustive search of each tile in a window of the other frame, then a quadratic fit."""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor

from rawdiff_kernels import checks, launch, native, routes
from rawdiff_kernels.align import reference as plain
from rawdiff_kernels.align.reference import Metric
from rawdiff_kernels.checks import FLOATS, KernelError
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.routes import Route

LARGEST_TILE = 128
LARGEST_RADIUS = 32


def tile_grid(height: int, width: int, tile: int, stride: int) -> tuple[int, int]:
    """Return how many tiles cover a frame: tile (i, j) begins at pixel (i stride, j stride)."""
    rows, columns = (max(-(-(size - tile) // stride), 0) + 1 for size in (height, width))
    return rows, columns


def downsample(grey: Tensor) -> Tensor:
    """Halve a picture: [1, 3, 3, 1] / 8 along both axes, borders repeated, so that vectors halve exactly.

    The next coarser level of a pyramid. A NaN pixel makes those NaN that see it.

    Args:
        grey: [H, W] float32 or float64.

    Returns:
        [ceil(H/2), ceil(W/2)].

    Raises:
        KernelError: a wrong shape or dtype.
    """
    checks.require_dtype("grey", grey, FLOATS)
    checks.require_shape("grey", grey, ("H", "W"))
    return plain.downsample(grey)


def match_tiles(
    reference: Tensor, alternate: Tensor, tile: int, radius: int, start: Tensor | None = None,
    *, stride: int | None = None, metric: Metric = "l2", subpixel: bool = True, length_penalty: float = 0.0,
    route: Route = "auto",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Find each tile of `reference` in `alternate`: the step of least cost within `radius` of `start`.

        cost(v) = mean over the tile of |r(p) - a(p + v)| or of its square,  v = start + step
        v = argmin cost(v) + length_penalty |step|, ties to the shorter step,

    over the pixels that both frames have and that are NaN in neither: mark saturated or defective pixels
    by NaN. A step counts where at least a quarter of the tile's own pixels have a partner. With `subpixel` a
    quadratic surface is fitted by least squares to the 3x3 costs around the minimum, and its minimum is
    added if it lies within one pixel. All routes return the same bits. Without a gradient.

    Args:
        reference: [H, W] float32 or float64, grey, exposure-normalised to `alternate`.
        alternate: [H', W'] in the same scale and dtype.
        tile: side of a tile, 1 to 128 pixels; 8, 16, 32 and 64 are fast.
        radius: reach of the search in pixels, 0 to 32.
        start: [Ty, Tx, 2] vectors (dy, dx) to search around, rounded to whole pixels; None for 0.
        stride: from one tile to the next, 1 to `tile`; None for half a tile.
        metric: "l1" or "l2".
        subpixel: whether to refine by the quadratic fit.
        length_penalty: cost per pixel of step, at least 0: keeps flat tiles where they start.
        route: the way to compute it.

    Returns:
        vectors [Ty, Tx, 2] as (dy, dx): pixel p of the reference lies at p + v in the alternate; and the cost
        [Ty, Tx] at the whole-pixel minimum, without the penalty. Where no step counts the vector is the
        rounded start and the cost infinite. Ty, Tx as `tile_grid`.

    Raises:
        KernelError: a wrong shape, dtype, size or option, or a forced route that cannot run.
    """
    stride = max(tile // 2, 1) if stride is None else stride
    _require_options(tile, radius, stride, metric, length_penalty)
    checks.require_dtype("reference", reference, FLOATS)
    checks.require_dtype("alternate", alternate, (reference.dtype,))
    checks.require_shape("reference", reference, ("H", "W"))
    checks.require_shape("alternate", alternate, ("H'", "W'"))
    rows, columns = tile_grid(reference.shape[0], reference.shape[1], tile, stride)
    if start is None:
        start = reference.new_zeros(rows, columns, 2)
    checks.require_dtype("start", start, FLOATS)
    checks.require_shape("start", start, (rows, columns, 2))
    reason = (
        {}
        if reference.dtype == torch.float32
        else dict.fromkeys(("gpu", "cpu"), "float64 is the reference's")
    )
    chosen = routes.choose("align", route, reference, alternate, start, unsupported=reason)
    begin = torch.floor(start.detach() + 0.5)
    if not bool((begin.abs() < 1 << 24).all()):
        raise KernelError("start must be finite and below 2^24 pixels")
    own, other = reference.detach().contiguous(), alternate.detach().contiguous()
    penalties = [length_penalty * math.hypot(*step) for step in plain.steps(radius)]
    if chosen == "reference":
        return plain.match_tiles(own, other, begin, tile, radius, stride, metric, subpixel, penalties)
    vectors = torch.empty(rows, columns, 2, dtype=torch.float32, device=own.device)
    cost = torch.empty(rows, columns, dtype=torch.float32, device=own.device)
    tables = (
        torch.tensor(plain.steps(radius), dtype=torch.int32, device=own.device),
        torch.tensor(penalties, dtype=torch.float32, device=own.device),
    )
    arguments = (
        own, other, begin.to(torch.int32).contiguous(), *tables, vectors, cost, *own.shape, *other.shape,
        rows, columns, tile, stride, len(penalties), int(metric == "l2"), int(subpixel),
    )  # fmt: skip
    if chosen == "gpu":
        launch.load("align").match_tiles(*arguments)
    else:
        native.call("align", "align_match_tiles", *arguments)
    return vectors, cost


def cost(reference: Tensor, tile: int, radius: int, stride: int) -> Cost:
    """Bytes and operations of `match_tiles`: both frames read once, three operations per pixel and step."""
    rows, columns = tile_grid(reference.shape[0], reference.shape[1], tile, stride)
    steps = (2 * radius + 1) ** 2
    return Cost(2 * reference.numel() * 4 + rows * columns * 12, rows * columns * tile * tile * steps * 3)


def _require_options(tile: int, radius: int, stride: int, metric: Metric, length_penalty: float) -> None:
    if not 1 <= tile <= LARGEST_TILE:
        raise KernelError(f"tile must be 1 to {LARGEST_TILE} pixels, got {tile}")
    if not 0 <= radius <= LARGEST_RADIUS:
        raise KernelError(f"radius must be 0 to {LARGEST_RADIUS} pixels, got {radius}")
    if not 1 <= stride <= tile:
        raise KernelError(f"stride must be 1 to tile, got {stride} with tile {tile}")
    if metric not in get_args(Metric):
        raise KernelError(f"metric must be one of {', '.join(get_args(Metric))}, got {metric!r}")
    if not 0.0 <= length_penalty < math.inf:
        raise KernelError(f"length_penalty must be finite and at least 0, got {length_penalty}")
