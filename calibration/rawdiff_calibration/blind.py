"""The noise of an ordinary photograph, found in the photograph: Var = K * signal + floor.

The model and the idea of measuring level by level are those of Foi, Trimeche, Katkovnik and Egiazarian,
"Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", TIP 2008; choosing
blocks by one band and measuring in another is after Ponomarenko et al., IGARSS 2007. What is ours: a
block's smoothness is judged mostly in the *other* planes at the same place. Texture is common to the
planes, noise is not, so the choice does not favour blocks that happen to be quiet.

Known weakness: what looks like white noise in the scene itself (grain, sensor noise of a photograph that was
rendered into the scene) counts as noise; heavy tails make the read noise 2-8 % low.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.blocks import Blocks, gather_blocks
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.noise import NoiseModel
from rawdiff_calibration.smooth_blocks import (
    FEWEST_BLOCKS,
    OTHER_QUANTILE,
    OWN_QUANTILE,
    VarianceLine,
    fit_smooth_blocks,
)

Float = NDArray[np.float64]

CALM_SPREAD = 0.2303
"""Median absolute deviation of the high band's variance over blocks of pure noise, relative to its mean."""
SMALLEST_FULL_WELL_E = 50.0
"""Electrons at white below which a gain is texture, not noise: no camera amplifies so much."""
TYPICAL_FULL_WELL_E = 50_000.0


@dataclass(frozen=True)
class BlindEstimate:
    """Noise found in a photograph.

    Attributes:
        model: the noise model, its three colours alike, row and column noise 0 (they are not seen).
        confidence: 0 to 1; 0.5 means the noise is known to about 10 %, 0 that nothing was found and `model`
            is a guess that errs on the side of too little noise.
        gain_dn_per_e, read_noise_dn: the two figures with standard errors.
        level_dn, variance_dn2: the points the line was fitted to.
        remarks: what lowered the confidence, in words.
    """

    model: NoiseModel
    confidence: float
    gain_dn_per_e: Measured
    read_noise_dn: Measured
    level_dn: Float
    variance_dn2: Float
    remarks: tuple[str, ...] = ()


def estimate_noise(
    packed_dn: NDArray[np.floating],
    black_dn: Sequence[float],
    white_dn: Sequence[float],
    quantisation_dn: float | None = None,
) -> BlindEstimate:
    """Estimate the noise of one photograph.

    Args:
        packed_dn: `[4, h, w]` planes R, Gr, Gb, B [DN], the black level **not** subtracted.
        black_dn: black level of each plane [DN].
        white_dn: white level of each plane [DN].
        quantisation_dn: step of the stored values [DN]; None: as the values themselves show it.

    Raises:
        ValueError: the shapes do not fit.
    """
    planes, white = _above_black(packed_dn, black_dn, white_dn)
    blocks = gather_blocks(planes, planes)
    step = find_step(planes) if quantisation_dn is None else quantisation_dn
    return _estimate(blocks, planes, white, step, "the photograph itself (blind estimate)")


def estimate_noise_burst(
    frames_dn: Sequence[NDArray[np.floating]],
    black_dn: Sequence[float],
    white_dn: Sequence[float],
    quantisation_dn: float | None = None,
) -> BlindEstimate:
    """Estimate the noise from differences of successive frames of a burst: still texture cancels.

    Args:
        frames_dn: at least two `[4, h, w]` frames as in `estimate_noise`, taken with the same exposure.
        black_dn: black level of each plane [DN].
        white_dn: white level of each plane [DN].
        quantisation_dn: step of the stored values [DN]; None: as the values themselves show it.

    Raises:
        ValueError: fewer than two frames, or shapes that do not fit.
    """
    if len(frames_dn) < 2:
        raise ValueError("a burst has at least two frames")
    found: list[Blocks] = []
    for first, second in zip(frames_dn[::2], frames_dn[1::2], strict=False):
        one, white = _above_black(first, black_dn, white_dn)
        two, _ = _above_black(second, black_dn, white_dn)
        if one.shape != two.shape:
            raise ValueError(f"frames of one burst have one shape, not {one.shape} and {two.shape}")
        difference = ((one - two) * np.float32(math.sqrt(0.5))).astype(np.float32)
        pair = gather_blocks(((one + two) / 2).astype(np.float32), difference, (one, two))
        found.append(pair)
    blocks = Blocks.join(found)
    step = find_step(one) if quantisation_dn is None else quantisation_dn
    return _estimate(blocks, one, white, step, "the burst itself (differences of its frames)")


def find_step(planes_dn: NDArray[np.floating]) -> float:
    """Step of the stored values [DN]: the greatest whole number that divides all their differences.

    0 where the values are not whole numbers apart: data that were never rounded, or were interpolated.
    """
    sample = planes_dn[..., ::3, ::3].ravel()
    apart = np.abs(sample - sample.min()) if sample.size else sample
    whole = np.rint(apart)
    if not np.all(np.abs(apart - whole) < 1e-3):
        return 0.0
    return float(max(int(np.gcd.reduce(np.unique(whole.astype(np.int64)))), 1))


