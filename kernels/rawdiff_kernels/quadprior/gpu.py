"""The quadruple prior in Triton: a pass along the rows, a pass down the columns that ends in the invariants.

One pass would compute the row filters 2 radius + 1 times over; the planes between the two passes cost less.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import triton
import triton.language as tl
from torch import Tensor

from rawdiff_kernels.launch import Specimen, block_sizes, programs
from rawdiff_kernels.quadprior.reference import RATIO_FLOOR

_CONFIGS = [
    triton.Config({"ROWS": rows, "COLUMNS": columns}, num_warps=warps)
    for rows, columns, warps in block_sizes(((1, 256, 4), (4, 128, 4), (8, 64, 4)))
]


class Settings(Protocol):
    """What the op decided beside its tensors."""

    eps: float
    padding: str
    form: str
    radii: list[int]


@triton.jit
def _fold(position, size):
    """Mirror positions into [0, size), the border itself not repeated."""
    period = tl.maximum(2 * (size - 1), 1)
    folded = ((position % period) + period) % period
    return tl.where(folded < size, folded, period - folded)


@triton.jit
def _model(rgb, at, inside, size, matrix):
    """E, E_l and E_ll of the pixels at `at`; 0 outside."""
    red = tl.load(rgb + at, mask=inside, other=0.0)
    green = tl.load(rgb + size + at, mask=inside, other=0.0)
    blue = tl.load(rgb + 2 * size + at, mask=inside, other=0.0)
    energy = tl.load(matrix) * red + tl.load(matrix + 1) * green + tl.load(matrix + 2) * blue
    first = tl.load(matrix + 3) * red + tl.load(matrix + 4) * green + tl.load(matrix + 5) * blue
    second = tl.load(matrix + 6) * red + tl.load(matrix + 7) * green + tl.load(matrix + 8) * blue
    return energy, first, second


@triton.jit
def _neighbour(line, size, inside, REFLECT: tl.constexpr):
    """Where position `line` of a dimension is read, and whether it is read at all."""
    if REFLECT:
        return _fold(line, size), inside
    return line, inside & (line >= 0) & (line < size)


@triton.autotune(configs=_CONFIGS, key=["height", "width"])
@triton.jit
def quadprior_rows_kernel(
    rgb, matrix, taps, radii, between, height, width, most_taps,
    REFLECT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """[B, 3, H, W] to [B, 4, H, W]: E smooth, E derivative, E_l and E_ll smooth, all along the rows."""
    y = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    x = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)[None, :]
    image = tl.program_id(2).to(tl.int64)
    size = tl.cast(height, tl.int64) * width
    inside = (y < height) & (x < width)
    rgb += image * 3 * size
    bell = taps + image * 2 * most_taps
    slope = bell + most_taps
    energy, first, second = _model(rgb, y * width + x, inside, size, matrix)
    middle = tl.load(bell)
    level, ramp, first, second = middle * energy, tl.zeros_like(energy), middle * first, middle * second
    for k in range(1, tl.load(radii + image).to(tl.int32) + 1):
        right, right_inside = _neighbour(x + k, width, inside, REFLECT)
        left, left_inside = _neighbour(x - k, width, inside, REFLECT)
        energy_r, first_r, second_r = _model(rgb, y * width + right, right_inside, size, matrix)
        energy_l, first_l, second_l = _model(rgb, y * width + left, left_inside, size, matrix)
        weight = tl.load(bell + k)
        level += weight * (energy_r + energy_l)
        ramp += tl.load(slope + k) * (energy_r - energy_l)
        first += weight * (first_r + first_l)
        second += weight * (second_r + second_l)
    out = between + image * 4 * size + y * width + x
    tl.store(out, level, mask=inside)
    tl.store(out + size, ramp, mask=inside)
    tl.store(out + 2 * size, first, mask=inside)
    tl.store(out + 3 * size, second, mask=inside)


@triton.jit
def _atan_ratio(over, under):
    """atan(over / under) for any signs, 0 where both are 0 (Abramowitz and Stegun 4.4.49, error 2e-8)."""
    a, b = tl.abs(over), tl.abs(under)
    large, small = tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL), tl.minimum(a, b)
    t = tl.div_rn(small, tl.where(large == 0.0, 1.0, large))
    s = t * t
    p = 0.0028662257 * s - 0.0161657367
    p = p * s + 0.0429096138
    p = p * s - 0.0752896400
    p = p * s + 0.1065626393
    p = p * s - 0.1420889944
    p = p * s + 0.1999355085
    p = p * s - 0.3333314528
    angle = t + t * s * p
    angle = tl.where(a > b, 1.57079637 - angle, angle)
    return tl.where((over < 0.0) != (under < 0.0), -angle, angle)


@triton.jit
def _half_sign(a, b):
    return tl.where(a > b, 0.5, tl.where(a < b, -0.5, 0.0))


@triton.jit
def _store_order(rgb, at, out, inside, size):
    """Half the sum of the signs of a colour's difference from the two others is its rank."""
    red = tl.load(rgb + at, mask=inside, other=0.0)
    green = tl.load(rgb + size + at, mask=inside, other=0.0)
    blue = tl.load(rgb + 2 * size + at, mask=inside, other=0.0)
    red_green, green_blue, red_blue = _half_sign(red, green), _half_sign(green, blue), _half_sign(red, blue)
    tl.store(out, red_green + red_blue, mask=inside)
    tl.store(out + size, green_blue - red_green, mask=inside)
    tl.store(out + 2 * size, 0.0 - (red_blue + green_blue), mask=inside)


