"""Fixed pattern: what two independent means of frames have in common, split into pixel, row and column parts.

Its variance is the covariance of the two means, so that no noise has to be known and subtracted. The split
follows the analysis of variance of EMVA 1288 R4.0 (section 8): a row mean holds the row part and 1/columns
of the pixel part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.measure import Measured
from rawdiff_calibration.mosaic import Plane, cell_means, evaluate_smooth, fit_smooth

SMOOTH_DEGREE = 6
"""Total degree of the surface that stands for shading; fixed pattern is what it leaves."""
_CELLS = 24


@dataclass(frozen=True)
class FixedPattern:
    """Standard deviations of a fixed pattern, in the unit of the frames it was taken from."""

    pixel: Measured
    row: Measured
    column: Measured
    total: Measured

    def scaled(self, factor: float) -> FixedPattern:
        """The same pattern in another unit."""
        return FixedPattern(*(part.scaled(factor) for part in self._parts()))

    def without(self, other: FixedPattern) -> FixedPattern:
        """This pattern less an independent one that it contains: variances subtract."""
        pixel, row, column, total = (
            Measured(
                whole.value**2 - part.value**2, 2 * math.hypot(whole.value * whole.se, part.value * part.se)
            )
            for whole, part in zip(self._parts(), other._parts(), strict=True)
        )
        return FixedPattern(pixel.root(), row.root(), column.root(), total.root())

    def _parts(self) -> tuple[Measured, Measured, Measured, Measured]:
        return self.pixel, self.row, self.column, self.total


@dataclass(frozen=True)
class _Variances:
    pixel: Measured
    row: Measured
    column: Measured


def choose_cell(shape: tuple[int, int]) -> int:
    """Side of the cells that a smooth surface is fitted to: two dozen along the shorter side.

    Few cells more than terms would let the surface follow the pattern of the outermost lines.
    """
    return max(2, min(shape) // _CELLS)


def smooth_part(plane: Plane, good: NDArray[np.bool_] | None = None, degree: int = SMOOTH_DEGREE) -> Plane:
    """The smooth surface under a plane: a Chebyshev fit to the means of cells."""
    whole = (plane.shape[0], plane.shape[1])
    side = choose_cell(whole)
    if good is None:
        grid = cell_means(plane, side)
    else:
        share = cell_means(good.astype(np.float32), side)
        grid = cell_means(np.where(good, plane, np.float32(0)), side)
        grid = np.where(share > 0.5, grid / np.maximum(share, 1e-9), np.nan)
    return evaluate_smooth(fit_smooth(grid, degree, whole), whole)


def split_common(
    first: Sequence[Plane], second: Sequence[Plane], good: Sequence[NDArray[np.bool_]]
) -> FixedPattern:
    """Split what two sets of planes share; each plane has had its smooth part removed."""
    parts = [_split_plane(*planes) for planes in zip(first, second, good, strict=True)]
    # Two planes of a Bayer mosaic share each row and each column: half of the figures are repeats.
    repeats = math.sqrt(2) if len(parts) == 4 else 1.0
    pixel = _average([part.pixel for part in parts], 1.0)
    row = _average([part.row for part in parts], repeats)
    column = _average([part.column for part in parts], repeats)
    total = Measured(
        pixel.value + row.value + column.value, math.hypot(pixel.se, math.hypot(row.se, column.se))
    )
    return FixedPattern(pixel.root(), row.root(), column.root(), total.root())


def _average(parts: Sequence[Measured], repeats: float) -> Measured:
    count = len(parts)
    error = math.sqrt(sum(part.se**2 for part in parts)) / count * repeats
    return Measured(sum(part.value for part in parts) / count, error)


def _split_plane(first: Plane, second: Plane, good: NDArray[np.bool_]) -> _Variances:
    a, b = (np.where(good, plane, np.float32(0)) for plane in (first, second))
    height, width = a.shape
    pixels = float(np.count_nonzero(good))
    total = _covariance(a.ravel(), b.ravel(), pixels)
    lost = SMOOTH_DEGREE + 1
    row = _covariance(_means(a, good, 1), _means(b, good, 1), max(height - lost, 1))
    column = _covariance(_means(a, good, 0), _means(b, good, 0), max(width - lost, 1))
    shared = height * width
    pixel = (total.value - row.value - column.value) * shared / (shared - height - width)
    return _Variances(
        Measured(pixel, total.se),
        Measured(row.value - pixel / width, row.se),
        Measured(column.value - pixel / height, column.se),
    )


def _means(plane: Plane, good: NDArray[np.bool_], axis: int) -> NDArray[np.float64]:
    counts = np.maximum(np.count_nonzero(good, axis=axis), 1)
    return np.asarray(plane.sum(axis=axis, dtype=np.float64) / counts)


def _covariance(a: NDArray[np.floating], b: NDArray[np.floating], freedom: float) -> Measured:
    """Covariance and its standard error, sqrt((var a var b + cov^2) / n) for Gaussian values."""
    size = a.size
    mean_a, mean_b = (float(x.mean(dtype=np.float64)) for x in (a, b))
    cov, var_a, var_b = (
        (float(np.einsum("i,i->", x, y, dtype=np.float64)) - size * mean_x * mean_y) / freedom
        for x, y, mean_x, mean_y in ((a, b, mean_a, mean_b), (a, a, mean_a, mean_a), (b, b, mean_b, mean_b))
    )
    return Measured(cov, math.sqrt((var_a * var_b + cov**2) / freedom))