def _above_black(
    packed_dn: NDArray[np.floating], black_dn: Sequence[float], white_dn: Sequence[float]
) -> tuple[NDArray[np.float32], Float]:
    if packed_dn.ndim != 3 or not len(packed_dn) == len(black_dn) == len(white_dn):
        raise ValueError(f"needs planes [4, h, w] with a black and white level each, got {packed_dn.shape}")
    black, white = np.asarray(black_dn, np.float64), np.asarray(white_dn, np.float64)
    planes = packed_dn.astype(np.float32) - black.astype(np.float32)[:, None, None]
    return planes, white - black


def _estimate(
    blocks: Blocks, planes: NDArray[np.float32], white: Float, step: float, origin: str
) -> BlindEstimate:
    remarks: list[str] = []
    pile = _pile_at_zero(planes)
    if pile is not None:
        remarks.append("darkness is clipped at black in the file")
    line = (
        fit_smooth_blocks(blocks, white, pile)
        if blocks.level.shape[1] * len(white) >= FEWEST_BLOCKS
        else None
    )
    if line is not None and _is_absurd(line, white, step):
        line = None
    if line is None or not line.gain > 0:
        return _guess(blocks, white, step, origin, line, remarks)
    rounding = step**2 / 12
    read = Measured(line.floor - rounding, math.sqrt(line.covariance[1, 1])).root()
    gain = Measured(line.gain, math.sqrt(line.covariance[0, 0]))
    confidence = _confidence(line, blocks, remarks)
    if line.variance.min() < step**2 / 4:
        remarks.append("in the shadows the noise is smaller than the rounding of the stored values")
        confidence /= 2
    model = replace(NoiseModel.uniform(gain.value, read.value), quantisation_dn=step, origin=origin)
    return BlindEstimate(model, confidence, gain, read, line.level, line.variance, tuple(remarks))


def _is_absurd(line: VarianceLine, white: Float, step: float) -> bool:
    """True where no sensor amplifies so much, or where what was found is less than the rounding itself."""
    too_coarse = line.gain > white.min() / SMALLEST_FULL_WELL_E
    return bool(too_coarse or line.variance.max() < step**2 / 12)


def _pile_at_zero(planes: NDArray[np.float32]) -> float | None:
    """The lowest value, where so many samples share it that the camera must have clipped them there."""
    lowest = planes.reshape(len(planes), -1).min(axis=1)
    share = np.mean(planes == lowest[:, None, None])
    near = np.mean(planes < lowest[:, None, None] + 3)
    return float(lowest.max()) if share > 0.002 and share > 0.5 * near else None


def _confidence(line: VarianceLine, blocks: Blocks, remarks: list[str]) -> float:
    """1 / (1 + (u / 6 %)^2), u the uncertainty of the noise at the levels seen.

    On photographs the error is about 1.7 times u: there is texture that no statistic shows.
    """
    levels = np.quantile(blocks.level, (0.1, 0.5, 0.9))
    design = np.stack([np.maximum(levels, 0.0), np.ones(3)], axis=1)
    variance = np.einsum("ij,jk,ik->i", design, line.covariance, design)
    statistical = float(np.max(np.sqrt(np.maximum(variance, 0.0)) / (2 * line.at(levels))))
    ratio = blocks.high[line.chosen] / line.at(blocks.level)[line.chosen]
    excess = max(float(np.median(np.abs(ratio - np.median(ratio)))) / CALM_SPREAD - 1, 0.0)
    share = float(line.chosen.mean()) / (OWN_QUANTILE * OTHER_QUANTILE)
    if share < 0.05:
        remarks.append(f"only {100 * share:.1f} % of the picture is free of texture")
    if line.misfit > 0.1:
        remarks.append("the variance does not follow one straight line over the brightness")
    rare = 0.2 * max(math.log10(0.08 / max(share, 1e-5)), 0.0)
    total = math.hypot(statistical, line.misfit / 2, excess / 2, rare)
    return max(float(1 / (1 + (total / 0.06) ** 2)), 0.01)


def _guess(
    blocks: Blocks, white: Float, step: float, origin: str, line: VarianceLine | None, remarks: list[str]
) -> BlindEstimate:
    """No gain found: a typical full well at base ISO; the floor as found, or of the calmest blocks."""
    gain = float(np.min(white)) / TYPICAL_FULL_WELL_E
    calmest = float(np.quantile(blocks.high, 0.01)) if blocks.high.size else 0.0
    read = math.sqrt(max((calmest if line is None else line.floor) - step**2 / 12, 0.0))
    remarks.append(
        "no part free of texture was found" if line is None else "too little light to measure the gain"
    )
    told = f"{origin}: {remarks[-1]}; a full well of {TYPICAL_FULL_WELL_E:g} e- is assumed"
    model = replace(NoiseModel.uniform(gain, read), quantisation_dn=step, origin=told)
    unknown = Measured(gain, gain), Measured(read, max(read, step))
    return BlindEstimate(model, 0.0, *unknown, np.zeros(0), np.zeros(0), tuple(remarks))
