"""Places in a mosaic: which pixels belong to which CFA plane, and the means of blocks of them.

A monochrome sensor (phase None) is one plane `Y` at every pixel.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

CfaPhase = Literal["RGGB", "GRBG", "GBRG", "BGGR"]
Mosaic = NDArray[np.float32]
Plane = NDArray[np.float32]
Matrix = NDArray[np.float64]

_SITES: dict[str, tuple[tuple[int, int], ...]] = {
    "RGGB": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "GRBG": ((0, 1), (0, 0), (1, 1), (1, 0)),
    "GBRG": ((1, 0), (1, 1), (0, 0), (0, 1)),
    "BGGR": ((1, 1), (1, 0), (0, 1), (0, 0)),
}


def plane_names(phase: CfaPhase | None) -> tuple[str, ...]:
    """Names of the planes: R, Gr, Gb, B, or Y for a monochrome sensor."""
    return ("Y",) if phase is None else ("R", "Gr", "Gb", "B")


def color_names(phase: CfaPhase | None) -> tuple[str, ...]:
    """Names of the colours: R, G, B, or Y for a monochrome sensor."""
    return ("Y",) if phase is None else ("R", "G", "B")


def color_planes(phase: CfaPhase | None) -> tuple[tuple[int, ...], ...]:
    """Indices of the planes of each colour: Gr and Gb share one, so that greens stay tied."""
    return ((0,),) if phase is None else ((0,), (1, 2), (3,))


def plane_slices(phase: CfaPhase | None) -> tuple[tuple[slice, slice], ...]:
    """Row and column slice of each plane in a mosaic `[H, W]`."""
    if phase is None:
        return ((slice(None), slice(None)),)
    return tuple((slice(row, None, 2), slice(column, None, 2)) for row, column in _SITES[phase])


def split_planes(mosaic: NDArray[np.generic], phase: CfaPhase | None) -> list[NDArray[np.generic]]:
    """Views of the planes of a mosaic `[H, W]`, each `[H/2, W/2]` (the mosaic itself if monochrome)."""
    return [mosaic[place] for place in plane_slices(phase)]


def block_sums(plane: NDArray[np.generic], block: int) -> Matrix:
    """Sums over whole `block` x `block` squares of a plane, `[H // block, W // block]`.

    Rows and columns beyond the last whole block are left out.

    Raises:
        ValueError: the plane is smaller than a block.
    """
    rows, columns = plane.shape[0] // block, plane.shape[1] // block
    if rows == 0 or columns == 0:
        raise ValueError(f"a plane of {plane.shape} has no whole block of {block}")
    used = plane[: rows * block, : columns * block]
    # Rows first: the adds run along memory, and float32 holds the few terms of one block row exactly enough.
    partial = used.reshape(rows, block, columns * block).sum(axis=1)
    sums: Matrix = partial.reshape(rows, columns, block).sum(axis=2, dtype=np.float64)
    return sums


def block_means(plane: NDArray[np.floating], block: int) -> Matrix:
    """Means of whole `block` x `block` squares of a plane, `[H // block, W // block]`."""
    return block_sums(plane, block) / block**2


def cell_means(plane: NDArray[np.floating], side: int) -> Matrix:
    """Means of cells of nearly `side` x `side` pixels that cover the whole plane, edges included."""
    rows, columns = (_cell_edges(extent, max(1, round(extent / side))) for extent in plane.shape)
    strips = np.add.reduceat(plane, rows[:-1], axis=0)
    sums = np.add.reduceat(strips.astype(np.float64), columns[:-1], axis=1)
    return np.asarray(sums / np.outer(np.diff(rows), np.diff(columns)))


def fit_smooth(grid: Matrix, degree: int, shape: tuple[int, int] | None = None) -> Matrix:
    """Least-squares Chebyshev coefficients `[degree + 1, degree + 1]` of a grid of means.

    Cells that are NaN are left out; terms of a total degree above `degree` are zero. `shape` is that of the
    plane whose `cell_means` they are; None for cells of one size.
    """
    rows, columns = grid.shape
    centres = [
        _centres(cells) if shape is None else _cell_centres(shape[axis], cells)
        for axis, cells in enumerate((rows, columns))
    ]
    y = np.polynomial.chebyshev.chebvander(centres[0], degree)
    x = np.polynomial.chebyshev.chebvander(centres[1], degree)
    terms = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i) if i < rows and j < columns]
    design = np.stack([np.outer(y[:, i], x[:, j]).ravel() for i, j in terms], axis=1)
    known = np.isfinite(grid.ravel())
    solution, *_ = np.linalg.lstsq(design[known], grid.ravel()[known], rcond=None)
    coefficients = np.zeros((degree + 1, degree + 1))
    for (i, j), value in zip(terms, solution, strict=True):
        coefficients[i, j] = value
    return coefficients


def evaluate_smooth(
    coefficients: Matrix, shape: tuple[int, int], covered: tuple[int, int] | None = None
) -> Plane:
    """The smooth surface of `fit_smooth` at every pixel of a plane of `shape`.

    `covered` is the part of the plane, from its first row and column, that the grid's cells spanned; the
    surface is continued over the rest.
    """
    degree = coefficients.shape[0] - 1
    rows, columns = covered or shape
    y = np.polynomial.chebyshev.chebvander(_centres(rows, shape[0]), degree)
    x = np.polynomial.chebyshev.chebvander(_centres(columns, shape[1]), degree)
    return np.asarray((y @ coefficients @ x.T), dtype=np.float32)


def _centres(cells: int, count: int | None = None) -> Matrix:
    """Centres of the first `count` cells of which `cells` fill [-1, 1]."""
    return (np.arange(count or cells) * 2 + 1) / cells - 1


def _cell_edges(extent: int, cells: int) -> NDArray[np.int64]:
    return np.rint(np.linspace(0, extent, cells + 1)).astype(np.int64)


def _cell_centres(extent: int, cells: int) -> Matrix:
    edges = _cell_edges(extent, cells)
    return np.asarray((edges[:-1] + edges[1:]) / extent - 1)
