"""Training pairs, made on the fly: a crop of light, a camera, a short exposure.

Cameras are drawn between the published ones and around them: system gain K, read and row noise after their
laws, tails, colour matrix, exposure ratio; frames are single or what a merged burst gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from rawdiff_calibration.tail import tukey_std
from torch import Generator, Tensor

from rawdiff.simulate.cameras import camera_from_srgb, color_matrices
from rawdiff.simulate.capture import PackedNoise, capture_packed, log_uniform
from rawdiff.simulate.scene import apply_matrix, enlarge_scene, mosaic, pack
from rawdiff.train.photographs import Library

# Published log-linear laws, log(scale) = slope log(K) + intercept +- spread (Wei et al., TPAMI 2021):
# Tukey scale and row noise of SonyA7S2, NikonD850, CanonEOS5D4, CanonEOS70D, CanonEOS700D.
_TUKEY_LAWS = (
    (0.46210, 0.56571, 0.26337),
    (0.47739, -0.09044, 0.23920),
    (0.65588, 1.09269, 0.28605),
    (0.48681, 1.46427, 0.38201),
    (0.59824, 1.53704, 0.38882),
)
_ROW_LAWS = (
    (0.52754, -0.59170, 0.29429),
    (0.44829, -1.79770, 0.23218),
    (0.47128, -0.80790, 0.24362),
    (0.72922, -0.93706, 0.25022),
    (0.62206, -0.77565, 0.24848),
)
_RANGE_DN = 15871.0


@dataclass(frozen=True)
class SynthesisPlan:
    """What is drawn. Shares are probabilities per sample.

    Attributes:
        gain_dn_per_e: range of K, on 14-bit data.
        ratio: range of the exposure ratio.
        dark_share: ratios drawn from the dark part of the range, above `dark_from`.
        soft_share: scenes enlarged twice before the mosaic.
        flat_share: scenes that are one colour with a slope of light: skies, walls, the dark itself.
        merged_share: frames with more than one effective exposure, half of them varying in space.
        most_frames: largest number of effective exposures.
        gaussian_share: states with Gaussian noise of a random map instead of a capture, for samplers.
        misjudged_share: samples whose noise model is wrong by a random factor.
        misjudged_spread: standard deviation of that factor's logarithm.
        left_out: index of a published camera whose laws and colours are never drawn, or None.
    """

    gain_dn_per_e: tuple[float, float] = (0.05, 30.0)
    ratio: tuple[float, float] = (1.0, 400.0)
    dark_from: float = 40.0
    dark_share: float = 0.7
    soft_share: float = 0.3
    flat_share: float = 0.04
    merged_share: float = 0.2
    most_frames: float = 16.0
    gaussian_share: float = 0.12
    misjudged_share: float = 0.2
    misjudged_spread: float = 0.5
    left_out: int | None = None


@dataclass(frozen=True)
class Batch:
    """Noisy planes and their truth, `[B, 4, h, w]`, black 0, white 1 at the input's exposure.

    `gain` and `sigma` `[B, 4, 1, 1]` are what the network is told; `exposures` `[B, 1, h, w]`.
    `gaussian` `[B]` marks samples that are to be replaced by Gaussian states of the map `state_sigma`
    `[B, 4, h, w]` in the stabilised domain.
    """

    noisy: Tensor
    clean: Tensor
    gain: Tensor
    sigma: Tensor
    exposures: Tensor
    gaussian: Tensor
    state_sigma: Tensor
    ratio: Tensor


def draw_batch(library: Library, plan: SynthesisPlan, batch: int, side: int, generator: Generator) -> Batch:
    """Draw `batch` samples of `side` packed pixels."""
    light = torch.stack([_draw_light(library, plan, side, generator) for _ in range(batch)])
    cameras = _draw_matrices(plan, batch, generator)
    exposed = light * log_uniform(0.3, 1.6, (batch, 1, 1, 1), generator)
    clean = pack(mosaic(apply_matrix(cameras, exposed).clamp(0.0, 1.0)))
    ratio = _draw_ratio(plan, batch, generator)
    clean = clean / ratio[:, None, None, None]
    noise = draw_noise(plan, batch, generator)
    exposures = _draw_exposures(plan, batch, side, generator)
    noisy = capture_packed(clean, noise, exposures, generator)
    slip = torch.exp(plan.misjudged_spread * torch.randn(batch, 2, 1, generator=generator))
    wrong = torch.rand(batch, 1, 1, generator=generator) < plan.misjudged_share
    slip = torch.where(wrong, slip, torch.ones_like(slip))
    return Batch(
        noisy=noisy,
        clean=clean,
        gain=(noise.gain() * slip[:, 0])[:, :, None, None],
        sigma=(noise.sigma() * slip[:, 1])[:, :, None, None],
        exposures=exposures,
        gaussian=torch.rand(batch, generator=generator) < plan.gaussian_share,
        state_sigma=_draw_state_sigma(batch, side, generator),
        ratio=ratio,
    )


def draw_noise(plan: SynthesisPlan, batch: int, generator: Generator) -> PackedNoise:
    """Draw the noise of `batch` cameras: K log-uniform, spreads after a mixture of two published laws."""
    gain = log_uniform(*plan.gain_dn_per_e, (batch,), generator)
    shape = torch.empty(batch).uniform_(-0.18, 0.2, generator=generator)
    scale = _draw_law(_TUKEY_LAWS, plan, gain, generator)
    row = _draw_law(_ROW_LAWS, plan, gain, generator)
    spread = torch.tensor([tukey_std(float(value)) for value in shape])
    # The colours of one sensor differ little; the greens are one colour.
    tilt = torch.exp(0.05 * torch.randn(batch, 3, generator=generator))[:, [0, 1, 1, 2]]
    return PackedNoise(
        range_dn=torch.full((batch,), _RANGE_DN),
        gain_dn_per_e=gain[:, None] * tilt,
        read_noise_dn=(scale * spread)[:, None].expand(batch, 4),
        tukey_lambda=shape,
        row_noise_dn=row,
        quantisation_dn=torch.ones(batch),
    )


def _draw_light(library: Library, plan: SynthesisPlan, side: int, generator: Generator) -> Tensor:
    kind = float(torch.rand(1, generator=generator))
    if kind < plan.flat_share:
        return _draw_flat(2 * side, generator)
    if kind < plan.flat_share + plan.soft_share:
        return enlarge_scene(library.crop(side, generator), 2)
    return library.crop(2 * side, generator)


def _draw_flat(side: int, generator: Generator) -> Tensor:
    level = log_uniform(0.003, 1.0, (3, 1, 1), generator) * torch.ones(3, side, side)
    slope_down, slope_across, pale = torch.rand(3, generator=generator).tolist()
    ramp = torch.linspace(-1, 1, side)
    shade = 1 + 0.4 * (slope_down - 0.5) * ramp[:, None] + 0.4 * (slope_across - 0.5) * ramp[None, :]
    grey = level.mean(dim=0, keepdim=True)
    light: Tensor = torch.lerp(level, grey.expand_as(level), pale) * shade
    return light.clamp(0.0, 1.0)


def _draw_pairs(plan: SynthesisPlan, batch: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Two published cameras a sample, and where between them."""
    allowed = torch.tensor([i for i in range(len(_TUKEY_LAWS)) if i != plan.left_out])
    pair = allowed[torch.randint(len(allowed), (batch, 2), generator=generator)]
    return pair[:, 0], pair[:, 1], torch.rand(batch, generator=generator)


