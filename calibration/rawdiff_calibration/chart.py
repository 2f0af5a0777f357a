"""Photon transfer from one frame of a stepped chart: less to be trusted than pairs, and it says so.

The noise of a patch is taken from the diagonal Haar detail of 2x2 pixels of a plane, in which any linear
gradient cancels. What does not cancel is the pixels' own response (PRNU), the chart's texture, and what the
camera did to the frame: K comes out high by about PRNU^2 times the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.errors import TooFewFramesError
from rawdiff_calibration.mosaic import (
    CfaPhase,
    Matrix,
    Mosaic,
    Plane,
    block_means,
    color_names,
    color_planes,
    plane_slices,
)
from rawdiff_calibration.photon_transfer import PhotonTransferResult, describe_left_out
from rawdiff_calibration.refusals import require_finite
from rawdiff_calibration.transfer_fit import Point, fit_colors

TYPICAL_PRNU = 0.007
"""Spread of response that a single frame cannot tell from noise; half a percent to one in today's sensors."""
_BLOCK = 4
_DETAILS = _BLOCK**2
_BIN_RATIO = 1.15
_LEAST_BLOCKS = 12
_ROUGHNESS = 2.5
_LEVELS = 4


def from_chart_frame(
    mosaic: Mosaic,
    phase: CfaPhase | None,
    black_dn: float | Sequence[float],
    white_dn: float | None,
) -> PhotonTransferResult:
    """Measure K from one frame `[H, W]` of a chart of grey steps, or anything with even patches.

    The standard error of K holds a systematic part for a typical PRNU.

    Raises:
        TooFewFramesError: fewer than four levels with even patches.
        FitError: the variance does not grow with light.
    """
    require_finite(mosaic, "chart")
    names = color_names(phase)
    blacks = np.broadcast_to(np.asarray(black_dn, np.float64), len(plane_slices(phase)))
    white = np.inf if white_dn is None else float(white_dn)
    points = _measure_colors(mosaic, phase, blacks, white)
    fit = fit_colors(points, len(names), white - float(blacks.mean()), 0.0)
    systematic = TYPICAL_PRNU**2 * fit.linear_to_dn
    return PhotonTransferResult(
        colors=names,
        gain_dn_per_e=tuple(
            replace(line.gain, se=float(np.hypot(line.gain.se, systematic))) for line in fit.lines
        ),
        intercept_dn2=tuple(line.intercept for line in fit.lines),
        chi2=tuple(line.chi2 for line in fit.lines),
        freedom=tuple(line.freedom for line in fit.lines),
        points=fit.points,
        saturation_dn=fit.saturation_dn,
        linear_to_dn=fit.linear_to_dn,
        trust="one frame of a chart: fixed pattern and texture count as noise, K may be too high",
        notes=(
            "shoot pairs of flats for a gain that can be trusted to better than some percent",
            *describe_left_out(fit.points),
        ),
    )


def _measure_colors(mosaic: Mosaic, phase: CfaPhase | None, blacks: Matrix, white_dn: float) -> list[Point]:
    """Levels of all colours; raises where a colour has too few."""
    slices, step = plane_slices(phase), _find_step(mosaic)
    points: list[Point] = []
    for color, planes in enumerate(color_planes(phase)):
        own: list[Point] = []
        for plane in planes:
            own += _measure_plane(mosaic[slices[plane]], float(blacks[plane]), white_dn, step, color)
        if sum(point.used for point in own) < _LEVELS:
            raise TooFewFramesError(
                f"one frame needs {_LEVELS} even levels, {color_names(phase)[color]} has {len(own)}",
                hint="shoot pairs of flats",
            )
        points += own
    return points


def _measure_plane(plane: Plane, black_dn: float, white_dn: float, step_dn: float, color: int) -> list[Point]:
    """Levels of the even blocks of one plane."""
    rows, columns = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    x = np.asarray(plane[:rows, :columns], np.float32)
    a, b, c, d = x[::2, ::2], x[::2, 1::2], x[1::2, ::2], x[1::2, 1::2]
    detail = (a - b - c + d) / 2
    mean = (a + b + c + d) / 4
    level = block_means(mean, _BLOCK)
    variance = block_means(detail * detail, _BLOCK)
    # Even patches: means of 2x2 pixels vary by no more than noise, a quarter of the pixels' variance.
    rough = (
        (block_means((mean - np.float32(black_dn)) ** 2, _BLOCK) - (level - black_dn) ** 2)
        * _DETAILS
        / (_DETAILS - 1)
    )
    noise = _smooth_noise(level, variance)
    even = rough < _ROUGHNESS * noise / 4
    clipped = block_means(((x >= white_dn) | (x <= 0)).astype(np.float32), 2 * _BLOCK) > 0
    points = _bin_blocks(level - black_dn, variance, even & ~clipped, color)
    return [_judge(point, step_dn) for point in points]


def _find_step(mosaic: Mosaic) -> float:
    """Step of the stored values: the least difference between any two of them [DN]."""
    values = np.unique(mosaic[::2, ::2])
    return float(np.diff(values).min()) if values.size > 1 else 1.0


def _judge(point: Point, step_dn: float) -> Point:
    """Leave out levels whose noise is too small for the step that they were rounded to."""
    if point.variance_dn2 < (0.6 * step_dn) ** 2:
        return replace(point, reason=f"the noise is below the step of {step_dn:g} DN")
    return point


def _smooth_noise(level: Matrix, variance: Matrix) -> Matrix:
    """Typical variance of blocks of like level, to judge a single block by."""
    order = np.argsort(level.ravel())
    ordered = variance.ravel()[order]
    width = max(25, ordered.size // 40)
    starts = np.arange(0, ordered.size, width)
    typical = [float(np.percentile(ordered[start : start + width], 35)) for start in starts]
    result = np.empty_like(ordered)
    result[order] = np.repeat(typical, width)[: ordered.size]
    return np.asarray(np.maximum(result, 1e-9).reshape(level.shape))


def _bin_blocks(level: Matrix, variance: Matrix, even: NDArray[np.bool_], color: int) -> list[Point]:
    """Median variance of the even blocks of each level."""
    chosen, values = level[even], variance[even]
    if chosen.size < _LEAST_BLOCKS:
        return []
    floor = max(float(np.sqrt(np.median(values))), 1e-3)
    steps = np.floor(np.log(np.maximum(chosen, floor) / floor) / np.log(_BIN_RATIO)).astype(np.int64)
    points = []
    for step in np.unique(steps):
        own = steps == step
        count = int(own.sum())
        if count < _LEAST_BLOCKS:
            continue
        # The median of chi-square over f degrees is (1 - 2/9f)^3 of its mean, and costs pi/2 of the sample.
        middle = float(np.median(values[own])) / (1 - 2 / (9 * _DETAILS)) ** 3
        points.append(
            Point(
                color=color,
                mean_dn=float(np.mean(chosen[own])),
                variance_dn2=middle,
                kurtosis=3.0,
                pixels=round(count * _DETAILS * 2 / np.pi),
                name=f"{count} patches of one frame",
            )
        )
    return points
