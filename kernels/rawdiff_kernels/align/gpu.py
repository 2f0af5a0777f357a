"""Tile matching in Triton: a program searches one tile, sixteen steps at a time, in the reference's order."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from rawdiff_kernels.launch import Specimen

_STEPS = 16
_LANES = tl.constexpr(8)
_LEAST_SHARE = tl.constexpr(4)
_INFINITY = tl.constexpr(float("inf"))
_SIXTH = tl.constexpr(1 / 6)
_THIRD = tl.constexpr(1 / 3)


@triton.jit
def _pixels(frame, y, x, height, width, inside):
    """Pixels of a frame, NaN outside of it or where they are not wanted."""
    inside = inside & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    at = y.to(tl.int64) * width + x
    return tl.load(frame + at, mask=inside, other=float("nan"))


@triton.jit
def _join(partial, STEPS: tl.constexpr):
    """Sum the lanes, neighbours first; [STEPS, 8] to [STEPS]."""
    a, b = tl.split(tl.reshape(partial, (STEPS, 4, 2)))
    a, b = tl.split(tl.reshape(a + b, (STEPS, 2, 2)))
    a, b = tl.split(a + b)
    return a + b


@triton.jit
def _costs(
    reference, alternate, height, width, other_height, other_width, top, left, dy, dx, known,
    TILE: tl.constexpr, SQUARE: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """The cost of a tile at the vectors (dy, dx), [STEPS]; `known` is how many pixels of its own it has."""
    lane = tl.arange(0, _LANES)[None, :]
    total = tl.zeros((STEPS, _LANES), tl.float32)
    count = tl.zeros((STEPS, _LANES), tl.float32)
    for y in range(TILE):
        for x in range(0, TILE, _LANES):
            wanted = x + lane < TILE
            own_y = tl.zeros((1, _LANES), tl.int32) + top + y
            own = _pixels(reference, own_y, left + x + lane, height, width, wanted)
            other_y, other_x = top + y + dy[:, None], left + x + lane + dx[:, None]
            other = _pixels(alternate, other_y, other_x, other_height, other_width, wanted)
            difference = own - other
            paired = difference == difference
            term = difference * difference if SQUARE else tl.abs(difference)
            total += tl.where(paired, term, 0.0)
            count += tl.where(paired, 1.0, 0.0)
    pairs = _join(count, STEPS)
    enough = (pairs > 0.0) & (_LEAST_SHARE * pairs >= known)
    return tl.where(enough, tl.div_rn(_join(total, STEPS), tl.maximum(pairs, 1.0)), _INFINITY)


@triton.jit
def _count_known(reference, height, width, top, left, TILE: tl.constexpr):
    lane = tl.arange(0, _LANES)
    known = tl.zeros((_LANES,), tl.float32)
    for y in range(TILE):
        for x in range(0, TILE, _LANES):
            row = tl.zeros((_LANES,), tl.int32) + top + y
            own = _pixels(reference, row, left + x + lane, height, width, x + lane < TILE)
            known += tl.where(own == own, 1.0, 0.0)
    return tl.sum(known)


@triton.jit
def _pick(costs, index: tl.constexpr, STEPS: tl.constexpr):
    return tl.sum(tl.where(tl.arange(0, STEPS) == index, costs, 0.0))


@triton.jit
def _refine(costs, STEPS: tl.constexpr):
    """The minimum (dy, dx) of the quadratic surface through the first nine costs, row by row."""
    costs = tl.where(tl.arange(0, STEPS) < 9, costs, 0.0)
    c0, c1, c2 = _pick(costs, 0, STEPS), _pick(costs, 1, STEPS), _pick(costs, 2, STEPS)
    c3, c4, c5 = _pick(costs, 3, STEPS), _pick(costs, 4, STEPS), _pick(costs, 5, STEPS)
    c6, c7, c8 = _pick(costs, 6, STEPS), _pick(costs, 7, STEPS), _pick(costs, 8, STEPS)
    left, centre, right = (c0 + c3) + c6, (c1 + c4) + c7, (c2 + c5) + c8
    top, middle, bottom = (c0 + c1) + c2, (c3 + c4) + c5, (c6 + c7) + c8
    slope_x, slope_y = (right - left) * _SIXTH, (bottom - top) * _SIXTH
    bend_x = ((right + left) - 2.0 * centre) * _THIRD
    bend_y = ((bottom + top) - 2.0 * middle) * _THIRD
    twist = ((c0 + c8) - (c2 + c6)) * 0.25
    determinant = bend_x * bend_y - twist * twist
    dx = tl.div_rn(twist * slope_y - bend_y * slope_x, determinant)
    dy = tl.div_rn(twist * slope_x - bend_x * slope_y, determinant)
    good = (bend_x > 0.0) & (determinant > 0.0) & (tl.abs(dx) <= 1.0) & (tl.abs(dy) <= 1.0)
    return tl.where(good, dy, 0.0), tl.where(good, dx, 0.0)


@triton.jit
def align_match_kernel(
    reference, alternate, start, steps, penalties, vectors, cost, height, width, other_height, other_width,
    columns, stride, step_count,
    TILE: tl.constexpr, SQUARE: tl.constexpr, SUBPIXEL: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0).to(tl.int64)
    top = (tile // columns * stride).to(tl.int32)
    left = (tile % columns * stride).to(tl.int32)
    start_y, start_x = tl.load(start + 2 * tile), tl.load(start + 2 * tile + 1)
    known = _count_known(reference, height, width, top, left, TILE)
    lane = tl.arange(0, STEPS)
    best = tl.full((), float("inf"), tl.float32)
    found = tl.full((), float("inf"), tl.float32)
    best_y, best_x = start_y, start_x
    for first in range(0, step_count, STEPS):
        inside = first + lane < step_count
        dy = start_y + tl.load(steps + 2 * (first + lane), mask=inside, other=0)
        dx = start_x + tl.load(steps + 2 * (first + lane) + 1, mask=inside, other=0)
        costs = _costs(
            reference, alternate, height, width, other_height, other_width, top, left, dy, dx, known,
            TILE, SQUARE, STEPS,
        )  # fmt: skip
        totals = costs + tl.load(penalties + first + lane, mask=inside, other=float("inf"))
        least = tl.min(totals)
        # The first of equals: the shortest step.
        winner = tl.min(tl.where(totals == least, lane, STEPS))
        here = lane == winner
        better = least < best
        best = tl.where(better, least, best)
        found = tl.where(better, tl.sum(tl.where(here, costs, 0.0)), found)
        best_y = tl.where(better, tl.sum(tl.where(here, dy, 0)), best_y)
        best_x = tl.where(better, tl.sum(tl.where(here, dx, 0)), best_x)
    vector_y, vector_x = best_y.to(tl.float32), best_x.to(tl.float32)
    if SUBPIXEL:
        dy, dx = best_y + lane // 3 - 1, best_x + lane % 3 - 1
        costs = _costs(
            reference, alternate, height, width, other_height, other_width, top, left, dy, dx, known,
            TILE, SQUARE, STEPS,
        )  # fmt: skip
        fine_y, fine_x = _refine(costs, STEPS)
        vector_y += fine_y
        vector_x += fine_x
    tl.store(vectors + 2 * tile, vector_y)
    tl.store(vectors + 2 * tile + 1, vector_x)
    tl.store(cost + tile, found)


def match_tiles(
    reference: Tensor, alternate: Tensor, start: Tensor, steps: Tensor, penalties: Tensor, vectors: Tensor,
    cost: Tensor, height: int, width: int, other_height: int, other_width: int, rows: int, columns: int,
    tile: int, stride: int, step_count: int, square: int, subpixel: int,
) -> None:  # fmt: skip
    """Run one program per tile; the contract is `reference.match_tiles`."""
    align_match_kernel[(rows * columns,)](
        reference, alternate, start, steps, penalties, vectors, cost,
        height, width, other_height, other_width, columns, stride, step_count,
        TILE=tile, SQUARE=bool(square), SUBPIXEL=bool(subpixel), STEPS=_STEPS, num_warps=4,
    )  # fmt: skip


def specimens() -> list[Specimen]:
    """The kernel with the types that it is compiled for ahead of time."""
    pointers = dict.fromkeys(("reference", "alternate", "penalties", "vectors", "cost"), "*fp32")
    sizes = ("height", "width", "other_height", "other_width", "columns", "stride", "step_count")
    types = pointers | {"start": "*i32", "steps": "*i32"} | dict.fromkeys(sizes, "i32")
    constants = {"TILE": 16, "STEPS": _STEPS}
    return [
        Specimen("l2 subpixel", align_match_kernel, types, constants | {"SQUARE": True, "SUBPIXEL": True}),
        Specimen("l1", align_match_kernel, types, constants | {"SQUARE": False, "SUBPIXEL": False}),
    ]
