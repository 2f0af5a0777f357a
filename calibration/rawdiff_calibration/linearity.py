"""Linearity: how faithfully the level follows the exposure, and where it ends (EMVA 1288 R4.0)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rawdiff_calibration.measure import Measured
from rawdiff_calibration.mosaic import Matrix
from rawdiff_calibration.refusals import require_frames

LOW, HIGH = 0.05, 0.95
"""Part of the saturation over which the line is fitted and judged."""
_PLATEAU = 0.5


@dataclass(frozen=True, eq=False)
class LinearityResult:
    """Level against exposure.

    Attributes:
        exposure: exposures, ascending, in the unit they were given in.
        level_dn: mean level above black at each [DN].
        deviation_percent: distance of each level from the line; NaN outside of the range that was judged.
        slope_dn: growth of the level per unit of exposure.
        offset_dn: level of the line at no exposure.
        error_min_percent, error_max_percent: the least and largest deviation within the range.
        saturation_dn: level that more exposure does not raise; None where it was not reached.
        linear_to_dn: highest level whose deviation is within 1 %.
    """

    exposure: Matrix
    level_dn: Matrix
    deviation_percent: Matrix
    slope_dn: float
    offset_dn: float
    error_min_percent: float
    error_max_percent: float
    saturation_dn: float | None
    linear_to_dn: float

    def full_well_e(self, gain_dn_per_e: Measured) -> Measured | None:
        """Electrons at saturation; None where it was not reached."""
        return None if self.saturation_dn is None else Measured(self.saturation_dn, 0.0).over(gain_dn_per_e)


def measure_linearity(
    exposure: Sequence[float], level_dn: Sequence[float], range_dn: float | None = None
) -> LinearityResult:
    """Fit a line to levels, relative deviations weighted alike, between 5 and 95 % of saturation.

    Args:
        exposure: exposure times (or light) of the frames, any order.
        level_dn: mean levels above black [DN].
        range_dn: white level minus black [DN], if known: the end where saturation was not reached.

    Raises:
        TooFewFramesError: fewer than three levels in the range.
    """
    require_frames(len(exposure), 3, "a linearity curve")
    order = np.argsort(np.asarray(exposure, np.float64))
    x = np.asarray(exposure, np.float64)[order]
    y = np.asarray(level_dn, np.float64)[order]
    saturation = _find_saturation(x, y)
    end = saturation if saturation is not None else (range_dn or float(y.max()))
    judged = (y >= LOW * end) & (y <= HIGH * end)
    require_frames(int(judged.sum()), 3, "a linearity curve between 5 and 95 % of the range")
    slope, offset = _fit_relative(x[judged], y[judged])
    deviation = np.full(y.shape, np.nan)
    line = offset + slope * x
    deviation[judged] = 100 * (y[judged] - line[judged]) / line[judged]
    faithful = judged & (np.abs(np.nan_to_num(deviation, nan=np.inf)) <= 1.0)
    return LinearityResult(
        exposure=x,
        level_dn=y,
        deviation_percent=deviation,
        slope_dn=slope,
        offset_dn=offset,
        error_min_percent=float(np.nanmin(deviation)),
        error_max_percent=float(np.nanmax(deviation)),
        saturation_dn=saturation,
        linear_to_dn=float(y[faithful].max()) if faithful.any() else 0.0,
    )


def _find_saturation(x: Matrix, y: Matrix) -> float | None:
    """Level of the plateau at the top: where steps of exposure raise it by less than half of the line's."""
    middle = int(np.searchsorted(y, 0.5 * y.max()))
    rate = y[middle] / x[middle] if middle < len(x) and x[middle] > 0 else np.inf
    steps = np.diff(y) < _PLATEAU * rate * np.diff(x)
    flat = np.flatnonzero(steps & (y[1:] > 0.7 * y.max()))
    return float(np.median(y[flat[0] + 1 :])) if flat.size else None


def _fit_relative(x: Matrix, y: Matrix) -> tuple[float, float]:
    """Least squares of relative residuals: weights 1/y^2."""
    design = np.stack([x, np.ones_like(x)], axis=1) / y[:, None]
    (slope, offset), *_ = np.linalg.lstsq(design, np.ones_like(y), rcond=None)
    return float(slope), float(offset)
