"""Warping, mismatch and accumulation in Triton, in the order of reference.py.

What a window looks at is written out first, so that a window sum only reads: along the row, then down.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from rawdiff_kernels.launch import Specimen, interpreted, programs
from rawdiff_kernels.merge.taps import SAMPLES, STEPS

_TILE = {"ROWS": 64, "COLUMNS": 64} if interpreted() else {"ROWS": 4, "COLUMNS": 64}
_TINY = tl.constexpr(1e-30)


@triton.jit
def _cells(height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Rows, columns, offsets and mask of this program's tile."""
    y = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    x = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)[None, :]
    return y, x, y * width + x, (y < height) & (x < width)


@triton.jit
def _between(position, count, inverse, origin):
    way = tl.minimum(tl.maximum((position.to(tl.float32) - origin) * inverse, 0.0), count - 1)
    before = tl.minimum(tl.floor(way), tl.maximum(count - 2, 0))
    index = before.to(tl.int64)
    return index, tl.minimum(index + 1, count - 1), way - before


@triton.jit
def _shift(field, above, below, left, right, u, v, columns, inside, AXIS: tl.constexpr):
    ul = tl.load(field + (above * columns + left) * 2 + AXIS, mask=inside, other=0.0)
    ur = tl.load(field + (above * columns + right) * 2 + AXIS, mask=inside, other=0.0)
    ll = tl.load(field + (below * columns + left) * 2 + AXIS, mask=inside, other=0.0)
    lr = tl.load(field + (below * columns + right) * 2 + AXIS, mask=inside, other=0.0)
    upper, lower = ul + v * (ur - ul), ll + v * (lr - ll)
    return upper + u * (lower - upper)


@triton.jit
def _read(
    planes, weights, place, top, left, count, height, width, red_row, red_column, inside, S: tl.constexpr
):  # fmt: skip
    """One colour of the mosaic by the weights at `place`, and how many of its samples do not exist."""
    missing, first = tl.zeros(place.shape, tl.int32), weights + place * (4 * S * S)
    value = tl.zeros(place.shape, tl.float32)
    for k in range(S * S):
        lane = tl.zeros(place.shape, tl.float32)
        for plane in range(count):
            row, column = red_row ^ (plane >> 1), red_column ^ (plane & 1)
            y, x = ((top - row + 1) >> 1) + k // S, ((left - column + 1) >> 1) + k % S
            weight = tl.load(first + (plane * S * S + k), mask=inside, other=0.0)
            there = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            missing += tl.where(there | (weight == 0.0), 0, 1)
            source = planes + tl.cast(height, tl.int64) * width * plane
            found = tl.load(source + y * width + x, mask=inside & there, other=0.0)
            lane += tl.where(weight == 0.0, 0.0, weight * found)
        value += lane
    return value, missing


