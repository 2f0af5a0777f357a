"""The straight line of photon transfer, found among levels that also hold saturation and non-linearity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2 as chi2_law

from rawdiff_calibration.errors import ClippedFramesError, FitError
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.mosaic import Matrix

COLLAPSE = 0.7
"""Variance below this part of the line's marks a saturated level."""
FILL = 0.9
"""Levels above this part of the saturation are left out: pixels of lower full well end there first."""
DEVIATION = 4.0
"""A level further than this many standard errors off the line of the lower ones ends the linear range."""
SLACK = 0.005
"""Deviation of the variance from the line that is tolerated, however small the errors are."""
_ROUNDS = 12
_LOW_PART = 0.25
_SIGNIFICANT = 5.0


@dataclass(frozen=True)
class Point:
    """One level of the photon transfer curve.

    Attributes:
        color: index of the colour.
        mean_dn: mean above black [DN].
        variance_dn2: variance of one frame [DN^2].
        kurtosis: of the difference, 3 where it is Gaussian.
        pixels: how many pixels it rests on.
        exposure_s: exposure time, None where not given.
        name: the pair it comes from.
        dark: True where no light was let in.
        saturated: True where it shows the end of the range rather than noise.
        reason: why it was left out; empty where it is used.
        se_dn2: standard error of the variance, with that of the mean [DN^2].
        residual_dn2: variance minus the line.
    """

    color: int
    mean_dn: float
    variance_dn2: float
    kurtosis: float
    pixels: int
    exposure_s: float | None = None
    name: str = ""
    dark: bool = False
    saturated: bool = False
    reason: str = ""
    se_dn2: float = 0.0
    residual_dn2: float = 0.0

    @property
    def used(self) -> bool:
        """True where the level is part of the fit."""
        return not self.reason


@dataclass(frozen=True)
class Line:
    """Variance = intercept + gain * mean, with its covariance already in the errors."""

    gain: Measured
    intercept: Measured
    chi2: float
    freedom: int

    def at(self, mean_dn: Matrix) -> Matrix:
        """Variance of a mean [DN^2]."""
        return np.asarray(self.intercept.value + self.gain.value * mean_dn)


@dataclass(frozen=True)
class TransferFit:
    """The lines of all colours and the verdict on every point."""

    lines: tuple[Line, ...]
    points: tuple[Point, ...]
    saturation_dn: float | None
    linear_to_dn: float


def fit_line(points: Sequence[Point], drift_dn: float = 0.0) -> tuple[Line, Matrix]:
    """Weighted line through the points, and the standard error of each.

    The error of a variance is v sqrt((kurtosis - 1) / pixels), with v from the line itself: weights from the
    measured v would favour the points that chance made low. `drift_dn` is the spread of a frame's
    black level, and enters through the slope.

    Raises:
        FitError: the variance does not grow with the mean.
    """
    mean = np.array([point.mean_dn for point in points])
    variance = np.array([point.variance_dn2 for point in points])
    pixels = np.array([point.pixels for point in points], np.float64)
    spread = np.maximum(np.array([point.kurtosis for point in points]) - 1, 0.5)
    expected = variance
    gain = 0.0
    for _ in range(_ROUNDS):
        se = np.sqrt(expected**2 * spread / pixels + (gain * drift_dn) ** 2 / 2)
        line = _solve(mean, variance, se)
        gain = max(line.gain.value, 0.0)
        settled = np.maximum(line.at(mean), 0.05 * variance)
        if np.allclose(settled, expected, rtol=1e-10):
            break
        expected = settled
    if line.gain.value <= 0:
        raise FitError(
            f"the variance does not grow with light (K would be {line.gain.value:.3g} DN/e-)",
            hint="check that the flats differ in exposure and are not saturated",
        )
    return line, se


def fit_colors(points: Sequence[Point], colors: int, range_dn: float, drift_dn: float) -> TransferFit:
    """Find saturation and the linear range, then fit one line a colour.

    Raises:
        ClippedFramesError: a colour has fewer than two levels below saturation.
        FitError: the variance of a colour does not grow with light.
    """
    judged, saturation = _mark_saturation(list(points), colors, range_dn)
    lines: list[Line] = []
    result = [point for point in judged if not point.used]
    ends: list[float] = []
    for color in range(colors):
        own = [point for point in judged if point.color == color and point.used]
        line, kept, beyond = _fit_color(sorted(own, key=lambda point: point.mean_dn), drift_dn)
        lines.append(line)
        result += kept + beyond
        if beyond:
            ends.append(max(point.mean_dn for point in kept))
    linear_to = min(ends) if ends else max(point.mean_dn for point in result if point.used)
    return TransferFit(tuple(lines), tuple(result), saturation, linear_to)


