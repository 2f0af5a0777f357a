"""What tile matching is, in plain torch: the order of every sum is laid down, so that routes agree bitwise.

A pixel that is NaN in one of the two frames, or lies outside one, takes no part.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Metric = Literal["l1", "l2"]

LANES = 8
"""Partial sums per tile: pixel column x goes to lane x mod 8, lanes are joined in neighbouring pairs."""

LEAST_SHARE = 4
"""A candidate counts when at least 1/4 of the tile's own pixels have a partner."""


def steps(radius: int) -> list[tuple[int, int]]:
    """Return the steps of the search window, shortest first (then by row, then by column)."""
    window = [(dy, dx) for dy in range(-radius, radius + 1) for dx in range(-radius, radius + 1)]
    return sorted(window, key=lambda step: (step[0] ** 2 + step[1] ** 2, *step))


def ring() -> list[tuple[int, int]]:
    """Return the 3x3 steps row by row."""
    return [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def downsample(grey: Tensor) -> Tensor:
    """Halve a picture with the filter [1, 3, 3, 1] / 8 along both axes, borders repeated."""
    for dim in (0, 1):
        size = grey.shape[dim]
        even = torch.arange(0, size, 2, device=grey.device)
        taps = [grey.index_select(dim, (even + k).clamp(0, size - 1)) for k in (-1, 0, 1, 2)]
        grey = ((taps[0] + taps[3]) + 3.0 * (taps[1] + taps[2])) * 0.125
    return grey


def _tiles(padded: Tensor, top: Tensor, left: Tensor, rows: int, columns: int) -> Tensor:
    """Cut [Ty, Tx, rows, columns] out of a frame; `top` and `left` are [Ty, Tx] positions in it."""
    y = top[..., None, None] + torch.arange(rows, device=padded.device)[:, None]
    x = left[..., None, None] + torch.arange(columns, device=padded.device)
    height, width = padded.shape
    outside = (y < 0) | (y >= height) | (x < 0) | (x >= width)
    found = padded[y.clamp(0, height - 1), x.clamp(0, width - 1)]
    return torch.where(outside, math.nan, found)


def _join(partial: Tensor) -> Tensor:
    """Sum the lanes, neighbours first; [..., 8] to [...]."""
    while partial.shape[-1] > 1:
        partial = partial[..., 0::2] + partial[..., 1::2]
    return partial[..., 0]


def tile_cost(own: Tensor, other: Tensor, metric: Metric) -> Tensor:
    """Mean |difference| or its square over the pixels that have a partner; [Ty, Tx, T, T] to [Ty, Tx]."""
    difference = own - other
    paired = ~difference.isnan()
    term = difference * difference if metric == "l2" else difference.abs()
    term = torch.where(paired, term, torch.zeros_like(term))
    tile = own.shape[-1]
    term = pad(term, (0, -tile % LANES))
    partial = torch.zeros_like(term[..., 0, :LANES])
    for y in range(tile):
        for x in range(0, term.shape[-1], LANES):
            partial = partial + term[..., y, x : x + LANES]
    count, whole = paired.sum((-2, -1)), (~own.isnan()).sum((-2, -1))
    known = (count > 0) & (LEAST_SHARE * count >= whole)
    mean = _join(partial) / count.clamp(min=1).to(term.dtype)
    return torch.where(known, mean, math.inf)


def subpixel_step(costs: Tensor) -> Tensor:
    """Where a quadratic surface fitted to 3x3 costs is least: (dy, dx), [..., 9] to [..., 2].

    Least squares; (0, 0) where the surface has no minimum within one pixel.
    """
    c = costs.unbind(-1)
    left, centre, right = (c[0] + c[3]) + c[6], (c[1] + c[4]) + c[7], (c[2] + c[5]) + c[8]
    top, middle, bottom = (c[0] + c[1]) + c[2], (c[3] + c[4]) + c[5], (c[6] + c[7]) + c[8]
    slope_x, slope_y = (right - left) * (1 / 6), (bottom - top) * (1 / 6)
    bend_x = ((right + left) - 2.0 * centre) * (1 / 3)
    bend_y = ((bottom + top) - 2.0 * middle) * (1 / 3)
    twist = ((c[0] + c[8]) - (c[2] + c[6])) * 0.25
    determinant = bend_x * bend_y - twist * twist
    dx = (twist * slope_y - bend_y * slope_x) / determinant
    dy = (twist * slope_x - bend_x * slope_y) / determinant
    good = (bend_x > 0.0) & (determinant > 0.0) & (dx.abs() <= 1.0) & (dy.abs() <= 1.0)
    step = torch.stack((dy, dx), dim=-1)
    return torch.where(good[..., None], step, torch.zeros_like(step))


def match_tiles(
    reference: Tensor, alternate: Tensor, start: Tensor, tile: int, radius: int, stride: int, metric: Metric,
    subpixel: bool, penalties: list[float],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Search each tile of `reference` in `alternate` around whole-pixel `start`; `penalties` one per step."""
    rows, columns, _ = start.shape
    device = reference.device
    top = (torch.arange(rows, device=device) * stride)[:, None].expand(rows, columns)
    left = (torch.arange(columns, device=device) * stride)[None, :].expand(rows, columns)
    own = _tiles(reference, top, left, tile, tile)
    begin = start.to(torch.int64)

    def cost_at(dy: Tensor, dx: Tensor) -> Tensor:
        return tile_cost(own, _tiles(alternate, top + dy, left + dx, tile, tile), metric)

    best = torch.full((rows, columns), math.inf, dtype=reference.dtype, device=device)
    cost, chosen = best.clone(), begin.clone()
    for (dy, dx), penalty in zip(steps(radius), penalties, strict=True):
        vector = begin + torch.tensor((dy, dx), device=device)
        found = cost_at(vector[..., 0], vector[..., 1])
        total = found + torch.tensor(penalty, dtype=found.dtype, device=device)
        better = total < best
        best, cost = torch.where(better, total, best), torch.where(better, found, cost)
        chosen = torch.where(better[..., None], vector, chosen)
    vectors = chosen.to(reference.dtype)
    if subpixel:
        around = [cost_at(chosen[..., 0] + dy, chosen[..., 1] + dx) for dy, dx in ring()]
        vectors = vectors + subpixel_step(torch.stack(around, dim=-1))
    return vectors, cost
