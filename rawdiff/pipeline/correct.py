"""What is wrong with a mosaic beside noise: bad pixels named by the file or found as outliers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rawdiff_calibration.noise import NoiseModel, per_plane

from rawdiff.raw.frame import Array, RawFrame, plane_sites

OUTLIER_SIGMA = 10.0
"""How far beyond its most extreme neighbour a value must lie, in standard deviations of that neighbour.

For Gaussian noise the chance is below 1e-23 a pixel; Tukey-lambda tails of the published cameras and Poisson
skewness at half an electron leave it below 1e-7. A star or a lamp that the lens spreads over two pixels
of one colour always has a neighbour that vouches for it.
"""
_STRIP_ROWS = 256


@dataclass(frozen=True)
class Corrections:
    """What was corrected, for provenance."""

    named_defects: int
    outliers: int


def correct_frame(frame: RawFrame, noise: NoiseModel) -> tuple[RawFrame, Corrections]:
    """Replace bad pixels by the median of their neighbours of the same CFA site.

    Bad are the pixels that the file names, and lone outliers: values beyond every one of their eight
    same-site neighbours by `OUTLIER_SIGMA` standard deviations under the noise model.

    Args:
        frame: the mosaic; not changed.
        noise: its noise model, in its DN.
    """
    mosaic = frame.mosaic_dn
    repaired: Array | None = None
    named = 0 if frame.defects is None else int(frame.defects.sum())
    outliers = 0
    for plane, (row, column) in enumerate(plane_sites(frame.phase)):
        site = mosaic[row::2, column::2]
        black = float(frame.levels.black_dn[row, column])
        gain = per_plane(noise.gain_dn_per_e)[plane]
        floor = per_plane(noise.floor_variance_dn2())[plane]
        known = None if frame.defects is None else frame.defects[row::2, column::2]
        for top in range(0, site.shape[0], _STRIP_ROWS):
            bottom = min(top + _STRIP_ROWS, site.shape[0])
            bad = _find_outliers(site, top, bottom, black, gain, floor)
            outliers += int(bad.sum())
            if known is not None:
                bad |= known[top:bottom]
            if bad.any():
                repaired = np.array(mosaic) if repaired is None else repaired
                rows, columns = np.nonzero(bad)
                repaired[row::2, column::2][rows + top, columns] = _median_around(
                    site, known, rows + top, columns
                )
    if repaired is None:
        return frame, Corrections(named, outliers)
    return replace(frame, mosaic_dn=repaired), Corrections(named, outliers)


def _find_outliers(
    site: Array, top: int, bottom: int, black: float, gain: float, floor: float
) -> NDArray[np.bool_]:
    """Mark rows `top` to `bottom` of one CFA site, comparing each value with its eight neighbours."""
    padded = np.pad(
        site[max(top - 1, 0) : bottom + 1], ((int(top == 0), int(bottom == site.shape[0])), (1, 1)), "reflect"
    )
    rows, columns = bottom - top, site.shape[1]
    center = padded[1:-1, 1:-1]
    around = [
        padded[dy : dy + rows, dx : dx + columns] for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)
    ]
    highest, lowest = around[0].copy(), around[0].copy()
    for neighbour in around[1:]:
        np.maximum(highest, neighbour, out=highest)
        np.minimum(lowest, neighbour, out=lowest)
    above = center - highest
    below = lowest - center
    candidates = (above > OUTLIER_SIGMA * floor**0.5) | (below > OUTLIER_SIGMA * floor**0.5)
    marked = np.zeros(center.shape, dtype=bool)
    if candidates.any():
        high, low = highest[candidates] - black, lowest[candidates] - black
        limit_above = OUTLIER_SIGMA * np.sqrt(gain * np.maximum(high, gain) + floor)
        limit_below = OUTLIER_SIGMA * np.sqrt(gain * np.maximum(low, gain) + floor)
        marked[candidates] = (above[candidates] > limit_above) | (below[candidates] > limit_below)
    return marked


def _median_around(
    site: Array, known: NDArray[np.bool_] | None, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> Array:
    """Median of the good ones among the eight same-site neighbours; of all eight where none is good."""
    offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    ys = np.stack([_mirror(rows + dy, site.shape[0]) for dy, _ in offsets])
    xs = np.stack([_mirror(columns + dx, site.shape[1]) for _, dx in offsets])
    values = site[ys, xs].astype(np.float32)
    if known is not None:
        good = np.where(known[ys, xs], np.nan, values)
        some = ~np.isnan(good).all(axis=0)
        values[:, some] = np.nanmedian(good[:, some], axis=0)
    return np.median(values, axis=0).astype(np.float32)


def _mirror(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Mirror indices one beyond the edge, so that a pixel at the edge is not its own neighbour."""
    inside = np.where(index >= size, 2 * (size - 1) - index, np.abs(index))
    return np.clip(inside, 0, size - 1)
