"""Two frames of the same light: their difference is noise alone, without fixed pattern and shading.

For frames a and b with means A and B above black, and r = A / B, the difference a - r b has the variance
K A (1 + r) + (1 + r^2) sigma^2; divided by (1 + r) it is that of a single frame, to second order in r - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.mosaic import Matrix, Plane, block_means, block_sums
from rawdiff_calibration.refusals import require_equal_light

OUTLIER = 6.0
"""Pixels beyond this many standard deviations of their block are left out. A Gaussian loses 7e-8 of its
variance by that."""
_BIN_RATIO = 1.2


@dataclass(frozen=True)
class LevelStatistics:
    """Noise at one light level of one plane, from one pair.

    Attributes:
        mean_dn: mean above black [DN].
        variance_dn2: variance of one frame [DN^2], pixel-wise part if rows and columns could be levelled.
        kurtosis: fourth moment of the difference over its squared variance (3: Gaussian).
        pixels: how many pixels it rests on.
        clipped: fraction of the pixels at or above the white level.
        floored: fraction of the pixels at zero.
    """

    mean_dn: float
    variance_dn2: float
    kurtosis: float
    pixels: int
    clipped: float
    floored: float


@dataclass(frozen=True)
class _Blocks:
    """Sums over blocks, `[rows, columns]` each."""

    level: Matrix
    square: Matrix
    fourth: Matrix
    pixels: Matrix
    clipped: Matrix
    floored: Matrix


def choose_block(shape: tuple[int, int]) -> int:
    """Side of the blocks: about a sixteenth of the plane, from 4 to 32 pixels."""
    return int(np.clip(2 ** int(np.log2(max(min(shape) / 8, 4))), 4, 32))


def measure_pair(
    first: Plane,
    second: Plane,
    black_dn: float,
    white_dn: float,
    *,
    bad: NDArray[np.bool_] | None = None,
    where: str = "pair",
) -> list[LevelStatistics]:
    """Mean and noise of one plane `[h, w]` of a pair, in as many levels as the light has across the frame.

    Raises:
        LitFramesError: the two frames differ too much in brightness.
    """
    block = choose_block((first.shape[0], first.shape[1]))
    rows, columns = first.shape[0] // block * block, first.shape[1] // block * block
    a = np.ascontiguousarray(first[:rows, :columns], np.float32)
    b = np.ascontiguousarray(second[:rows, :columns], np.float32)
    ratio = _ratio(a, b, black_dn, where)
    difference = a - np.float32(ratio) * b
    difference += np.float32((ratio - 1) * black_dn)
    total = a + np.float32(ratio) * b
    level = block_means(total, block) / 2 - black_dn * (1 + ratio) / 2
    correction = _level_rows(difference, level)
    masked = None if bad is None else bad[:rows, :columns]
    blocks = _sum_blocks(difference, total, level, block, masked)
    blocks = _count_limits(blocks, a, b, white_dn, block)
    return _gather(blocks, correction / (1 + ratio))


def _ratio(a: Plane, b: Plane, black_dn: float, where: str) -> float:
    """Brightness of the first frame over the second's; 1 where there is too little light to tell."""
    first, second = (float(x.mean(dtype=np.float64)) - black_dn for x in (a, b))
    noise = float(np.std(a[::7, ::3] - b[::7, ::3]))
    if min(first, second) <= 3 * noise:
        return 1.0
    require_equal_light(first, second, where)
    return float(first / second)


def _level_rows(difference: Plane, level: Matrix) -> float:
    """Take row and column offsets out of the difference; return the factor for the degrees of freedom.

    Only where the light is even: the mean of a row that crosses bright patches is noise to the dark ones.
    """
    difference -= difference.mean(dtype=np.float64).astype(np.float32)
    low, high = np.percentile(level, [2, 98])
    if high > 3 * max(low, 0.0) and high > 8 * float(difference.std()):
        return 1.0
    difference -= difference.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    difference -= difference.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
    height, width = difference.shape
    return float(height * width / ((height - 1) * (width - 1)))