def _fit_color(own: list[Point], drift_dn: float) -> tuple[Line, list[Point], list[Point]]:
    """The line of one colour, the points that made it, and those beyond its linear range."""
    if len(own) < 2 or all(point.dark for point in own):
        raise ClippedFramesError(
            "fewer than two levels are below saturation", hint="shoot flats at 5 to 60 % of the range"
        )
    kept, beyond = _linear_part(own, drift_dn)
    line, errors = fit_line(kept, drift_dn)
    line = _honest(line)
    if line.gain.value < _SIGNIFICANT * line.gain.se:
        raise FitError(
            "the flats have no more noise than the darks: they are saturated, or hold no light",
            hint="shoot flats at 5 to 60 % of the range",
        )
    reason = "off the straight line of the lower levels"
    return (
        line,
        [_seen(point, line, float(error)) for point, error in zip(kept, errors, strict=True)],
        [_seen(replace(point, reason=reason), line, 0.0) for point in beyond],
    )


def _solve(mean: Matrix, variance: Matrix, se: Matrix) -> Line:
    """Weighted least squares, centred for precision."""
    weights = 1 / se**2
    centre = float(weights @ mean / weights.sum())
    lever = mean - centre
    spread = float(weights @ lever**2)
    if spread <= 0 or not np.isfinite(spread):
        raise FitError("all levels have the same mean: there is no curve")
    gain = float(weights @ (lever * variance)) / spread
    level = float(weights @ variance / weights.sum())
    intercept = level - gain * centre
    residuals = variance - intercept - gain * mean
    return Line(
        Measured(gain, 1 / math.sqrt(spread)),
        Measured(intercept, math.sqrt(1 / weights.sum() + centre**2 / spread)),
        float(weights @ residuals**2),
        len(mean) - 2,
    )


def _honest(line: Line) -> Line:
    """Widen the errors where the residuals are beyond chance (1 in 1000)."""
    if line.freedom < 1 or chi2_law.sf(line.chi2, line.freedom) > 1e-3:
        return line
    factor = math.sqrt(line.chi2 / line.freedom)
    return replace(
        line,
        gain=Measured(line.gain.value, line.gain.se * factor),
        intercept=Measured(line.intercept.value, line.intercept.se * factor),
    )


def _seen(point: Point, line: Line, error: float) -> Point:
    """The point with its error and its distance from the line."""
    expected = line.intercept.value + line.gain.value * point.mean_dn
    se = error or abs(expected) * math.sqrt(max(point.kurtosis - 1, 0.5) / point.pixels)
    return replace(point, se_dn2=se, residual_dn2=point.variance_dn2 - expected)


def _mark_saturation(points: list[Point], colors: int, range_dn: float) -> tuple[list[Point], float | None]:
    """Mark the levels at and near saturation, which all colours share: the sensor's, or the white level."""
    ends = [_collapse(points, color) for color in range(colors)]
    ends += [point.mean_dn for point in points if point.saturated]
    reached = [end for end in ends if end is not None]
    saturation = max(reached) if reached else None
    top = min(x for x in (saturation, range_dn, math.inf) if x is not None)
    marked = [
        replace(point, reason=f"above {FILL:.0%} of saturation")
        if point.used and point.mean_dn > FILL * top
        else point
        for point in points
    ]
    return marked, saturation


def _collapse(points: Sequence[Point], color: int) -> float | None:
    """Level at which the variance of a colour falls away from the line of the levels below it."""
    own = sorted((p for p in points if p.color == color and p.used), key=lambda point: point.mean_dn)
    if len(own) < 4:
        return None
    mean = np.array([point.mean_dn for point in own])
    variance = np.array([point.variance_dn2 for point in own])
    top = int(np.argmax(variance))
    fallen = (np.arange(len(own)) > top) & (variance < COLLAPSE * variance[top] / mean[top] * mean)
    return float(np.median(mean[fallen])) if fallen.any() else None


def _linear_part(own: list[Point], drift_dn: float) -> tuple[list[Point], list[Point]]:
    """Split sorted points where they leave the straight line of those below."""
    low = sum(point.mean_dn < _LOW_PART * own[-1].mean_dn for point in own)
    start = max(3, len(own) // 2, low + 1)
    for count in range(start, len(own)):
        line, _ = fit_line(own[:count], drift_dn)
        if _leaves(own[count], line, own[:count]) and (
            count + 1 == len(own) or _leaves(own[count + 1], line, own[:count])
        ):
            return own[:count], own[count:]
    return own, []


def _leaves(point: Point, line: Line, below: Sequence[Point]) -> bool:
    """True where a point is off the line, given the errors of both."""
    expected = line.intercept.value + line.gain.value * point.mean_dn
    own = expected * math.sqrt(max(point.kurtosis - 1, 0.5) / point.pixels)
    centre = float(np.mean([p.mean_dn for p in below]))
    line_error = line.gain.se * (point.mean_dn - centre)
    allowed = DEVIATION * math.hypot(own, line_error) + SLACK * expected
    return abs(point.variance_dn2 - expected) > allowed
