"""Row and column noise: offsets that whole rows and columns share in one frame, and their spectrum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rawdiff_calibration.measure import Measured
from rawdiff_calibration.mosaic import Matrix

_CHANCE = 1e-4


@dataclass(frozen=True)
class Banding:
    """A period in the row or column offsets.

    Attributes:
        ratio: power of the strongest frequency over the typical one.
        period_px: its period in rows or columns.
        found: True where chance would give such a peak once in ten thousand sensors.
    """

    ratio: float
    period_px: float
    found: bool


@dataclass(frozen=True)
class LineNoise:
    """Noise of the rows, or of the columns.

    Attributes:
        noise_dn: standard deviation of the shared offset, without what the pixels' own noise adds [DN].
        banding: the strongest period.
        spectrum_dn2: power at 0..0.5 cycles a line; its mean is the variance of the line means [DN^2].
    """

    noise_dn: Measured
    banding: Banding
    spectrum_dn2: Matrix


def temporal_offsets(lines_dn: Matrix) -> Matrix:
    """What changes between frames in line means `[frames, lines]`: no fixed pattern, no frame level."""
    offsets = lines_dn - lines_dn.mean(axis=1, keepdims=True)
    return np.asarray(offsets - offsets.mean(axis=0, keepdims=True))


def measure_lines(groups: Sequence[Matrix], pixel_dn2: Sequence[float]) -> LineNoise:
    """Noise of the lines from their means in groups of frames of one exposure each.

    sigma_line^2 = Var[line means] - pixel variance / line length.

    Args:
        groups: line means `[frames, lines]` of each group, at least two frames each [DN].
        pixel_dn2: variance of a line mean that the pixels' noise accounts for, for each group [DN^2].
    """
    variances, errors, spectra, frames = [], [], [], 0
    for lines, pixel in zip(groups, pixel_dn2, strict=True):
        offsets = temporal_offsets(lines)
        count, length = offsets.shape
        freedom = (count - 1) * (length - 1)
        raw = float((offsets**2).sum()) / freedom
        variances.append(raw - pixel)
        errors.append(raw * math.sqrt(2 / freedom))
        power = np.abs(np.fft.rfft(offsets, axis=1)) ** 2 / length * count / (count - 1)
        spectra.append(power.sum(axis=0))
        frames += count
    weights = 1 / np.maximum(np.array(errors), 1e-12) ** 2
    variance = Measured(float(weights @ variances / weights.sum()), float(1 / math.sqrt(weights.sum())))
    spectrum = np.asarray(np.sum(spectra, axis=0) / frames)
    return LineNoise(variance.root(), _find_banding(spectrum, frames - len(groups)), spectrum)


def _find_banding(spectrum: Matrix, frames: int) -> Banding:
    """The strongest frequency, judged against an even spectrum averaged over `frames` frames."""
    from scipy.stats import chi2

    inner = spectrum[1:-1]
    if inner.size < 8 or not inner.any():
        return Banding(1.0, math.inf, False)
    peak = int(np.argmax(inner))
    freedom = 2 * max(frames, 1)
    typical = float(np.median(inner)) / (float(chi2.median(freedom)) / freedom)
    ratio = float(inner[peak]) / typical
    limit = float(chi2.isf(_CHANCE / inner.size, freedom)) / freedom
    period = 2 * (spectrum.size - 1) / (peak + 1)
    return Banding(ratio, period, ratio > max(limit, 1.5))
