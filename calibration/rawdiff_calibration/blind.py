"""The noise of an ordinary photograph, found in the photograph: Var = K * signal + floor.

The model and the idea of measuring level by level are those of Foi, Trimeche, Katkovnik and Egiazarian,
"Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", TIP 2008; choosing
blocks by one band and measuring in another is after Ponomarenko et al., IGARSS 2007. What is ours: a
block's smoothness is judged mostly in the *other* planes at the same place. Texture is common to the
planes, noise is not, so the choice does not favour blocks that happen to be quiet.

Known weakness: what looks like white noise in the scene itself (grain, sensor noise of a photograph that was
rendered into the scene) counts as noise; heavy tails make the read noise 2-6 % low.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gamma

from rawdiff_calibration.blocks import HIGH_COUNT, LOW_FREEDOM, Blocks, gather_blocks
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.noise import NoiseModel

Float = NDArray[np.float64]

OWN_QUANTILE = 0.9
OTHER_QUANTILE = 0.5
LEVELS = 30
FEWEST_BLOCKS = 60
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


@dataclass(frozen=True)
class _Line:
    """Var = gain * level + floor, its covariance, the points and the blocks behind it."""

    gain: float
    floor: float
    covariance: Float
    level: Float
    variance: Float
    misfit: float
    chosen: NDArray[np.bool_]

    def at(self, level: Float) -> Float:
        return np.maximum(self.gain * np.maximum(level, 0.0) + self.floor, 1e-6)


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
    line = _fit(blocks, white, pile) if blocks.level.shape[1] * len(white) >= FEWEST_BLOCKS else None
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


def _is_absurd(line: _Line, white: Float, step: float) -> bool:
    """True where no sensor amplifies so much, or where what was found is less than the rounding itself."""
    too_coarse = line.gain > white.min() / SMALLEST_FULL_WELL_E
    return bool(too_coarse or line.variance.max() < step**2 / 12)


def _pile_at_zero(planes: NDArray[np.float32]) -> float | None:
    """The lowest value, where so many samples share it that the camera must have clipped them there."""
    lowest = planes.reshape(len(planes), -1).min(axis=1)
    share = np.mean(planes == lowest[:, None, None])
    near = np.mean(planes < lowest[:, None, None] + 3)
    return float(lowest.max()) if share > 0.002 and share > 0.5 * near else None


def _fit(blocks: Blocks, white: Float, pile: float | None) -> _Line | None:
    """Alternate between choosing smooth blocks under the current line and fitting the line to them."""
    # A block of one single value is clipped, or says nothing.
    inside = (blocks.highest < white[:, None] - 0.5) & (blocks.high > 1e-6)
    line = _start(blocks, inside)
    for turn in range(40):
        if line is None:
            return None
        chosen = _choose(blocks, line, inside, white, pile)
        if chosen.sum() < FEWEST_BLOCKS:
            return None
        level, variance, count = _bins(blocks, chosen)
        gain, floor, covariance, misfit = _fit_line(level, variance, count, (line.gain, line.floor))
        if turn > 5:
            gain, floor = (gain + line.gain) / 2, (floor + line.floor) / 2
        moved = max(abs(gain - line.gain) / max(gain, 1e-9), abs(floor - line.floor) / max(floor, 1e-9))
        line = _Line(gain, floor, covariance, level, variance, misfit, chosen)
        if moved < 1e-3:
            break
    return line


def _start(blocks: Blocks, inside: NDArray[np.bool_]) -> _Line | None:
    """A first line through the smoothest twentieth of each level."""
    level, high, low = blocks.level[inside], blocks.high[inside], blocks.low[inside]
    points = []
    for part in np.array_split(np.argsort(level), LEVELS):
        if len(part) >= 8:
            best = part[np.argsort(low[part])[: max(6, len(part) // 20)]]
            points.append((level[best].mean(), high[best].mean(), len(best)))
    if len(points) < 3:
        return None
    at, variance, count = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    gain, floor, covariance, misfit = _fit_line(at, variance, count, (0.0, float(np.median(variance))))
    return _Line(gain, floor, covariance, at, variance, misfit, inside)


def _choose(
    blocks: Blocks, line: _Line, inside: NDArray[np.bool_], white: Float, pile: float | None
) -> NDArray[np.bool_]:
    """Blocks whose low band holds no more than noise, in their own plane and above all in the others."""
    expected = line.at(blocks.level)
    spread = np.sqrt(expected)
    usable: NDArray[np.bool_] = inside & (blocks.level + 4 * spread < white[:, None])
    if pile is not None:
        usable &= blocks.level - 4 * spread > pile
    ratio = blocks.low / expected
    planes = len(ratio)
    other = (ratio.sum(axis=0)[None] - ratio) / (planes - 1)
    usable &= ratio < _quantile(OWN_QUANTILE, LOW_FREEDOM)
    share = OTHER_QUANTILE
    chosen: NDArray[np.bool_] = usable & (other < _quantile(share, LOW_FREEDOM * (planes - 1)))
    while chosen.sum() < 10 * FEWEST_BLOCKS and share < 0.75:
        share += 0.1
        chosen = usable & (other < _quantile(share, LOW_FREEDOM * (planes - 1)))
    return chosen


def _quantile(probability: float, freedom: float) -> float:
    """Quantile of a variance estimate of so many degrees of freedom, relative to the variance."""
    return float(gamma.ppf(probability, freedom / 2, scale=2 / freedom))


def _bins(blocks: Blocks, chosen: NDArray[np.bool_]) -> tuple[Float, Float, Float]:
    """Mean level, mean variance and count per bin; bins even half in number, half in root of the level."""
    order = np.argsort(blocks.level[chosen])
    level, high = blocks.level[chosen][order], blocks.high[chosen][order]
    root = np.sqrt(np.maximum(level, 0.0))
    place = np.arange(len(level)) / len(level) + (root - root[0]) / max(root[-1] - root[0], 1e-9)
    index = np.minimum((place / 2 * LEVELS).astype(np.int64), LEVELS - 1)
    count = np.bincount(index, minlength=LEVELS).astype(np.float64)
    filled = count > 0
    sums = [np.bincount(index, weights=values, minlength=LEVELS)[filled] for values in (level, high)]
    return np.maximum(sums[0] / count[filled], 0.0), sums[1] / count[filled], count[filled]


def _fit_line(
    level: Float, variance: Float, count: Float, start: tuple[float, float]
) -> tuple[float, float, Float, float]:
    """Fit Var = gain * level + floor, both at least 0; points far above the line (texture) lose weight.

    Returns gain, floor, covariance and the rms misfit relative to the line beyond counting statistics.
    """
    gain, floor = start
    design = np.stack([level, np.ones_like(level)], axis=1)
    for _ in range(10):
        expected = np.maximum(gain * level + floor, 1e-6)
        error = expected * np.sqrt(2 / (HIGH_COUNT * count) + 0.02**2)
        above = np.maximum((variance - expected) / error, 1.5)
        weight = (1.5 / above) ** 4 / error**2
        gain, floor = _solve_not_negative(design, variance, weight)
    expected = np.maximum(gain * level + floor, 1e-6)
    chance = 2 / (HIGH_COUNT * count)
    trust = (1.5 / above) ** 4
    excess = (variance / expected - 1) ** 2 - chance
    misfit = math.sqrt(max(float(np.sum(trust * excess) / np.sum(trust)), 0.0))
    weight = trust / (expected**2 * (chance + misfit**2))
    covariance = np.linalg.pinv((design * weight[:, None]).T @ design)
    return gain, floor, covariance, misfit


def _solve_not_negative(design: Float, variance: Float, weight: Float) -> tuple[float, float]:
    normal = (design * weight[:, None]).T @ design
    moment = design.T @ (weight * variance)
    gain, floor = np.linalg.pinv(normal) @ moment
    if gain < 0:
        return 0.0, max(float(moment[1] / normal[1, 1]), 0.0)
    if floor < 0:
        return max(float(moment[0] / max(normal[0, 0], 1e-12)), 0.0), 0.0
    return float(gain), float(floor)


def _confidence(line: _Line, blocks: Blocks, remarks: list[str]) -> float:
    """1 / (1 + (u / 10 %)^2), u the uncertainty of the noise at the levels seen."""
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
    return max(float(1 / (1 + (total / 0.1) ** 2)), 0.01)


def _guess(
    blocks: Blocks, white: Float, step: float, origin: str, line: _Line | None, remarks: list[str]
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
