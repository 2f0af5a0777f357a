"""The Anscombe op in Triton: one pass over the pixels, gain and sigma per plane or per pixel."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from rawdiff_kernels.anscombe.op import Layout, Parameter, inverse_table
from rawdiff_kernels.launch import Specimen, block_sizes, programs

_CONFIGS = [
    triton.Config({"BLOCK": columns}, num_warps=warps)
    for _, columns, warps in block_sizes(((1, 512, 4), (1, 1024, 4), (1, 2048, 8)), (1, 16384, 1))
]


@triton.jit
def _pixels_of(pixels, BLOCK: tl.constexpr):
    """Plane, mask and positions within the tensor of this program; the grid has one axis, without a limit."""
    blocks = tl.cdiv(pixels, BLOCK)
    plane = (tl.program_id(0) // blocks).to(tl.int64)
    at = (tl.program_id(0) % blocks).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return plane, at < pixels, plane * pixels + at


@triton.jit
def _parameter(values, plane, at, inside, IS_MAP: tl.constexpr):
    if IS_MAP:
        return tl.load(values + at, mask=inside, other=1.0)
    else:
        return tl.load(values + plane)


@triton.jit
def _node_of(position, cells):
    """The node left of a position in [0, cells] (or NaN)."""
    return tl.where(position < cells, position, cells).to(tl.int32)


@triton.jit
def _constant(read_noise, rise):
    """a(s) = 3/8 + rise s^2 / (7/4 + s^2)."""
    read_variance = read_noise * read_noise
    return 0.375 + rise * tl.div_rn(read_variance, 1.75 + read_variance)


@triton.autotune(configs=_CONFIGS, key=["pixels"])
@triton.jit
def anscombe_forward_kernel(
    x, out, gain, sigma, rise, pixels, GAIN_MAP: tl.constexpr, SIGMA_MAP: tl.constexpr, BLOCK: tl.constexpr
):
    """(2/K) sqrt(max(0, K x + a K^2 + sigma^2))."""
    plane, inside, at = _pixels_of(pixels, BLOCK)
    k = _parameter(gain, plane, at, inside, GAIN_MAP)
    s = _parameter(sigma, plane, at, inside, SIGMA_MAP)
    floor = _constant(tl.div_rn(s, k), rise) * k * k + s * s
    variance = k * tl.load(x + at, mask=inside, other=0.0) + floor
    root = tl.sqrt_rn(tl.where(variance < 0.0, 0.0, variance))
    tl.store(out + at, tl.div_rn(2.0, k) * root, mask=inside)


@triton.autotune(configs=_CONFIGS, key=["pixels"])
@triton.jit
def anscombe_inverse_kernel(
    z, out, gain, sigma, table, rise, pixels,
    GAIN_MAP: tl.constexpr, SIGMA_MAP: tl.constexpr, V_CELLS: tl.constexpr, Q_CELLS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """K (z^2/4 + 1/4 - a - s^2 + H(v, q)); the table has a row per plane (Q_CELLS 0) or Q_CELLS + 2 rows."""
    plane, inside, at = _pixels_of(pixels, BLOCK)
    k = _parameter(gain, plane, at, inside, GAIN_MAP)
    read_noise = tl.div_rn(_parameter(sigma, plane, at, inside, SIGMA_MAP), k)
    constant = _constant(read_noise, rise)
    floor = constant + read_noise * read_noise
    data = tl.load(z + at, mask=inside, other=0.0)
    root = tl.where(data < 0.0, 0.0, data)
    square = 0.25 * root * root
    middle = 1.5 * floor  # table.MIDDLE
    position = tl.div_rn(middle + tl.zeros_like(square), middle + square) * V_CELLS
    j = _node_of(position, V_CELLS)
    if Q_CELLS == 0:
        row = table + plane * (V_CELLS + 2)
        left, right = tl.load(row + j), tl.load(row + j + 1)
    else:
        q = tl.div_rn(0.375 + tl.zeros_like(square), floor + tl.zeros_like(square)) * Q_CELLS
        r = _node_of(q, Q_CELLS)
        weight = q - r.to(tl.float32)
        cell = table + r * (V_CELLS + 2) + j
        left, right = tl.load(cell), tl.load(cell + 1)
        left += weight * (tl.load(cell + V_CELLS + 2) - left)
        right += weight * (tl.load(cell + V_CELLS + 3) - right)
    small = left + (position - j.to(tl.float32)) * (right - left)
    tl.store(out + at, k * ((square + ((0.25 - constant) - read_noise * read_noise)) + small), mask=inside)


def forward(x: Tensor, out: Tensor, layout: Layout, gain: Parameter, sigma: Parameter, rise: float) -> None:
    """Run the forward kernel on contiguous tensors."""
    anscombe_forward_kernel[_grid(layout)](
        x, out, gain.values, sigma.values, rise, layout.pixels, GAIN_MAP=gain.is_map, SIGMA_MAP=sigma.is_map
    )


def inverse(z: Tensor, out: Tensor, layout: Layout, gain: Parameter, sigma: Parameter, rise: float) -> None:
    """Run the inverse kernel on contiguous tensors."""
    table, (v_cells, q_cells) = inverse_table(gain, sigma, rise)
    anscombe_inverse_kernel[_grid(layout)](
        z, out, gain.values, sigma.values, table, rise, layout.pixels,
        GAIN_MAP=gain.is_map, SIGMA_MAP=sigma.is_map, V_CELLS=v_cells, Q_CELLS=q_cells,
    )  # fmt: skip


def specimens() -> list[Specimen]:
    """The kernels with the types that they are compiled for ahead of time."""
    data = {name: "*fp32" for name in ("x", "z", "out", "gain", "sigma", "table")} | {
        "rise": "fp32",
        "pixels": "i32",
    }
    plane = {"GAIN_MAP": False, "SIGMA_MAP": False, "BLOCK": 1024}
    maps = {"GAIN_MAP": True, "SIGMA_MAP": True, "BLOCK": 1024}
    row, whole = {"V_CELLS": 16, "Q_CELLS": 0}, {"V_CELLS": 16, "Q_CELLS": 64}
    return [
        Specimen("forward, per plane", anscombe_forward_kernel, data, plane),
        Specimen("forward, maps", anscombe_forward_kernel, data, maps),
        Specimen("inverse, per plane", anscombe_inverse_kernel, data, plane | row),
        Specimen("inverse, maps", anscombe_inverse_kernel, data, maps | whole),
    ]


def _grid(layout: Layout) -> Any:
    return lambda meta: (layout.planes * programs(layout.pixels, meta["BLOCK"]),)
