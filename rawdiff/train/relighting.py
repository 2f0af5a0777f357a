"""Training pairs of light: a normally lit photograph, and what is left of it in bad light after denoising.

Light is linear. The dark picture has a gain, uneven and coloured light, a white balance that was wrong,
what a denoiser leaves of the noise or takes of the detail, and the counts of an 8-bit file; its highlights
are those of the scene, which the photograph's own curve has compressed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from rawdiff.simulate.capture import log_uniform
from rawdiff.train.photographs import Library


@dataclass(frozen=True)
class LightPlan:
    """What is drawn. Shares are probabilities per sample.

    Attributes:
        darkening: range of the factor by which the light is lowered.
        shoulder: most that a photograph's curve has compressed white, as 1 - 1 / (its true light).
        even_share: samples in even light.
        ramp_stops: most stops from one side of the frame to the other.
        pool_floor: range of the light outside a pool of light.
        lamps: most lamps of their own colour.
        cast: standard deviation of the logarithm of the white balance error.
        noise: range of the noise that is left, relative to the light at mid-grey.
        quantised_share: samples stored in 8 bits while they were dark.
    """

    darkening: tuple[float, float] = (2.0, 64.0)
    shoulder: float = 0.6
    even_share: float = 0.35
    ramp_stops: float = 3.5
    pool_floor: tuple[float, float] = (0.1, 0.6)
    lamps: int = 3
    cast: float = 0.08
    noise: tuple[float, float] = (0.004, 0.08)
    quantised_share: float = 0.2


@dataclass(frozen=True)
class LightPair:
    """Linear sRGB `[B, 3, h, w]`: the dark picture at its own level, and the normal one."""

    dark: Tensor
    normal: Tensor


def draw_pairs(library: Library, plan: LightPlan, batch: int, side: int, generator: Generator) -> LightPair:
    """Draw `batch` pairs of `side` pixels."""
    normal = torch.stack([library.crop(side, generator) for _ in range(batch)])
    return LightPair(darken(normal, plan, generator), normal)


def darken(normal: Tensor, plan: LightPlan, generator: Generator) -> Tensor:
    """Photograph normally lit scenes `[B, 3, h, w]` in bad light."""
    batch = normal.shape[0]
    compressed = plan.shoulder * torch.rand(batch, 1, 1, 1, generator=generator)
    scene = normal / (1 - compressed * normal.amax(dim=1, keepdim=True))
    light = draw_light(plan, batch, (normal.shape[2], normal.shape[3]), generator)
    cast = torch.exp(plan.cast * torch.randn(batch, 3, 1, 1, generator=generator))
    lit = scene * light * cast
    lit = lit * (normal.mean(dim=(1, 2, 3), keepdim=True) / lit.mean(dim=(1, 2, 3), keepdim=True))
    left = leave_noise(lit, plan, generator)
    dark = left / log_uniform(*plan.darkening, (batch, 1, 1, 1), generator)
    stored = torch.rand(batch, 1, 1, 1, generator=generator) < plan.quantised_share
    return torch.where(stored, quantise(dark), dark)


def draw_light(plan: LightPlan, batch: int, size: tuple[int, int], generator: Generator) -> Tensor:
    """Fields of light `[B, 3, h, w]`: even, falling off, a pool, or lamps of several colours."""
    draws = (_draw_ramp, _draw_pool, _draw_lamps)
    fields = []
    for _ in range(batch):
        kind = float(torch.rand(1, generator=generator))
        if kind < plan.even_share:
            fields.append(torch.ones(3, *size))
            continue
        share = (kind - plan.even_share) / (1 - plan.even_share)
        fields.append(draws[min(int(share * len(draws)), len(draws) - 1)](plan, size, generator))
    return torch.stack(fields)


def _draw_ramp(plan: LightPlan, size: tuple[int, int], generator: Generator) -> Tensor:
    angle, stops = torch.rand(2, generator=generator).tolist()
    rows, columns = _frame(size)
    along = columns * math.cos(2 * math.pi * angle) + rows * math.sin(2 * math.pi * angle)
    return torch.exp2(-plan.ramp_stops * stops * along).expand(3, *size)


def _draw_pool(plan: LightPlan, size: tuple[int, int], generator: Generator) -> Tensor:
    y, x, wide, deep = torch.rand(4, generator=generator).tolist()
    low, high = plan.pool_floor
    floor = low + (high - low) * deep
    field: Tensor = floor + (1 - floor) * _glow(size, y, x, 0.12 + 0.4 * wide)
    return field.expand(3, *size)


def _draw_lamps(plan: LightPlan, size: tuple[int, int], generator: Generator) -> Tensor:
    """Ambient light and lamps between tungsten and skylight; white on the whole as the camera balanced it."""
    count = 1 + int(torch.randint(plan.lamps, (1,), generator=generator))
    field = 0.1 + 0.5 * torch.rand(1, generator=generator).expand(3, *size)
    for _ in range(count):
        y, x, wide, warm, bright = torch.rand(5, generator=generator).tolist()
        warmth = 2 * warm - 1
        colour = torch.tensor([math.exp(0.4 * warmth), 1.0, math.exp(-0.55 * warmth)])
        place = 1.4 * y - 0.2, 1.4 * x - 0.2
        field = field + (0.3 + bright) * colour[:, None, None] * _glow(size, *place, 0.2 + 0.4 * wide)
    return field / field.mean(dim=(1, 2), keepdim=True)


def _glow(size: tuple[int, int], y: float, x: float, wide: float) -> Tensor:
    rows, columns = _frame(size)
    away = (rows - (y - 0.5)) ** 2 + (columns - (x - 0.5)) ** 2
    return torch.exp(-away / (2 * wide**2))


def _frame(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Coordinates -1/2..1/2 of rows and columns."""
    return torch.linspace(-0.5, 0.5, size[0])[:, None], torch.linspace(-0.5, 0.5, size[1])[None, :]


def leave_noise(light: Tensor, plan: LightPlan, generator: Generator) -> Tensor:
    """Soften a little and add noise of photons, part of it in grains of pixels, as denoisers leave it."""
    batch = light.shape[0]
    soft = torch.rand(batch, 1, 1, 1, generator=generator) ** 2
    softened = torch.lerp(light, _smooth(light), soft)
    fine, coarse = (torch.randn(light.shape, generator=generator) for _ in range(2))
    # The smoothing leaves 70/256 of the standard deviation of white noise, squared weights summed per axis.
    coarse = _smooth(coarse) * (256 / 70)
    share = torch.rand(batch, 1, 1, 1, generator=generator)
    grain = (share * fine + (1 - share) * coarse) / torch.sqrt(share**2 + (1 - share) ** 2)
    level = log_uniform(*plan.noise, (batch, 1, 1, 1), generator)
    return softened + level * torch.sqrt(0.18 * light.clamp(min=0) + 0.001) * grain


def _smooth(planes: Tensor) -> Tensor:
    """Binomial 5x5."""
    weights = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = weights.expand(3, 1, 1, 5)
    wide = F.conv2d(F.pad(planes, (2, 2, 0, 0), mode="replicate"), kernel, groups=3)
    return F.conv2d(F.pad(wide, (0, 0, 2, 2), mode="replicate"), kernel.transpose(2, 3), groups=3)


def quantise(linear: Tensor) -> Tensor:
    """Store in sRGB with 8 bits and read back."""
    x = linear.clamp(0, 1)
    coded = torch.where(x < 0.0031308, 12.92 * x, 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
    coded = torch.round(coded * 255) / 255
    return torch.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
