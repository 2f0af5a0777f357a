"""How well a noise model explains frames: after a stabilising transform their variance must be 1.

The generalised Anscombe transform f(z) = (2/K) sqrt(K z + 3/8 K^2 + sigma^2) makes Poisson-Gaussian noise of
gain K and read noise sigma nearly unit variance at every brightness (Starck, Murtagh and Bijaoui, "Image
Processing and Data Analysis", 1998; Makitalo and Foi, TIP 2013). Where it falls short of 1 by its nature,
below about four electrons, the figure is divided by its exact expectation. Frames should be free of their
offset pattern (DSNU), which bends the transform of the darkest pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from rawdiff_calibration.blocks import Blocks, gather_blocks
from rawdiff_calibration.mosaic import CfaPhase, Mosaic, color_planes, plane_slices
from rawdiff_calibration.noise import NoiseModel

Float = NDArray[np.float64]

_BINS = 16
_CALM_SHARE = 0.2
_DEFECTIVE = 4.0
"""A block so many times noisier than the typical one holds a defect, which no noise model explains."""
_TOLERANCE = 0.1
"""Variance may be off by this much, beyond its error, before the model is called wrong."""
_SIGNIFICANT = 4.0
"""Standard errors beyond which a bin is wrong: of 48 bins one is by chance in 0.3 % of the verdicts."""
_FEWEST = 24


@dataclass(frozen=True)
class VarianceBin:
    """Stabilised variance of one colour at one brightness: 1 where the model is right; `se` from counting."""

    level_dn: float
    variance: float
    se: float
    color: int = 0

    @property
    def wrong(self) -> bool:
        """True where the variance is off by more than 10 % and 4 standard errors."""
        return abs(self.variance - 1) > max(_TOLERANCE, _SIGNIFICANT * self.se)


@dataclass(frozen=True)
class Fitness:
    """The verdict on a noise model.

    Attributes:
        bins: stabilised variance over brightness, ascending, one colour after the other.
        mean_variance: mean over the bins, weighted by their certainty.
        good: True where no bin is wrong.
        verdict: in words.
    """

    bins: tuple[VarianceBin, ...]
    mean_variance: float
    good: bool
    verdict: str


def stabilise(signal_dn: NDArray[np.floating], gain_dn_per_e: float, floor_dn2: float) -> NDArray[np.float32]:
    """Generalised Anscombe transform of values above black: unit variance where the model holds.

    Args:
        signal_dn: values with the black level subtracted, negatives kept [DN].
        gain_dn_per_e: system gain K [DN/e-].
        floor_dn2: variance without light [DN^2].
    """
    inside = gain_dn_per_e * signal_dn.astype(np.float32) + np.float32(0.375 * gain_dn_per_e**2 + floor_dn2)
    return np.asarray(2 / gain_dn_per_e * np.sqrt(np.maximum(inside, 0)), dtype=np.float32)


def expected_variance(light_e: float, read_e: float) -> float:
    """Exact variance of the transform at a mean of `light_e` electrons and a read noise of `read_e`.

    Sum over the Poisson law and over a fine grid of the read noise; 1 above 100 electrons.
    """
    light = max(light_e, 0.0)
    if light > 100:
        return 1.0
    count = np.arange(int(light + 12 * math.sqrt(light) + 20))
    log_probability = count * math.log(light) - light - gammaln(count + 1) if light > 0 else None
    probability = (count == 0).astype(np.float64) if log_probability is None else np.exp(log_probability)
    nodes = np.linspace(-7, 7, 1401)  # the root's kink at zero rules out a Gauss-Hermite rule
    weights = np.exp(-(nodes**2) / 2)
    z = count[:, None] + read_e * nodes[None, :]
    f = 2 * np.sqrt(np.maximum(z + 0.375 + read_e**2, 0.0))
    joint = probability[:, None] * weights[None, :] / weights.sum()
    mean = float((joint * f).sum())
    return float((joint * (f - mean) ** 2).sum())


def judge_pairs(
    model: NoiseModel,
    pairs: Iterable[tuple[Mosaic, Mosaic]],
    phase: CfaPhase | None,
    black_dn: Sequence[float],
    white_dn: float,
) -> Fitness:
    """Judge a model by pairs of like frames `[H, W]` (flats, a still burst): differences hold no scene.

    Raises:
        ValueError: no pair, or too little in them to judge.
    """
    found = [
        (color, blocks)
        for first, second in pairs
        for color, blocks in _blocks(model, (first, second), phase, black_dn, white_dn)
    ]
    return _judge(model, found)


def judge_frame(
    model: NoiseModel,
    frame: Mosaic,
    phase: CfaPhase | None,
    black_dn: Sequence[float],
    white_dn: float,
    *,
    above_dn: float = -math.inf,
) -> Fitness:
    """Judge a model by one photograph `[H, W]`, in its smooth places; PRNU counts as noise there.

    Places whose level above black is below `above_dn` are left out.

    Raises:
        ValueError: no smooth place to judge by.
    """
    return _judge(model, list(_blocks(model, (frame,), phase, black_dn, white_dn, above_dn)))


def _blocks(
    model: NoiseModel,
    frames: tuple[Mosaic, ...],
    phase: CfaPhase | None,
    black_dn: Sequence[float],
    white_dn: float,
    above_dn: float = -math.inf,
) -> list[tuple[int, Blocks]]:
    """Stabilised blocks of each colour that hold no texture and no clipping."""
    slices, colors = plane_slices(phase), color_planes(phase)
    levels, residuals, highest = [], [], []
    for plane, place in enumerate(slices):
        color = next(index for index, planes in enumerate(colors) if plane in planes)
        gain, floor = model.gain_dn_per_e[color], _pixel_floor(model, color)
        above = [np.asarray(frame[place], np.float32) - np.float32(black_dn[plane]) for frame in frames]
        flat = [stabilise(values, gain, floor) for values in above]
        levels.append(sum(above[1:], above[0]) / np.float32(len(above)))
        residuals.append(flat[0] if len(flat) == 1 else (flat[0] - flat[1]) * np.float32(math.sqrt(0.5)))
        highest.append(np.maximum.reduce([frame[place] for frame in frames]))
    blocks = gather_blocks(
        np.stack(levels).astype(np.float32), np.stack(residuals), (np.stack(highest).astype(np.float32),)
    )
    keep = _calm(blocks, _CALM_SHARE if len(frames) == 1 else 1.0)
    keep &= (blocks.highest < white_dn) & (blocks.level >= above_dn)
    found = []
    for index, planes in enumerate(colors):
        part = [_take(blocks, plane, keep[plane]) for plane in planes]
        found.append((index, Blocks.join(part)))
    return found


def _pixel_floor(model: NoiseModel, color: int) -> float:
    """Variance in the dark that a block's high band sees: without row and column noise."""
    return model.read_noise_dn[color] ** 2 + model.quantisation_dn**2 / 12


