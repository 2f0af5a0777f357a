"""From stored samples to linear DN: linearisation table, black pattern, black per row and column, white.

DNG 1.7 chapter 5 ("Mapping raw values to linear reference values"). The black level stays in the pixels;
what of it varies within a CFA site is taken out, and its mean kept in the levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawdiff.raw.frame import Array, Matrix
from rawdiff.raw.tags import Layout, TagTable

_MAX_PATTERN = 64


@dataclass(frozen=True)
class LevelTags:
    """The level tags of a raw directory.

    `black_pattern` is `[rows, columns, samples]` DN, from the active area's corner on; `delta_h` and
    `delta_v` add to it per column and per row; `white` is `[samples]`.
    """

    black_pattern: Matrix
    white: Matrix
    table: NDArray[np.uint16] | None = None
    delta_h: Matrix | None = None
    delta_v: Matrix | None = None


def read_levels(table: TagTable, layout: Layout) -> LevelTags:
    """Read the level tags with DNG's defaults: black 0, white 2^bits - 1, or 1 for floating point.

    Raises:
        ValueError: a level is missing, not finite, or the white one does not exceed the black one.
    """
    samples = layout.samples
    repeat = table.integers(50713) or (1, 1)
    if len(repeat) != 2 or not all(1 <= side <= _MAX_PATTERN for side in repeat):
        raise ValueError(f"a black level pattern of {repeat}")
    black = _levels(table, 50714, repeat[0] * repeat[1] * samples, 0.0)
    nominal = 1.0 if layout.floating else 2.0**layout.bits - 1
    white = _levels(table, 50717, samples, nominal)
    curve = table.integers(50712) if 50712 in table else None
    if curve is not None and not (curve and len(curve) <= 65536 and 0 <= min(curve) <= max(curve) < 65536):
        raise ValueError("a linearisation table that is none")
    levels = LevelTags(
        black_pattern=black.reshape(repeat[0], repeat[1], samples),
        white=white,
        table=None if curve is None else np.array(curve, np.uint16),
        delta_h=_deltas(table, 50715),
        delta_v=_deltas(table, 50716),
    )
    if not np.all(white > levels.black_pattern.reshape(-1, samples).max(0)):
        raise ValueError(f"the white level {white.max():g} does not exceed the black level {black.max():g}")
    return levels


def _levels(table: TagTable, code: int, count: int, default: float) -> Matrix:
    if code not in table:
        return np.full(count, default)
    numbers = table.finite(code)
    if numbers is None:
        raise ValueError(f"tag {code} holds no level")
    if len(numbers) == 1:  # writers often give one figure for all
        numbers = numbers * count
    if len(numbers) < count:
        raise ValueError(f"tag {code} holds {len(numbers)} levels instead of {count}")
    return np.array(numbers[:count], np.float64)


def _deltas(table: TagTable, code: int) -> Matrix | None:
    if code not in table:
        return None
    numbers = table.finite(code)
    if numbers is None:
        raise ValueError(f"tag {code} holds no black levels")
    return np.array(numbers, np.float64)


def linearise(stored: NDArray[Any], table: NDArray[np.uint16] | None) -> Array:
    """Look the stored values up in the LinearizationTable; beyond its end its last entry holds.

    Returns:
        a new float32 array of the same shape, DN.
    """
    if table is None:
        return stored.astype(np.float32)
    if stored.dtype.kind not in "u":
        raise ValueError("a linearisation table for samples that are not unsigned integers")
    whole = np.full(max(int(np.iinfo(stored.dtype).max) + 1, len(table)), table[-1], np.float32)
    whole[: len(table)] = table
    linear: Array = whole[stored]
    return linear


def fold_mosaic_black(mosaic_dn: Array, tags: LevelTags) -> Matrix:
    """Subtract in place what the black level varies by within a CFA site; return the rest, `[2, 2]` DN.

    Args:
        mosaic_dn: `[H, W]` linear DN of the active area, written to.
        tags: levels of one sample per pixel.

    Raises:
        ValueError: the black level per row or column is not as long as the active area is high or wide.
    """
    black = np.empty((2, 2))
    pattern = tags.black_pattern[:, :, 0]
    for row in range(2):
        for column in range(2):
            site = mosaic_dn[row::2, column::2]
            tiled = _tile(pattern, site.shape, row, column)
            black[row, column] = tiled.mean()
            if np.ptp(pattern) and np.ptp(tiled):
                site -= (tiled - tiled.mean()).astype(np.float32)
    height, width = mosaic_dn.shape
    for deltas, axis, side in ((tags.delta_v, 0, height), (tags.delta_h, 1, width)):
        if deltas is None:
            continue
        if len(deltas) < side:
            raise ValueError(f"{len(deltas)} black levels for {side} {'columns' if axis else 'rows'}")
        vector = deltas[:side].copy()
        for parity in range(2):
            mean = vector[parity::2].mean()
            vector[parity::2] -= mean
            if axis:
                black[:, parity] += mean
            else:
                black[parity, :] += mean
        mosaic_dn -= (vector[None, :] if axis else vector[:, None]).astype(np.float32)
    return black


def _tile(pattern: Matrix, shape: tuple[int, ...], row: int, column: int) -> Matrix:
    """The pattern's values at one CFA site, over one common period of the two, or over the whole site."""
    rows = np.arange(row, row + 2 * shape[0], 2) % pattern.shape[0]
    columns = np.arange(column, column + 2 * shape[1], 2) % pattern.shape[1]
    if not np.ptp(pattern[np.ix_(np.unique(rows), np.unique(columns))]):
        rows, columns = rows[:1], columns[:1]
    tiled: Matrix = pattern[np.ix_(rows, columns)]
    return tiled


def fold_linear_black(rgb_dn: Array, tags: LevelTags) -> Matrix:
    """Subtract in place what the black level varies by within a channel; return its mean, `[3]` DN.

    Args:
        rgb_dn: `[3, H, W]` linear DN of the active area, written to.
        tags: levels of three samples per pixel.

    Raises:
        ValueError: the black level per row or column is not as long as the active area is high or wide.
    """
    samples, height, width = rgb_dn.shape
    black = tags.black_pattern.reshape(-1, samples).mean(0)
    if np.ptp(tags.black_pattern.reshape(-1, samples), axis=0).any():
        rows, columns = np.arange(height) % len(tags.black_pattern), np.arange(width)
        columns %= tags.black_pattern.shape[1]
        tiled = tags.black_pattern[np.ix_(rows, columns)].transpose(2, 0, 1)
        black = tiled.mean((1, 2))
        rgb_dn -= (tiled - black[:, None, None]).astype(np.float32)
    for deltas, axis, side in ((tags.delta_v, 1, height), (tags.delta_h, 2, width)):
        if deltas is None:
            continue
        if len(deltas) < side:
            raise ValueError(f"{len(deltas)} black levels for {side} {'columns' if axis == 2 else 'rows'}")
        mean = deltas[:side].mean()
        black = black + mean
        vector = (deltas[:side] - mean).astype(np.float32)
        rgb_dn -= vector[None, :, None] if axis == 1 else vector[None, None, :]
    return np.asarray(black, np.float64)