def _sum_blocks(
    difference: Plane, total: Plane, level: Matrix, block: int, bad: NDArray[np.bool_] | None
) -> _Blocks:
    """Second and fourth moments per block, without outliers in the noise, in the level, and `bad` pixels."""
    rows, columns = level.shape
    cells = (rows, block, columns, block)
    square = difference * difference
    sums = block_sums(square, block)
    # An outlier swells its own block's variance, yet with n pixels in a block never beyond n times.
    wild = square.reshape(cells) > _limit(sums, block)
    total.reshape(cells)[...] -= block_means(total, block).astype(np.float32)[:, None, :, None]
    away_square = total * total
    wild |= away_square.reshape(cells) > _limit(block_sums(away_square, block), block)
    if bad is not None:
        wild |= bad.reshape(cells)
    fourth = block_sums(square * square, block)
    pixels = np.full(level.shape, float(block**2))
    places = np.flatnonzero(wild)
    if places.size:
        height, width = np.divmod(places, columns * block)
        index = height // block * columns + width // block
        values = square.ravel()[places].astype(np.float64)
        away = total.ravel()[places].astype(np.float64) / 2
        shifts = np.zeros_like(level)
        for sum_, weights in ((sums, values), (fourth, values**2), (pixels, None), (shifts, away)):
            sum_ -= np.bincount(index, weights, minlength=rows * columns).reshape(rows, columns)
        level = level + shifts / np.maximum(pixels, 1)
    nothing = np.zeros_like(level)
    return _Blocks(level, sums, fourth, pixels, nothing, nothing)


def _limit(sums: Matrix, block: int) -> Plane:
    """Square beyond which a pixel is an outlier of its block, ready to broadcast over the block's pixels."""
    return np.asarray(sums * (OUTLIER**2 / block**2), np.float32)[:, None, :, None]


def _count_limits(blocks: _Blocks, a: Plane, b: Plane, white_dn: float, block: int) -> _Blocks:
    """Fractions of pixels at the ends of the range."""
    clipped, floored = blocks.clipped, blocks.floored
    if max(float(a.max()), float(b.max())) >= white_dn:
        clipped = block_sums(((a >= white_dn) | (b >= white_dn)).astype(np.float32), block) / block**2
    if min(float(a.min()), float(b.min())) <= 0:
        floored = block_sums(((a <= 0) | (b <= 0)).astype(np.float32), block) / block**2
    return _Blocks(blocks.level, blocks.square, blocks.fourth, blocks.pixels, clipped, floored)


def _gather(blocks: _Blocks, scale: float) -> list[LevelStatistics]:
    """Join blocks of like level."""
    bins = _bins(blocks)
    gathered = []
    for number in np.unique(bins[bins >= 0]):
        chosen = bins == number
        pixels = float(blocks.pixels[chosen].sum())
        variance = float(blocks.square[chosen].sum()) / pixels
        if pixels < 100:
            continue
        fourth = float(blocks.fourth[chosen].sum()) / pixels
        gathered.append(
            LevelStatistics(
                mean_dn=float((blocks.level[chosen] * blocks.pixels[chosen]).sum()) / pixels,
                variance_dn2=variance * scale,
                kurtosis=fourth / variance**2 if variance > 0 else 3.0,
                pixels=round(pixels),
                clipped=float(blocks.clipped[chosen].mean()),
                floored=float(blocks.floored[chosen].mean()),
            )
        )
    return gathered


def _bins(blocks: _Blocks) -> NDArray[np.int64]:
    """Number of the level bin of each block: geometric steps, not finer than the noise; -1: left out."""
    usable = blocks.pixels > 0.5 * blocks.pixels.max()
    levels = blocks.level[usable]
    low, high = np.percentile(levels, [1, 99])
    noise = float(np.sqrt(np.median(blocks.square[usable] / blocks.pixels[usable])))
    floor = max(noise, 1e-6)
    if high <= max(low * _BIN_RATIO, low + floor):
        return np.where(usable, 0, -1)
    steps = np.floor(np.log(np.maximum(blocks.level, floor) / floor) / np.log(_BIN_RATIO))
    return np.where(usable, steps.astype(np.int64), -1)
