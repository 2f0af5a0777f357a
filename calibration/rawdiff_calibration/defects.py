"""Pixels that do not measure light: hot, dead and random-telegraph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2 as chi2_law

from rawdiff_calibration.mosaic import CfaPhase, Mosaic, Plane, evaluate_smooth, fit_smooth, plane_slices

DefectMap = NDArray[np.uint8]
"""`[H, W]` codes: GOOD, HOT, DEAD or TELEGRAPH."""

GOOD, HOT, DEAD, TELEGRAPH = 0, 1, 2, 3

OFFSET_SPREADS = 10.0
"""A pixel whose dark level is this many robust spreads off its surroundings is hot (or dead, if below)."""
OFFSET_NOISES = 4.0
"""...and further off than this many standard deviations of a single frame's noise, which would hide it."""
RESPONSE_LIMIT = 0.3
"""A pixel whose response to light is off by more than this fraction is dead."""
JUMP_VARIANCE = 4.0
"""A pixel whose temporal variance exceeds the others' this many times, in both halves of the frames, jumps.
One stray sample of a heavy tail swells one half only."""
JUMP_SHARE = 0.15
"""Two levels visited alike have a variance equal to the squared lift of the mean; shot noise has far less."""


def find_dark_defects(
    means: Sequence[Mosaic],
    half_variances: Sequence[Mosaic],
    half_freedom: Sequence[int],
    phase: CfaPhase | None,
    step_dn: float = 1.0,
) -> DefectMap:
    """Find hot and random-telegraph pixels.

    Args:
        means: mean dark frame of each exposure time, `[H, W]` DN.
        half_variances: temporal variance of two disjoint halves of the frames, `[H, W]` DN^2 each; the second
            is empty where there were too few frames, and no pixel is then called random-telegraph.
        half_freedom: degrees of freedom of each half.
        phase: CFA phase, None for a monochrome sensor.
        step_dn: step of the stored values: a pixel that flips between two of them is no defect.
    """
    codes = np.full(means[0].shape, GOOD, np.uint8)
    for place in plane_slices(phase):
        plane = codes[place]
        spreads = [
            _centre(half[place], freedom) for half, freedom in zip(half_variances, half_freedom, strict=True)
        ]
        if len(half_variances) == 2:
            jumps = np.ones(plane.shape, np.bool_)
            for half, freedom, centre in zip(half_variances, half_freedom, spreads, strict=True):
                ratio = max(JUMP_VARIANCE, float(chi2_law.isf(1e-3, freedom)) / freedom)
                jumps &= half[place] > np.float32(ratio * max(centre, step_dn**2 / 4))
            plane[jumps] = TELEGRAPH
        noise = float(np.sqrt(np.mean(spreads)))
        restless = np.maximum(half_variances[0][place], half_variances[-1][place])
        for mean in means:
            excess, spread = _excess(np.ascontiguousarray(mean[place]))
            limit = max(OFFSET_SPREADS * spread, OFFSET_NOISES * noise, 1.0)
            # Jumping between two levels lifts the mean as well, but then by no more than the jumps.
            steady = restless < np.float32(JUMP_SHARE) * excess * excess
            plane[(excess < -limit) & (steady | (plane == GOOD))] = DEAD
            plane[(excess > limit) & (steady | (plane == GOOD))] = HOT
        codes[place] = plane
    return codes


def find_response_defects(response: Mosaic, phase: CfaPhase | None) -> DefectMap:
    """Find pixels that answer light far too weakly or strongly; `response` `[H, W]` is 1 for a good pixel."""
    codes = np.full(response.shape, GOOD, np.uint8)
    for place in plane_slices(phase):
        deviation = np.abs(response[place] - 1)
        spread = float(np.median(deviation[::3, ::3])) * 1.4826
        codes[place][deviation > max(RESPONSE_LIMIT, OFFSET_SPREADS * spread)] = DEAD
    return codes


def find_defects(dark_map: DefectMap | None, response: Mosaic | None, phase: CfaPhase | None) -> DefectMap:
    """Join what darks and flats tell; darks have the first word.

    Raises:
        ValueError: neither is given.
    """
    if dark_map is None and response is None:
        raise ValueError("defects are found in darks or in flats; give at least one")
    if response is None:
        return np.array(dark_map)
    found = find_response_defects(response, phase)
    return found if dark_map is None else np.where(dark_map == GOOD, found, dark_map)


def _excess(plane: Plane) -> tuple[Plane, float]:
    """Level above the smooth surroundings, and its robust spread over the plane."""
    block = max(4, min(32, min(plane.shape) // 4))
    rows, columns = plane.shape[0] // block, plane.shape[1] // block
    cells = plane[: rows * block, : columns * block].reshape(rows, block, columns, block)
    medians = np.median(cells.transpose(0, 2, 1, 3).reshape(rows, columns, -1), axis=2).astype(np.float64)
    field = fit_smooth(medians, min(4, rows - 1, columns - 1))
    whole = (plane.shape[0], plane.shape[1])
    excess = np.asarray(plane - evaluate_smooth(field, whole, (rows * block, columns * block)))
    low, high = np.percentile(excess[::3, ::3], [25, 75])
    return excess, float(high - low) / 1.349


def _centre(variance: Plane, freedom: int) -> float:
    """Typical temporal variance, from the median: chi-square's is (1 - 2/9f)^3 of its mean."""
    return float(np.median(variance[::3, ::3])) / (1 - 2 / (9 * max(freedom, 1))) ** 3
