"""8x8 blocks of packed planes in the cosine domain: where texture and noise are told apart.

White noise has independent coefficients in any orthonormal basis, so the low band of a block can be used
to judge it without touching what its high band says about the noise. The high band (both frequencies in
the upper half) sees no gradient, no edge along the axes and no row or column noise; the low band leaves out
the axes too, since a gradient does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

SIDE = 8
MOST_BLOCKS = 40_000
"""Blocks of each plane that are looked at; more would only cost time."""

_INDEX = np.arange(SIDE)
_ORDER = np.add.outer(_INDEX, _INDEX)
_INNER = np.minimum.outer(_INDEX, _INDEX)
_HIGH = _INNER >= SIDE // 2
_LOW_WEIGHT = np.where(_HIGH | (_INNER == 0), 0.0, 1.0 / np.maximum(_ORDER, 1) ** 2.0)
_LOW_WEIGHT /= _LOW_WEIGHT.sum()

HIGH_COUNT = int(_HIGH.sum())
"""Coefficients in the high band: the degrees of freedom of its variance."""
LOW_FREEDOM = float(1 / (_LOW_WEIGHT**2).sum())
"""Effective degrees of freedom of the low band, weighted by 1/order^2 as natural texture is."""


def _basis() -> NDArray[np.float32]:
    rows = np.cos(np.pi * (_INDEX[None, :] + 0.5) * _INDEX[:, None] / SIDE) * math.sqrt(2 / SIDE)
    rows[0] /= math.sqrt(2)
    return rows.astype(np.float32)


@dataclass(frozen=True)
class Blocks:
    """What is known of each block, `[planes, blocks]`: mean level, variance in two bands, maximum."""

    level: Float
    high: Float
    low: Float
    highest: Float

    @staticmethod
    def join(parts: Sequence[Blocks]) -> Blocks:
        """Put the blocks of several frames side by side."""
        level, high, low, highest = (
            np.concatenate([getattr(part, name) for part in parts], axis=1)
            for name in ("level", "high", "low", "highest")
        )
        return Blocks(level, high, low, highest)


def gather_blocks(
    level_dn: NDArray[np.float32],
    residual_dn: NDArray[np.float32],
    extremes_dn: Sequence[NDArray[np.float32]] | None = None,
) -> Blocks:
    """Cut planes `[planes, h, w]` into blocks and measure each.

    `residual_dn` is what the noise is measured in (the planes themselves, or a difference of frames scaled
    to the variance of one), `extremes_dn` what the maximum is taken of (default: `level_dn`). Of large
    planes every n-th row of blocks is taken.
    """
    planes, height, width = level_dn.shape
    rows, columns = height // SIDE, width // SIDE
    every = max(1, math.ceil(rows * columns / MOST_BLOCKS))

    def cut(values: NDArray[np.float32]) -> NDArray[np.float32]:
        grid = values[:, : rows * SIDE, : columns * SIDE].reshape(planes, rows, SIDE, columns, SIDE)
        return grid[:, ::every].transpose(0, 1, 3, 2, 4).reshape(planes, -1, SIDE, SIDE)

    levels, basis = cut(level_dn), _basis()
    energy = (basis @ cut(residual_dn) @ basis.T).astype(np.float64) ** 2
    highest = [cut(values).max(axis=(2, 3)) for values in extremes_dn or (level_dn,)]
    return Blocks(
        levels.mean(axis=(2, 3), dtype=np.float64),
        energy[..., _HIGH].mean(axis=-1),
        (energy * _LOW_WEIGHT).sum(axis=(2, 3)),
        np.max(highest, axis=0).astype(np.float64),
    )