@triton.jit
def merge_place_kernel(
    field, places, width, field_rows, field_columns, top, rows, inverse, origin,
    BITS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Where the field sends the first pixel of each cell, in steps of the mosaic: places [2, rows, w]."""
    y, x, at, inside = _cells(rows, width, ROWS, COLUMNS)
    above, below, u = _between(y + top, field_rows, inverse, origin)
    left, right, v = _between(x, field_columns, inverse, origin)
    down = _shift(field, above, below, left, right, u, v, field_columns, inside, 0)
    across = _shift(field, above, below, left, right, u, v, field_columns, inside, 1)
    period = 2 << BITS
    size = tl.cast(rows, tl.int64) * width
    place_y = tl.floor(down * period + 0.5).to(tl.int64) + (y + top) * period
    place_x = tl.floor(across * period + 0.5).to(tl.int64) + x * period
    tl.store(places + at, place_y.to(tl.int32), mask=inside)
    tl.store(places + size + at, place_x.to(tl.int32), mask=inside)


@triton.jit
def merge_warp_kernel(
    planes, places, weights, shares, out, share, count, height, width, rows, red_row, red_column,
    BITS: tl.constexpr, S: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    # `count` is always 4: a number known ahead would be unrolled, at the cost of registers.
    _, _, at, inside = _cells(rows, width, ROWS, COLUMNS)
    period = 2 << BITS
    size, missing = tl.cast(rows, tl.int64) * width, tl.zeros((ROWS, COLUMNS), tl.int32)
    place_y = tl.load(places + at, mask=inside, other=0)
    place_x = tl.load(places + size + at, mask=inside, other=0)
    kept = tl.zeros((ROWS, COLUMNS), tl.float32)
    for plane in range(count):
        row, column = red_row ^ (plane >> 1), red_column ^ (plane & 1)
        sought_y, sought_x = place_y + (row << BITS), place_x + (column << BITS)
        part_y = (sought_y - (red_row << BITS)) & (period - 1)
        part_x = (sought_x - (red_column << BITS)) & (period - 1)
        place = ((plane + 1) // 2 * period + part_y) * period + part_x
        first_y, first_x = (sought_y >> BITS) - S + 1, (sought_x >> BITS) - S + 1
        value, absent = _read(
            planes, weights, place, first_y, first_x, count, height, width, red_row, red_column, inside, S
        )  # fmt: skip
        missing += absent
        tl.store(out + plane * size + at, value, mask=inside)
        kept += tl.load(shares + place, mask=inside, other=0.0)
    tl.store(share + at, tl.where(missing == 0, kept * 0.25, 0.0), mask=inside)
    for plane in range(count):
        tl.store(out + plane * size + at, tl.zeros((ROWS, COLUMNS), tl.float32), mask=inside & (missing > 0))


@triton.jit
def _valid(alternate, share, at, size, inside):
    """Whether a cell has a share and no NaN among its four samples."""
    valid = inside & (tl.load(share + at, mask=inside, other=0.0) > 0.0)
    for plane in tl.static_range(4):
        found = tl.load(alternate + plane * size + at, mask=inside, other=0.0)
        valid = valid & (found == found)
    return valid


@triton.jit
def _window_sum(values, y, x, height, width, radius):
    """Sum over (2 radius + 1)^2 cells, along the rows first; nothing beyond the frame."""
    total = tl.zeros(tl.broadcast(y, x)[0].shape, tl.float32)
    for k in range(-radius, radius + 1):
        row = y + k
        line = tl.zeros(total.shape, tl.float32)
        for m in range(-radius, radius + 1):
            column = x + m
            there = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            line += tl.load(values + row * width + column, mask=there, other=0.0)
        total += line
    return total


@triton.jit
def _stable(light, weight, at, inside, offset, factor, SINGLE: tl.constexpr):
    value = tl.load(light + at, mask=inside, other=0.0)
    if not SINGLE:
        value = tl.div_rn(value, tl.load(weight + at, mask=inside, other=1.0))
    return 2.0 * tl.sqrt_rn(tl.maximum((value + offset) * factor, 0.0)), value


@triton.jit
def merge_compare_kernel(
    light, weight, square, alternate, share, constants, parts, height, width, e,
    SINGLE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Squares, expected sum, slopes beyond noise, count of each cell, parts [4, h, w]."""
    y, x, at, inside = _cells(height, width, ROWS, COLUMNS)
    size = tl.cast(height, tl.int64) * width
    north, south = tl.maximum(y - 1, 0) * width + x, tl.minimum(y + 1, height - 1) * width + x
    west, east = y * width + tl.maximum(x - 1, 0), y * width + tl.minimum(x + 1, width - 1)
    valid = _valid(alternate, share, at, size, inside)
    part_share = tl.load(share + at, mask=inside, other=0.0)
    before = tl.full((ROWS, COLUMNS), 1.0, tl.float32)
    own = tl.full((ROWS, COLUMNS), 1.0, tl.float32)
    if not SINGLE:
        before = tl.load(weight + at, mask=inside, other=1.0)
        own = tl.div_rn(tl.load(square + at, mask=inside, other=1.0), before * before)
    exposure = tl.zeros((ROWS, COLUMNS), tl.float32) + e
    by_shot, by_read = tl.div_rn(part_share, exposure), tl.div_rn(part_share, exposure * exposure)
    squares, expected = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS, COLUMNS), tl.float32)
    slopes = tl.zeros((ROWS, COLUMNS), tl.float32)
    for plane in range(4):
        gain, floor = tl.load(constants + 4 * plane), tl.load(constants + 4 * plane + 1)
        offset, factor = tl.load(constants + 4 * plane + 2), tl.load(constants + 4 * plane + 3)
        start = light + plane * size
        found = tl.load(alternate + plane * size + at, mask=inside, other=0.0)
        here, value = _stable(start, weight, at, inside, offset, factor, SINGLE)
        # A NaN sample is dropped below; the maximum may turn it into a number before.
        there = 2.0 * tl.sqrt_rn(tl.maximum((found + offset) * factor, 0.0))
        down = _stable(start, weight, south, inside, offset, factor, SINGLE)[0]
        down -= _stable(start, weight, north, inside, offset, factor, SINGLE)[0]
        across = _stable(start, weight, east, inside, offset, factor, SINGLE)[0]
        across -= _stable(start, weight, west, inside, offset, factor, SINGLE)[0]
        mean = tl.div_rn(value * before + found * exposure, before + exposure)
        photons = gain * tl.maximum(mean, 0.0)
        noise = photons + floor
        part = tl.div_rn(photons, tl.maximum(noise, _TINY))
        unit = tl.div_rn(noise, photons + gain * offset)
        squares += (here - there) * (here - there)
        expected += unit * (own + (part * by_shot + (1.0 - part) * by_read))
        slopes += 0.25 * (down * down + across * across) - unit * own
    tl.store(parts + at, tl.where(valid, squares, 0.0), mask=inside)
    tl.store(parts + size + at, tl.where(valid, expected, 0.0), mask=inside)
    tl.store(parts + 2 * size + at, tl.where(valid, slopes, 0.0), mask=inside)
    tl.store(parts + 3 * size + at, tl.where(valid, 1.0, 0.0), mask=inside)