def _draw_matrices(plan: SynthesisPlan, batch: int, generator: Generator) -> Tensor:
    first, second, mix = _draw_pairs(plan, batch, generator)
    known = color_matrices()
    matrix = torch.lerp(known[first], known[second], mix[:, None, None])
    matrix = matrix + 0.03 * torch.randn(batch, 3, 3, generator=generator)
    # The light is not always D65: channels shift by up to about a stop against one another.
    tint = torch.exp(0.3 * torch.randn(batch, 3, 1, generator=generator))
    return camera_from_srgb(matrix * tint)


def _draw_law(
    laws: tuple[tuple[float, float, float], ...], plan: SynthesisPlan, gain: Tensor, generator: Generator
) -> Tensor:
    first, second, mix = _draw_pairs(plan, gain.shape[0], generator)
    table = torch.tensor(laws)
    slope, intercept, spread = torch.lerp(table[first], table[second], mix[:, None]).T
    wander = 1.3 * spread * torch.randn(gain.shape, generator=generator)
    return torch.exp(slope * torch.log(gain) + intercept + wander)


def _draw_ratio(plan: SynthesisPlan, batch: int, generator: Generator) -> Tensor:
    low, high = plan.ratio
    middle = min(max(plan.dark_from, low), high)
    dark = log_uniform(middle, high, (batch,), generator)
    bright = log_uniform(low, middle, (batch,), generator)
    return torch.where(torch.rand(batch, generator=generator) < plan.dark_share, dark, bright)


def _draw_exposures(plan: SynthesisPlan, batch: int, side: int, generator: Generator) -> Tensor:
    """1, a constant, or a map with a rejected region: what merging leaves where something moved."""
    most = log_uniform(1.5, plan.most_frames, (batch, 1, 1, 1), generator)
    least = 1.0 + (most - 1.0) * torch.rand(batch, 1, 1, 1, generator=generator) ** 2
    field = _smooth_field(batch, 1, side, generator)
    regions = torch.where(field > 0, most, least)
    blended = torch.lerp(least, most, torch.sigmoid(3 * field))
    kind = torch.rand(batch, 1, 1, 1, generator=generator)
    varying = torch.where(kind < 0.25, regions, torch.where(kind < 0.5, blended, most.expand_as(field)))
    merged = torch.rand(batch, 1, 1, 1, generator=generator) < plan.merged_share
    return torch.where(merged, varying, torch.ones_like(field))


def _draw_state_sigma(batch: int, side: int, generator: Generator) -> Tensor:
    """Noise maps of sampler states: constant, different on the CFA sites, or varying in space."""
    level = log_uniform(0.03, 3.0, (batch, 1, 1, 1), generator)
    per_site = torch.exp(0.5 * torch.randn(batch, 4, 1, 1, generator=generator))
    spatial = torch.exp(0.7 * _smooth_field(batch, 1, side, generator))
    kind = torch.rand(batch, 1, 1, 1, generator=generator)
    shaped = torch.where(kind < 0.4, torch.ones_like(per_site), per_site).expand(batch, 4, side, side)
    return level * torch.where(kind > 0.7, shaped * spatial, shaped)


def _smooth_field(batch: int, channels: int, side: int, generator: Generator) -> Tensor:
    """Smooth random maps of about unit variance."""
    coarse = torch.randn(batch, channels, 5, 5, generator=generator)
    field = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
    return field / math.sqrt(0.6)
