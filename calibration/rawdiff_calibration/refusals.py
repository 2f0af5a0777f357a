"""What frames must be before anything is measured on them; each check raises with the reason."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.errors import (
    LitFramesError,
    MixedFramesError,
    ProcessedFramesError,
    TooFewFramesError,
)
from rawdiff_calibration.mosaic import CfaPhase, Mosaic, plane_slices

CORRELATION_LIMIT = 0.08
"""Noise of neighbouring pixels may correlate this much (charge sharing); smoothing starts above."""
PAIR_LIMIT = 0.05
"""Two flats of a pair may differ this much in brightness: the rest is corrected by their ratio."""
LAGS = ((0, 1), (1, 0), (0, 2), (2, 0), (1, 1))
_CROP = 768

Correlations = Mapping[tuple[int, int], float]


def require_same_shape(frame: NDArray[np.generic], shape: tuple[int, int], where: str) -> None:
    """Raise MixedFramesError unless the frame is a mosaic of `shape`."""
    if frame.shape != shape:
        raise MixedFramesError(
            f"the frame is {_size(frame.shape)}, the others are {_size(shape)}",
            where=where,
            hint="give frames of one camera at one crop",
        )


def require_finite(frame: NDArray[np.floating], where: str) -> None:
    """Raise MixedFramesError where a frame holds values that are not numbers."""
    if not np.isfinite(frame.sum(dtype=np.float64)):
        raise MixedFramesError("the frame holds values that are not finite", where=where)


def require_frames(count: int, least: int, what: str) -> None:
    """Raise TooFewFramesError below `least` frames."""
    if count < least:
        raise TooFewFramesError(f"{what} needs at least {least} frames, got {count}")


def require_equal_light(first_dn: float, second_dn: float, where: str) -> None:
    """Raise LitFramesError where the flats of a pair differ in brightness beyond what a ratio corrects."""
    change = second_dn / first_dn - 1
    if abs(change) > PAIR_LIMIT:
        raise LitFramesError(
            f"the second flat of the pair is {abs(change):.1%} {'brighter' if change > 0 else 'darker'} "
            "than the first",
            where=where,
            hint="use constant light and one exposure for both",
        )


def measure_correlations(difference: Mosaic, phase: CfaPhase | None) -> dict[tuple[int, int], float]:
    """Autocorrelation of the noise in the difference of two like frames, at a few small lags (rows, columns).

    Taken over the central part; every plane is freed of row and column offsets and scaled to unit
    variance, outliers limited to 5 standard deviations.
    """
    crop = np.array(crop_centre(difference), np.float32)
    for place in plane_slices(phase):
        plane = crop[place]
        plane -= plane.mean(axis=1, keepdims=True)
        plane -= plane.mean(axis=0, keepdims=True)
        low, high = np.percentile(plane, [25, 75])
        spread = float(high - low) / 1.349 or float(plane.std()) or 1.0
        crop[place] = np.clip(plane / np.float32(spread), -5, 5)
    power = float(np.vdot(crop, crop)) / crop.size
    height, width = crop.shape
    return {
        (dy, dx): float(np.mean(crop[dy:, dx:] * crop[: height - dy, : width - dx])) / power if power else 0.0
        for dy, dx in LAGS
    }


def crop_centre(mosaic: Mosaic) -> Mosaic:
    """View of the central part of a mosaic, whole CFA cells, enough to judge its noise by."""
    top, left = ((size - min(size, _CROP)) // 4 * 2 for size in mosaic.shape)
    return mosaic[top : top + _CROP, left : left + _CROP]


def require_independent_noise(
    correlations: Correlations, pixels: int, phase: CfaPhase | None, where: str
) -> None:
    """Raise ProcessedFramesError where neighbours correlate beyond chance and charge sharing.

    Both along rows and along columns, and alike: processing works on areas, while interference in the
    read-out, which is the sensor's own noise, is a wave along the rows.
    """
    limit = CORRELATION_LIMIT + 5 / float(np.sqrt(min(pixels, _CROP**2)))
    for distance in (1,) if phase is None else (1, 2):
        across, down = (0, distance), (distance, 0)
        alike = correlations[across] * correlations[down] > 0
        if alike and min(abs(correlations[across]), abs(correlations[down])) > limit:
            raise ProcessedFramesError(
                f"the noise of pixels {distance} apart correlates by {correlations[across]:+.2f} along rows "
                f"and {correlations[down]:+.2f} along columns: smoothed, sharpened or compressed frames",
                where=where,
                hint="shoot raw with noise reduction off, and give the raw files themselves",
            )


def find_interference(correlations: Correlations, pixels: int) -> float:
    """Strongest autocorrelation along one direction, 0 where it is within chance and charge sharing."""
    limit = CORRELATION_LIMIT + 5 / float(np.sqrt(min(pixels, _CROP**2)))
    worst = max(correlations.values(), key=abs)
    return worst if abs(worst) > limit else 0.0


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(extent) for extent in shape)
