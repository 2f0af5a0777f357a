"""The mosaic op in Triton: each program reads whole runs of two mosaic rows and splits even from odd."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from rawdiff_kernels.launch import Specimen, block_sizes, programs
from rawdiff_kernels.mosaic.reference import Site

_CONFIGS = [
    triton.Config({"ROWS": rows, "COLUMNS": columns}, num_warps=warps)
    for rows, columns, warps in block_sizes(((2, 256, 4), (4, 256, 4), (8, 128, 4)))
]


@triton.jit
def _pack_pair(mosaic, packed, at, inside, plane_size, out, pl, pr, bl, sl, br, sr):
    """One mosaic row of a tile: `at` indexes its even and odd columns, [ROWS, COLUMNS, 2]."""
    pixels = tl.load(mosaic + at, mask=inside[:, :, None], other=0).to(tl.float32)
    left, right = tl.split(pixels)
    tl.store(packed + pl * plane_size + out, (left - bl) * sl, mask=inside)
    tl.store(packed + pr * plane_size + out, (right - br) * sr, mask=inside)


@triton.autotune(configs=_CONFIGS, key=["height", "width"])
@triton.jit
def mosaic_pack_kernel(
    mosaic, packed, height, width,
    p0, p1, p2, p3, b0, b1, b2, b3, s0, s1, s2, s3,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """[2 height, 2 width] to [4, height, width]: (x - black) scale at each of the four sites."""
    y = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    x = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)
    inside = (y[:, None] < height) & (x[None, :] < width)
    plane_size = tl.cast(height, tl.int64) * width
    out = y[:, None] * width + x[None, :]
    top = (4 * y[:, None] * width + 2 * x[None, :])[:, :, None] + tl.arange(0, 2)[None, None, :]
    _pack_pair(mosaic, packed, top, inside, plane_size, out, p0, p1, b0, s0, b1, s1)
    _pack_pair(mosaic, packed, top + 2 * width, inside, plane_size, out, p2, p3, b2, s2, b3, s3)


@triton.jit
def _unpack_pair(packed, mosaic, at, inside, plane_size, source, pl, pr, bl, sl, br, sr):
    left = tl.load(packed + pl * plane_size + source, mask=inside, other=0.0) * sl + bl
    right = tl.load(packed + pr * plane_size + source, mask=inside, other=0.0) * sr + br
    tl.store(mosaic + at, tl.join(left, right), mask=inside[:, :, None])


@triton.autotune(configs=_CONFIGS, key=["height", "width"])
@triton.jit
def mosaic_unpack_kernel(
    packed, mosaic, height, width,
    p0, p1, p2, p3, b0, b1, b2, b3, s0, s1, s2, s3,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """[4, height, width] to [2 height, 2 width]: x scale + black at each of the four sites."""
    y = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    x = (tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)).to(tl.int64)
    inside = (y[:, None] < height) & (x[None, :] < width)
    plane_size = tl.cast(height, tl.int64) * width
    source = y[:, None] * width + x[None, :]
    top = (4 * y[:, None] * width + 2 * x[None, :])[:, :, None] + tl.arange(0, 2)[None, None, :]
    _unpack_pair(packed, mosaic, top, inside, plane_size, source, p0, p1, b0, s0, b1, s1)
    _unpack_pair(packed, mosaic, top + 2 * width, inside, plane_size, source, p2, p3, b2, s2, b3, s3)


def pack(mosaic: Tensor, sites: tuple[Site, ...]) -> Tensor:
    """Run the forward kernel; the contract is `reference.pack`."""
    height, width = mosaic.shape[0] // 2, mosaic.shape[1] // 2
    out = torch.empty(4, height, width, dtype=torch.float32, device=mosaic.device)
    mosaic_pack_kernel[_grid(height, width)](mosaic.contiguous(), out, height, width, *_scalars(sites))
    return out


def unpack(packed: Tensor, sites: tuple[Site, ...]) -> Tensor:
    """Run the inverse kernel; the contract is `reference.unpack`."""
    _, height, width = packed.shape
    out = torch.empty(2 * height, 2 * width, dtype=torch.float32, device=packed.device)
    mosaic_unpack_kernel[_grid(height, width)](packed.contiguous(), out, height, width, *_scalars(sites))
    return out


def specimens() -> list[Specimen]:
    """The kernels with the types that they are compiled for ahead of time."""
    scalars = {"height": "i32", "width": "i32"}
    scalars |= {f"p{i}": "i32" for i in range(4)}
    scalars |= {f"{name}{i}": "fp32" for name in "bs" for i in range(4)}
    blocks = {"ROWS": 4, "COLUMNS": 256}
    float_out = {"mosaic": "*fp32", "packed": "*fp32"} | scalars
    return [
        Specimen("pack u16", mosaic_pack_kernel, {"mosaic": "*u16", "packed": "*fp32"} | scalars, blocks),
        Specimen("pack f32", mosaic_pack_kernel, float_out, blocks),
        Specimen("unpack f32", mosaic_unpack_kernel, float_out, blocks),
    ]


def _grid(height: int, width: int) -> Any:
    return lambda meta: (programs(height, meta["ROWS"]), programs(width, meta["COLUMNS"]))


def _scalars(sites: tuple[Site, ...]) -> list[int | float]:
    return [getattr(site, name) for name in ("plane", "black", "scale") for site in sites]