@triton.autotune(configs=_CONFIGS, key=["height", "width"])
@triton.jit
def quadprior_columns_kernel(
    rgb, between, taps, radii, out, height, width, most_taps, eps, floor,
    REFLECT: tl.constexpr, PUBLISHED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """[B, 4, H, W] to [B, 6, H, W]: the filters down the columns, then H, C, O, W."""
    y = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    x = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)[None, :]
    image = tl.program_id(2).to(tl.int64)
    size = tl.cast(height, tl.int64) * width
    inside = (y < height) & (x < width)
    at = y * width + x
    between += image * 4 * size
    bell = taps + image * 2 * most_taps
    slope = bell + most_taps
    middle = tl.load(bell)
    level = middle * tl.load(between + at, mask=inside, other=0.0)
    down = tl.zeros_like(level)
    across = middle * tl.load(between + size + at, mask=inside, other=0.0)
    first = middle * tl.load(between + 2 * size + at, mask=inside, other=0.0)
    second = middle * tl.load(between + 3 * size + at, mask=inside, other=0.0)
    for k in range(1, tl.load(radii + image).to(tl.int32) + 1):
        low, low_in = _neighbour(y + k, height, inside, REFLECT)
        high, high_in = _neighbour(y - k, height, inside, REFLECT)
        below, above = between + low * width + x, between + high * width + x
        weight = tl.load(bell + k)
        a, b = tl.load(below, mask=low_in, other=0.0), tl.load(above, mask=high_in, other=0.0)
        level += weight * (a + b)
        down += tl.load(slope + k) * (a - b)
        a, b = tl.load(below + size, mask=low_in, other=0.0), tl.load(above + size, mask=high_in, other=0.0)
        across += weight * (a + b)
        a = tl.load(below + 2 * size, mask=low_in, other=0.0)
        first += weight * (a + tl.load(above + 2 * size, mask=high_in, other=0.0))
        a = tl.load(below + 3 * size, mask=low_in, other=0.0)
        second += weight * (a + tl.load(above + 3 * size, mask=high_in, other=0.0))
    target = out + image * 6 * size + at
    power = first * first + second * second
    if PUBLISHED:
        d, c = tl.div_rn(down, level + eps), tl.div_rn(across, level + eps)
        tl.store(target, _atan_ratio(first, second + eps), mask=inside)
        chroma = tl.log(tl.div_rn(power, level * level + eps) + eps)
        tl.store(
            target + 5 * size, _atan_ratio(d * d + c * c, tl.full(d.shape, 1.0, tl.float32)), mask=inside
        )
    else:
        under = level * level + eps
        tl.store(target, _atan_ratio(first, second), mask=inside)
        chroma = tl.log(tl.div_rn(power, under) + floor)
        tl.store(target + 5 * size, _atan_ratio(down * down + across * across, under), mask=inside)
    tl.store(target + size, chroma, mask=inside)
    _store_order(rgb + image * 3 * size, at, target + 2 * size, inside, size)


def prior(rgb: Tensor, matrix: Tensor, taps: Tensor, settings: Settings) -> Tensor:
    """Run both passes; the contract is `reference.prior`, `taps` are those of its filters."""
    batch, _, height, width = rgb.shape
    rgb, matrix = rgb.contiguous(), matrix.contiguous()
    radii = torch.tensor(settings.radii, dtype=torch.int32, device=rgb.device)
    between = torch.empty(batch, 4, height, width, dtype=rgb.dtype, device=rgb.device)
    out = torch.empty(batch, 6, height, width, dtype=rgb.dtype, device=rgb.device)
    reflect, sizes = settings.padding == "reflect", (height, width, taps.shape[2])

    def grid(meta: Any) -> tuple[int, int, int]:
        return programs(height, meta["ROWS"]), programs(width, meta["COLUMNS"]), batch

    quadprior_rows_kernel[grid](rgb, matrix, taps, radii, between, *sizes, REFLECT=reflect)
    published = settings.form == "published"
    quadprior_columns_kernel[grid](
        rgb,
        between,
        taps,
        radii,
        out,
        *sizes,
        settings.eps,
        RATIO_FLOOR,
        REFLECT=reflect,
        PUBLISHED=published,
    )
    return out


def specimens() -> list[Specimen]:
    """The kernels with the types that they are compiled for ahead of time."""
    pointers = {"rgb": "*fp32", "taps": "*fp32", "radii": "*i32", "between": "*fp32"}
    sizes = {"height": "i32", "width": "i32", "most_taps": "i32"}
    blocks = {"ROWS": 4, "COLUMNS": 128, "REFLECT": True}
    columns = pointers | sizes | {"out": "*fp32", "eps": "fp32", "floor": "fp32"}
    return [
        Specimen("rows", quadprior_rows_kernel, pointers | sizes | {"matrix": "*fp32"}, blocks),
        Specimen("columns", quadprior_columns_kernel, columns, blocks | {"PUBLISHED": False}),
        Specimen("columns published", quadprior_columns_kernel, columns, blocks | {"PUBLISHED": True}),
    ]
