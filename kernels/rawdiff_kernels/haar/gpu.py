"""The Haar transform in Triton, one or two levels a pass.

A program owns ROWS x COLUMNS cells of the coarsest level of the pass. It reads each image row in whole runs
and pairs the columns in registers, so that nothing goes through shared memory. Rows and columns beyond an
odd border repeat the last one; stores beyond it are masked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from rawdiff_kernels.launch import Specimen, block_sizes, programs

_CONFIGS = [
    triton.Config({"ROWS": rows, "COLUMNS": columns}, num_warps=warps)
    for rows, columns, warps in block_sizes(((1, 128, 4), (2, 128, 4), (4, 64, 4)), (64, 64, 1))
]


@triton.jit
def _split(a, b, c, d):
    """LL, HL, LH, HH of the 2x2 pixels a c / b d."""
    upper, lower = a + c, b + d
    upper_step, lower_step = c - a, d - b
    return (
        (upper + lower) * 0.5,
        (upper_step + lower_step) * 0.5,
        (lower - upper) * 0.5,
        (lower_step - upper_step) * 0.5,
    )


@triton.jit
def _join(ll, hl, lh, hh):
    """The 2x2 pixels a, b, c, d of four coefficients."""
    upper, lower = ll - lh, ll + lh
    upper_step, lower_step = hl - hh, hl + hh
    return (
        (upper - upper_step) * 0.5,
        (lower - lower_step) * 0.5,
        (upper + upper_step) * 0.5,
        (lower + lower_step) * 0.5,
    )


@triton.jit
def _load_pair(image, y, x, height, width, whole):
    """One level of image rows 2y and 2y+1 at the columns `x`, [..., n, 2]: LL, HL, LH, HH.

    `whole` says that no column lies beyond the border, so that the compiler sees whole runs. Beyond it the
    last pair repeats (the next level counts it twice), and within an odd pair the last column.
    """
    top, bottom = tl.minimum(2 * y, height - 1), tl.minimum(2 * y + 1, height - 1)
    if whole:
        upper = tl.load(image + top * width + x)
        lower = tl.load(image + bottom * width + x)
    else:
        last_pair = (width + 1) // 2 - 1
        at = tl.minimum(tl.minimum(x, 2 * last_pair + x % 2), width - 1)
        upper = tl.load(image + top * width + at)
        lower = tl.load(image + bottom * width + at)
    a, c = tl.split(upper)
    b, d = tl.split(lower)
    return _split(a, b, c, d)


@triton.jit
def _store_bands(bands, y, x, height, width, hl, lh, hh):
    inside = (y < height) & (x < width)
    at = y * width + x
    size = tl.cast(height, tl.int64) * width
    tl.store(bands + at, hl, mask=inside)
    tl.store(bands + size + at, lh, mask=inside)
    tl.store(bands + 2 * size + at, hh, mask=inside)


@triton.jit
def _load_bands(bands, y, x, height, width):
    inside = (y < height) & (x < width)
    at = y * width + x
    size = tl.cast(height, tl.int64) * width
    hl = tl.load(bands + at, mask=inside, other=0.0)
    lh = tl.load(bands + size + at, mask=inside, other=0.0)
    hh = tl.load(bands + 2 * size + at, mask=inside, other=0.0)
    return hl, lh, hh


@triton.jit
def _store_pair(image, y, x, height, width, a, b, c, d):
    """Image rows 2y and 2y+1 at the columns `x`, [1, n, 2]."""
    tl.store(image + 2 * y * width + x, tl.join(a, c), mask=(2 * y < height) & (x < width))
    tl.store(image + (2 * y + 1) * width + x, tl.join(b, d), mask=(2 * y + 1 < height) & (x < width))


@triton.jit
def _cells(columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Image number, rows [ROWS, 1] and columns [1, COLUMNS] of this program, and the column after its last.

    Images and blocks of columns share the first axis of the grid, the only one without a small limit.
    """
    across = tl.cdiv(columns, COLUMNS)
    first = tl.program_id(0) % across * COLUMNS
    n = (tl.program_id(0) // across).to(tl.int64)
    y = (tl.program_id(1) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    x = (first + tl.arange(0, COLUMNS)).to(tl.int64)
    return n, y[:, None], x[None, :], first + COLUMNS


@triton.autotune(configs=_CONFIGS, key=["height", "width"])
@triton.jit
def haar_forward1_kernel(
    image, average, bands, height, width, h1, w1, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """[n, height, width] to average [n, h1, w1] and bands [n, 3, h1, w1]."""
    n, y, x, after = _cells(w1, ROWS, COLUMNS)
    pair = 2 * x[:, :, None] + tl.arange(0, 2)[None, None, :]
    source = image + n * tl.cast(height, tl.int64) * width
    size = tl.cast(h1, tl.int64) * w1
    whole = 2 * after <= width
    ll, hl, lh, hh = _load_pair(source, y[:, :, None], pair, height, width, whole)
    tl.store(average + n * size + y * w1 + x, ll, mask=(y < h1) & (x < w1))
    _store_bands(bands + 3 * n * size, y, x, h1, w1, hl, lh, hh)


@triton.autotune(configs=_CONFIGS, key=["height", "width"])
@triton.jit
def haar_forward2_kernel(
    image, average, bands1, bands2, height, width, h1, w1, h2, w2,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """[n, height, width] to average [n, h2, w2], bands1 [n, 3, h1, w1] and bands2 [n, 3, h2, w2]."""
    n, y, x, after = _cells(w2, ROWS, COLUMNS)
    two = tl.arange(0, 2)
    fine = 2 * x[:, :, None] + two[None, None, :]
    pair = 2 * fine[:, :, :, None] + two[None, None, None, :]
    whole = 4 * after <= width
    source = image + n * tl.cast(height, tl.int64) * width
    target = bands1 + 3 * n * tl.cast(h1, tl.int64) * w1
    upper, lower = 2 * y[:, :, None], 2 * y[:, :, None] + 1
    top, hl, lh, hh = _load_pair(source, upper[:, :, :, None], pair, height, width, whole)
    _store_bands(target, upper, fine, h1, w1, hl, lh, hh)
    below = tl.minimum(lower, h1 - 1)[:, :, :, None]
    bottom, hl, lh, hh = _load_pair(source, below, pair, height, width, whole)
    _store_bands(target, lower, fine, h1, w1, hl, lh, hh)
    a, c = tl.split(top)
    b, d = tl.split(bottom)
    ll, hl, lh, hh = _split(a, b, c, d)
    size = tl.cast(h2, tl.int64) * w2
    tl.store(average + n * size + y * w2 + x, ll, mask=(y < h2) & (x < w2))
    _store_bands(bands2 + 3 * n * size, y, x, h2, w2, hl, lh, hh)


@triton.autotune(configs=_CONFIGS, key=["height", "width"])
@triton.jit
def haar_inverse1_kernel(
    average, bands, image, height, width, h1, w1, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """The inverse of haar_forward1_kernel."""
    n, y, x, _ = _cells(w1, ROWS, COLUMNS)
    size = tl.cast(h1, tl.int64) * w1
    ll = tl.load(average + n * size + y * w1 + x, mask=(y < h1) & (x < w1), other=0.0)
    hl, lh, hh = _load_bands(bands + 3 * n * size, y, x, h1, w1)
    a, b, c, d = _join(ll, hl, lh, hh)
    pair = 2 * x[:, :, None] + tl.arange(0, 2)[None, None, :]
    _store_pair(image + n * tl.cast(height, tl.int64) * width, y[:, :, None], pair, height, width, a, b, c, d)


@triton.autotune(configs=_CONFIGS, key=["height", "width"])
@triton.jit
def haar_inverse2_kernel(
    average, bands1, bands2, image, height, width, h1, w1, h2, w2,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The inverse of haar_forward2_kernel."""
    n, y, x, _ = _cells(w2, ROWS, COLUMNS)
    two = tl.arange(0, 2)
    size = tl.cast(h2, tl.int64) * w2
    ll = tl.load(average + n * size + y * w2 + x, mask=(y < h2) & (x < w2), other=0.0)
    hl, lh, hh = _load_bands(bands2 + 3 * n * size, y, x, h2, w2)
    a, b, c, d = _join(ll, hl, lh, hh)
    fine = 2 * x[:, :, None] + two[None, None, :]
    pair = 2 * fine[:, :, :, None] + two[None, None, None, :]
    source = bands1 + 3 * n * tl.cast(h1, tl.int64) * w1
    target = image + n * tl.cast(height, tl.int64) * width
    upper, lower = 2 * y[:, :, None], 2 * y[:, :, None] + 1
    hl, lh, hh = _load_bands(source, upper, fine, h1, w1)
    p, q, r, s = _join(tl.join(a, c), hl, lh, hh)
    _store_pair(target, upper[:, :, :, None], pair, height, width, p, q, r, s)
    hl, lh, hh = _load_bands(source, lower, fine, h1, w1)
    p, q, r, s = _join(tl.join(b, d), hl, lh, hh)
    _store_pair(target, lower[:, :, :, None], pair, height, width, p, q, r, s)


def forward(image: Tensor, average: Tensor, bands: Sequence[Tensor]) -> None:
    """Transform contiguous `image` into `average` and one or two tensors of bands."""
    kernel = haar_forward1_kernel if len(bands) == 1 else haar_forward2_kernel
    kernel[_grid(average)](image, average, *bands, *_sizes(image, bands))


def inverse(average: Tensor, bands: Sequence[Tensor], image: Tensor) -> None:
    """Restore `image` from contiguous `average` and one or two tensors of bands."""
    kernel = haar_inverse1_kernel if len(bands) == 1 else haar_inverse2_kernel
    kernel[_grid(average)](average, *bands, image, *_sizes(image, bands))


def specimens() -> list[Specimen]:
    """The kernels with the types that they are compiled for ahead of time."""
    one = {name: "i32" for name in ("height", "width", "h1", "w1")}
    two = one | {"h2": "i32", "w2": "i32"}
    single = {name: "*fp32" for name in ("image", "average", "bands")} | one
    double = {name: "*fp32" for name in ("image", "average", "bands1", "bands2")} | two
    blocks = {"ROWS": 2, "COLUMNS": 128}
    return [
        Specimen("forward, 1 level", haar_forward1_kernel, single, blocks),
        Specimen("forward, 2 levels", haar_forward2_kernel, double, blocks),
        Specimen("inverse, 1 level", haar_inverse1_kernel, single, blocks),
        Specimen("inverse, 2 levels", haar_inverse2_kernel, double, blocks),
    ]


def _sizes(image: Tensor, bands: Sequence[Tensor]) -> list[int]:
    return [size for tensor in (image, *bands) for size in tensor.shape[-2:]]


def _grid(average: Tensor) -> Any:
    height, width = average.shape[-2:]
    images = math.prod(average.shape[:-2])
    return lambda meta: (images * programs(width, meta["COLUMNS"]), programs(height, meta["ROWS"]))
