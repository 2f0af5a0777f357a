"""EMVA 1288 Release 4.0 Linear: the industry's figures of a camera, from pairs over exposure and two stacks.

Works on one plane (a monochrome sensor, or one CFA channel). Without a radiometer give `light` in any unit,
such as exposure time: all figures in electrons hold; those in photons are then meaningless and left out.
Symbols follow the standard: mu means, sigma^2 temporal and s^2 spatial variances; y in DN, e in electrons,
p in photons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.errors import FitError, TooFewFramesError
from rawdiff_calibration.mosaic import Matrix

ROUNDING_DN2 = 1 / 12
_LEAST_DARK_DN2 = 0.24
_FIT_TO = 0.7
_LINEAR_FROM, _LINEAR_TO = 0.05, 0.95


@dataclass(frozen=True)
class ExposureStep:
    """One step of the exposure series: mean [DN] and temporal variance [DN^2], lit and dark.

    `light` is the mean number of photons per pixel, or any measure in proportion to it.
    """

    light: float
    exposure_s: float
    mean_dn: float
    variance_dn2: float
    dark_mean_dn: float
    dark_variance_dn2: float


@dataclass(frozen=True)
class SpatialStack:
    """A stack of frames of one light: its mean frame's statistics.

    Attributes:
        mean_dn: mean of all [DN].
        total_dn2, row_dn2, column_dn2, pixel_dn2: spatial variance, whole and in parts [DN^2]; what temporal
            noise leaves in a mean of the stack's frames is subtracted, so that noise can make them negative.
    """

    mean_dn: float
    total_dn2: float
    row_dn2: float
    column_dn2: float
    pixel_dn2: float


@dataclass(frozen=True)
class NonUniformity:
    """Total, row, column and pixel part of DSNU1288 [e-] or PRNU1288 [%]; NaN where noise hides it."""

    total: float
    row: float
    column: float
    pixel: float


@dataclass(frozen=True)
class EmvaQuantities:
    """The linear quantities.

    Attributes:
        gain_dn_per_e: system gain K.
        dark_noise_dn: sigma_y.dark, with rounding, at no exposure [DN].
        dark_noise_e: sigma_d, without rounding [e-].
        threshold_e: mu_e.min: light whose signal equals its noise [e-].
        saturation_e: mu_e.sat [e-].
        snr_max, dynamic_range: as ratios; `snr_max_db` and `dynamic_range_db` in 20 log10.
        linearity_error_min_percent, linearity_error_max_percent: LE over 5 to 95 % of saturation.
        dark_current_mean_e_per_s, dark_current_variance_e_per_s: NaN below three exposure times, the second
            also where the variance falls with time.
        dsnu_e, prnu_percent: NaN without stacks.
        quantum_efficiency, threshold_p, saturation_p: None unless `light` is in photons.
        responsivity: R, DN per unit of `light`.
        saturation_index: the step at which the variance is largest, of the steps in order of exposure, light.
    """

    gain_dn_per_e: float
    responsivity: float
    dark_noise_dn: float
    dark_noise_e: float
    threshold_e: float
    saturation_e: float
    snr_max: float
    dynamic_range: float
    linearity_error_min_percent: float
    linearity_error_max_percent: float
    dark_current_mean_e_per_s: float
    dark_current_variance_e_per_s: float
    dsnu_e: NonUniformity
    prnu_percent: NonUniformity
    quantum_efficiency: float | None
    threshold_p: float | None
    saturation_p: float | None
    saturation_index: int

    @property
    def snr_max_db(self) -> float:
        """SNR_max [dB]."""
        return 20 * math.log10(self.snr_max)

    @property
    def dynamic_range_db(self) -> float:
        """DR [dB]."""
        return 20 * math.log10(self.dynamic_range)


def measure_step(
    lit: tuple[NDArray[np.generic], NDArray[np.generic]],
    dark: tuple[NDArray[np.generic], NDArray[np.generic]],
    light: float,
    exposure_s: float,
) -> ExposureStep:
    """Mean and temporal variance from two frames lit and two dark: half the variance of their difference."""
    mean, variance = _pair_moments(*lit)
    dark_mean, dark_variance = _pair_moments(*dark)
    return ExposureStep(light, exposure_s, mean, variance, dark_mean, dark_variance)


def measure_stack(frames: Iterable[NDArray[np.generic]]) -> SpatialStack:
    """Spatial variances of the mean of a stack `[H, W]`, streamed (EMVA 1288 R4.0 section 8).

    Raises:
        TooFewFramesError: fewer than two frames.
    """
    count, total, squares = 0, np.zeros(0), np.zeros(0)
    for frame in frames:
        values = np.asarray(frame, np.float64)
        total = values.copy() if count == 0 else total + values
        squares = values**2 if count == 0 else squares + values**2
        count += 1
    if count < 2:
        raise TooFewFramesError(f"a stack needs at least 2 frames, got {count}")
    mean = total / count
    temporal = float(((squares - total * mean) / (count - 1)).mean())
    return split_spatial(mean, temporal, count)


def split_spatial(mean_dn: NDArray[np.floating], temporal_dn2: float, frames: int) -> SpatialStack:
    """Spatial variances of the mean `[H, W]` of `frames` frames whose temporal variance is `temporal_dn2`."""
    rows, columns = mean_dn.shape
    level = float(mean_dn.mean(dtype=np.float64))
    left = temporal_dn2 / frames
    spatial = float(mean_dn.var(ddof=1, dtype=np.float64)) - left
    row_levels, column_levels = (mean_dn.mean(axis=axis, dtype=np.float64) for axis in (1, 0))
    column_means = float(((column_levels - level) ** 2).mean()) - left / rows
    row_means = float(((row_levels - level) ** 2).mean()) - left / columns
    size = rows * columns
    rest = size - rows - columns
    return SpatialStack(
        mean_dn=level,
        total_dn2=spatial,
        row_dn2=(size - columns) / rest * row_means - rows / rest * (spatial - column_means),
        column_dn2=(size - rows) / rest * column_means - columns / rest * (spatial - row_means),
        pixel_dn2=size / rest * (spatial - column_means - row_means),
    )


def linear_quantities(
    steps: Sequence[ExposureStep],
    *,
    light_is_photons: bool = False,
    lit_stack: SpatialStack | None = None,
    dark_stack: SpatialStack | None = None,
) -> EmvaQuantities:
    """Compute the linear quantities of EMVA 1288 R4.0.

    Args:
        steps: at least 3, better 50, from dark to beyond saturation; fixed or varied exposure time.
        light_is_photons: True where `light` is the mean number of photons per pixel and exposure.
        lit_stack: stack at about half of saturation.
        dark_stack: stack in the dark at the same exposure time.

    Raises:
        TooFewFramesError: fewer than three steps.
        FitError: the variance does not grow with the mean.
    """
    if len(steps) < 3:
        raise TooFewFramesError(f"EMVA 1288 needs a series of at least 3 exposures, got {len(steps)}")
    ordered = sorted(steps, key=lambda step: (step.exposure_s, step.light))
    light = np.array([step.light for step in ordered])
    signal = np.array([step.mean_dn - step.dark_mean_dn for step in ordered])
    noise = np.array([step.variance_dn2 - step.dark_variance_dn2 for step in ordered])
    top = _saturation_index(np.array([step.variance_dn2 for step in ordered]))
    fitted = slice(0, _last(signal <= _FIT_TO * signal[top]) + 1)
    gain = _through_origin(signal[fitted], noise[fitted])
    if not gain > 0:
        raise FitError(f"the variance does not grow with light (K would be {gain:.3g} DN/e-)")
    responsivity = _through_origin(light[fitted], signal[fitted])
    dark_dn, mean_rate, variance_rate = _dark_figures(ordered)
    error_min, error_max = _linearity_errors(light, signal, top)
    efficiency = responsivity / gain
    threshold_e = dark_dn / gain + 0.5
    saturation_e = efficiency * float(light[top])
    dsnu, prnu = _non_uniformity(lit_stack, dark_stack, gain)
    return EmvaQuantities(
        gain_dn_per_e=gain,
        responsivity=responsivity,
        dark_noise_dn=dark_dn,
        dark_noise_e=math.sqrt(dark_dn**2 - ROUNDING_DN2) / gain,
        threshold_e=threshold_e,
        saturation_e=saturation_e,
        snr_max=math.sqrt(saturation_e),
        dynamic_range=saturation_e / threshold_e,
        linearity_error_min_percent=error_min,
        linearity_error_max_percent=error_max,
        dark_current_mean_e_per_s=mean_rate / gain,
        dark_current_variance_e_per_s=variance_rate / gain**2 if variance_rate >= 0 else math.nan,
        dsnu_e=dsnu,
        prnu_percent=prnu,
        quantum_efficiency=efficiency if light_is_photons else None,
        threshold_p=threshold_e / efficiency if light_is_photons else None,
        saturation_p=float(light[top]) if light_is_photons else None,
        saturation_index=top,
    )


def _pair_moments(first: NDArray[np.generic], second: NDArray[np.generic]) -> tuple[float, float]:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    difference = a - b
    return float(a.mean() + b.mean()) / 2, float(difference.var()) / 2


def _through_origin(x: Matrix, y: Matrix) -> float:
    return float(x @ y / (x @ x))


def _last(chosen: NDArray[np.bool_]) -> int:
    places = np.flatnonzero(chosen)
    if not places.size:
        raise FitError("no step lies below saturation: the variance is largest at the first of them")
    return int(places[-1])


def _saturation_index(variance: Matrix) -> int:
    """Largest variance met from the top; the search ends where two steps in a row are below it."""
    best = len(variance) - 1
    for index in range(len(variance) - 2, -1, -1):
        if variance[index] >= variance[best]:
            best = index
        elif index and variance[index - 1] < variance[best]:
            break
    return best


def _dark_figures(steps: Sequence[ExposureStep]) -> tuple[float, float, float]:
    """sigma_y.dark [DN], and the growth per second of dark mean [DN/s] and variance [DN^2/s]."""
    darks = {step.exposure_s: (step.dark_mean_dn, step.dark_variance_dn2) for step in steps}
    times = np.array(sorted(darks))
    means, variances = np.array([darks[time] for time in times]).T
    floor, mean_rate, variance_rate = float(variances[0]), math.nan, math.nan
    if len(times) > 2:
        mean_rate = float(np.polynomial.polynomial.polyfit(times, means, 1)[1])
        floor, variance_rate = (float(x) for x in np.polynomial.polynomial.polyfit(times, variances, 1))
    # Below this, rounding hides the noise (EMVA 1288 R4.0 section 2.6).
    return math.sqrt(max(floor, _LEAST_DARK_DN2)), mean_rate, variance_rate


def _linearity_errors(light: Matrix, signal: Matrix, top: int) -> tuple[float, float]:
    """Least and largest deviation [%] from the line of relative least squares."""
    first = int(np.flatnonzero(signal >= _LINEAR_FROM * signal[top])[0])
    judged = slice(first, _last(signal <= _LINEAR_TO * signal[top]) + 1)
    x, y = light[judged], signal[judged]
    offset, slope = np.polynomial.polynomial.polyfit(x, y, 1, w=1 / y)
    deviation = 100 * (y / (offset + slope * x) - 1)
    return float(deviation.min()), float(deviation.max())


def _non_uniformity(
    lit: SpatialStack | None, dark: SpatialStack | None, gain: float
) -> tuple[NonUniformity, NonUniformity]:
    unknown = NonUniformity(math.nan, math.nan, math.nan, math.nan)
    if dark is None:
        return unknown, unknown
    dsnu = NonUniformity(*(_root(part) / gain for part in _parts(dark)))
    if lit is None:
        return dsnu, unknown
    scale = 100 / (lit.mean_dn - dark.mean_dn)
    parts = zip(_parts(lit), _parts(dark), strict=True)
    return dsnu, NonUniformity(*(_root(bright - without) * scale for bright, without in parts))


def _parts(stack: SpatialStack) -> tuple[float, float, float, float]:
    return stack.total_dn2, stack.row_dn2, stack.column_dn2, stack.pixel_dn2


def _root(variance: float) -> float:
    return math.sqrt(variance) if variance >= 0 else math.nan