def _calm(blocks: Blocks, share: float) -> NDArray[np.bool_]:
    """The calmest share of the blocks at each brightness, by the low band of the *other* planes there.

    Their noise is independent, so the choice does not favour quiet noise, nor the model that is judged.
    """
    planes, count = blocks.low.shape
    if planes == 1 or share >= 1:
        return np.ones_like(blocks.low, dtype=np.bool_)
    keep = np.zeros_like(blocks.low, dtype=np.bool_)
    for plane in range(planes):
        other = blocks.low.sum(axis=0) - blocks.low[plane]
        for part in np.array_split(np.argsort(blocks.level[plane]), max(1, min(_BINS, count // 20))):
            keep[plane, part[np.argsort(other[part])[: max(1, int(share * len(part)))]]] = True
    return keep


def _take(blocks: Blocks, plane: int, keep: NDArray[np.bool_]) -> Blocks:
    return Blocks(
        *(getattr(blocks, name)[plane : plane + 1, keep] for name in ("level", "high", "low", "highest"))
    )


def _judge(model: NoiseModel, found: list[tuple[int, Blocks]]) -> Fitness:
    bins: list[VarianceBin] = []
    for color in sorted({color for color, _ in found}):
        own = [blocks for index, blocks in found if index == color]
        level, high = (np.concatenate([getattr(b, name)[0] for b in own]) for name in ("level", "high"))
        bins += _bin_levels(model, color, level, high)
    if len(bins) < 2:
        raise ValueError("too few smooth places to judge a noise model by")
    return _conclude(bins)


def _bin_levels(model: NoiseModel, color: int, level: Float, high: Float) -> list[VarianceBin]:
    """Mean variance of a colour's blocks, sorted by level into bins of as many; none of too few blocks."""
    gain, read = model.gain_dn_per_e[color], math.sqrt(_pixel_floor(model, color))
    count = min(_BINS, level.size // _FEWEST)
    parts: list[tuple[float, Float]] = []
    for part in np.array_split(np.argsort(level), count) if count else []:
        at = float(level[part].mean())
        values = high[part] / expected_variance(at / gain, read / gain)
        parts.append((at, values[values < _DEFECTIVE * np.median(values)]))
    # Blocks of white noise spread alike at every level: one figure for all is surer than each bin's own.
    spreads = [float(values.std() / values.mean()) for _, values in parts if values.mean() > 0]
    spread = math.sqrt(float(np.mean(np.square(spreads)))) if spreads else 0.0
    return [
        VarianceBin(at, float(v.mean()), float(v.mean()) * spread / math.sqrt(len(v)), color)
        for at, v in parts
    ]


def _conclude(bins: list[VarianceBin]) -> Fitness:
    weight = np.array([1 / max(one.se, 1e-3) ** 2 for one in bins])
    mean = float(np.average([one.variance for one in bins], weights=weight))
    wrong = [one for one in bins if one.wrong]
    spread = f"{min(b.variance for b in bins):.2f} to {max(b.variance for b in bins):.2f}"
    if not wrong:
        text = f"explains the noise: stabilised variance {mean:.2f} ({spread} over {len(bins)} levels)"
        return Fitness(tuple(bins), mean, True, text)
    worst = max(wrong, key=lambda one: abs(math.log(max(one.variance, 1e-3))))
    kind = "too little" if worst.variance > 1 else "too much"
    color = "" if len({one.color for one in bins}) == 1 else f" in {'RGB'[worst.color]}"
    text = (
        f"expects {kind} noise at {round(worst.level_dn)} DN{color}: stabilised variance {worst.variance:.2f}"
        f" instead of 1 ({spread} over {len(bins)} levels, {len(wrong)} of them off)"
    )
    return Fitness(tuple(bins), mean, False, text)