@triton.jit
def merge_weigh_kernel(
    parts, trust, low, high, height, width, radius, slack, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    y, x, at, inside = _cells(height, width, ROWS, COLUMNS)
    size = tl.cast(height, tl.int64) * width
    squares = _window_sum(parts, y, x, height, width, radius)
    expected = _window_sum(parts + size, y, x, height, width, radius)
    slopes = _window_sum(parts + 2 * size, y, x, height, width, radius)
    count = _window_sum(parts + 3 * size, y, x, height, width, radius).to(tl.int32)
    allowed = tl.maximum(expected + slack * tl.maximum(slopes, 0.0), _TINY)
    least, most = tl.load(low + count), tl.load(high + count)
    t = tl.div_rn(most - tl.div_rn(squares, allowed), most - least)
    t = tl.minimum(tl.maximum(t, 0.0), 1.0)
    valid = tl.load(parts + 3 * size + at, mask=inside, other=0.0) > 0.0
    tl.store(trust + at, tl.where(valid, (t * t) * (3.0 - 2.0 * t), 0.0), mask=inside)


@triton.jit
def merge_add_kernel(
    total,
    weight,
    square,
    alternate,
    share,
    trust,
    height,
    width,
    e,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    _, _, at, inside = _cells(height, width, ROWS, COLUMNS)
    size = tl.cast(height, tl.int64) * width
    kept = tl.load(trust + at, mask=inside, other=0.0)
    used = _valid(alternate, share, at, size, inside) & (kept > 0.0)
    w = tl.where(used, kept * e, 0.0)
    for plane in range(4):
        target = total + plane * size + at
        added = tl.where(used, w * tl.load(alternate + plane * size + at, mask=used, other=0.0), 0.0)
        tl.store(target, tl.load(target, mask=inside, other=0.0) + added, mask=inside)
    tl.store(weight + at, tl.load(weight + at, mask=inside, other=0.0) + w, mask=inside)
    part = w * w * tl.load(share + at, mask=inside, other=0.0)
    added = tl.div_rn(part, tl.zeros((ROWS, COLUMNS), tl.float32) + e)
    tl.store(square + at, tl.load(square + at, mask=inside, other=0.0) + added, mask=inside)


@triton.jit
def merge_differ_kernel(
    estimate, variance, alternate, share, constants, ones, parts, height, width, radius, e,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Energy, count, and the difference and its variance of each plane, parts [10, h, w]."""
    y, x, at, inside = _cells(height, width, ROWS, COLUMNS)
    size = tl.cast(height, tl.int64) * width
    valid = _valid(alternate, share, at, size, inside)
    part_share = tl.load(share + at, mask=inside, other=0.0)
    exposure = tl.zeros((ROWS, COLUMNS), tl.float32) + e
    area = tl.maximum(_window_sum(ones, y, x, height, width, radius), 1.0)
    energy = tl.zeros((ROWS, COLUMNS), tl.float32)
    for plane in range(4):
        gain, floor = tl.load(constants + 4 * plane), tl.load(constants + 4 * plane + 1)
        light = _window_sum(estimate + plane * size, y, x, height, width, radius)
        photons = gain * tl.maximum(tl.div_rn(light, area), 0.0)
        noise = tl.div_rn(photons, exposure) + tl.div_rn(exposure * 0.0 + floor, exposure * exposure)
        own = tl.load(variance + plane * size + at, mask=inside, other=1.0)
        whole = tl.maximum(own + part_share * noise, _TINY)
        found = tl.load(alternate + plane * size + at, mask=inside, other=0.0)
        difference = found - tl.load(estimate + plane * size + at, mask=inside, other=0.0)
        energy += tl.where(valid, tl.div_rn(difference * difference, whole), 0.0)
        tl.store(parts + (2 + plane) * size + at, tl.where(valid, difference, 0.0), mask=inside)
        tl.store(parts + (6 + plane) * size + at, tl.where(valid, whole, 0.0), mask=inside)
    tl.store(parts + at, energy, mask=inside)
    tl.store(parts + size + at, tl.where(valid, 1.0, 0.0), mask=inside)


@triton.jit
def merge_mismatch_kernel(parts, out, height, width, radius, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    y, x, at, inside = _cells(height, width, ROWS, COLUMNS)
    size = tl.cast(height, tl.int64) * width
    energy = _window_sum(parts, y, x, height, width, radius)
    count = _window_sum(parts + size, y, x, height, width, radius)
    tl.store(out + at, tl.div_rn(energy, tl.maximum(count, 1.0) * 4.0), mask=inside)
    shift = tl.zeros((ROWS, COLUMNS), tl.float32)
    for plane in tl.static_range(4):
        push = _window_sum(parts + (2 + plane) * size, y, x, height, width, radius)
        spread = _window_sum(parts + (6 + plane) * size, y, x, height, width, radius)
        shift += tl.div_rn(push * push, tl.maximum(spread, _TINY))
    tl.store(out + size + at, shift * 0.25, mask=inside)


def warp(
    planes: Tensor, field: Tensor, weights: Tensor, shares: Tensor, out: Tensor, share: Tensor, height: int,
    width: int, field_rows: int, field_columns: int, spacing: int, top: int, rows: int, red_row: int,
    red_column: int, samples: int, origin: float,
) -> None:  # fmt: skip
    """Run both kernels; the contract is `reference.warp`."""
    places = torch.empty(2, rows, width, dtype=torch.int32, device=planes.device)
    bits, grid = STEPS.bit_length() - 1, _grid(rows, width)
    merge_place_kernel[grid](
        field, places, width, field_rows, field_columns, top, rows, 1.0 / spacing, origin, BITS=bits, **_TILE
    )  # fmt: skip
    merge_warp_kernel[grid](
        planes, places, weights, shares, out, share, 4, height, width, rows, red_row, red_column,
        BITS=bits, S=samples, **_TILE,
    )  # fmt: skip


def judge(
    light: Tensor, weight: Tensor, square: Tensor, alternate: Tensor, share: Tensor, trust: Tensor,
    constants: Tensor, low: Tensor, high: Tensor, height: int, width: int, radius: int, single: int,
    exposure: float, slack: float,
) -> None:  # fmt: skip
    """Run both kernels; the contract is `reference.judge`."""
    grid, parts = _grid(height, width), torch.empty(4, height, width, device=light.device)
    merge_compare_kernel[grid](
        light, weight, square, alternate, share, constants, parts, height, width, exposure,
        SINGLE=bool(single), **_TILE,
    )  # fmt: skip
    merge_weigh_kernel[grid](parts, trust, low, high, height, width, radius, slack, **_TILE)


def add(total: Tensor, *rest: Tensor | int | float) -> None:
    """Run the kernel; the contract is `reference.add`."""
    merge_add_kernel[_grid(total.shape[1], total.shape[2])](total, *rest, **_TILE)


def mismatch(
    estimate: Tensor, variance: Tensor, alternate: Tensor, share: Tensor, constants: Tensor, out: Tensor,
    height: int, width: int, radius: int, exposure: float,
) -> None:  # fmt: skip
    """Run both kernels; the contract is `reference.mismatch`."""
    grid, parts = _grid(height, width), torch.empty(10, height, width, device=estimate.device)
    ones = torch.ones_like(share)
    merge_differ_kernel[grid](
        estimate,
        variance,
        alternate,
        share,
        constants,
        ones,
        parts,
        height,
        width,
        radius,
        exposure,
        **_TILE,
    )
    merge_mismatch_kernel[grid](parts, out, height, width, radius, **_TILE)


def specimens() -> list[Specimen]:
    """The kernels with the types that they are compiled for ahead of time."""
    numbers = {"inverse": "fp32", "origin": "fp32", "e": "fp32", "slack": "fp32"}
    reds = ("red_row", "red_column")
    sizes = ("count", "height", "width", "field_rows", "field_columns", "top", "rows", "radius", *reds)
    tile: dict[str, Any] = {"ROWS": 4, "COLUMNS": 64}
    bits = {"BITS": STEPS.bit_length() - 1}
    kernels = {
        "place": (merge_place_kernel, tile | bits), "warp": (merge_warp_kernel, tile | bits | {"S": SAMPLES}),
        "compare": (merge_compare_kernel, tile | {"SINGLE": False}),
        "weigh": (merge_weigh_kernel, tile), "add": (merge_add_kernel, tile),
        "differ": (merge_differ_kernel, tile), "mismatch": (merge_mismatch_kernel, tile),
    }  # fmt: skip
    found = []
    for name, (kernel, constants) in kernels.items():
        arguments = [argument for argument in kernel.arg_names if argument not in constants]
        types = {a: numbers.get(a, "i32" if a in sizes else "*fp32") for a in arguments}
        types |= {"places": "*i32"} if "places" in types else {}
        found.append(Specimen(name, kernel, types, constants))
    return found


def _grid(rows: int, columns: int) -> tuple[int, int]:
    return programs(rows, _TILE["ROWS"]), programs(columns, _TILE["COLUMNS"])
