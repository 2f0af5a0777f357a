"""Shrinking Haar coefficients of photon counts, in linear light.

The sum of the light in a block and the differences between its halves are the unnormalised Haar transform of
an exposure. Under V = K x + sigma^2 a difference over a block has the variance K S + n sigma^2, with S the
block's sum and n its pixels: every coefficient knows its own noise, at any light level and with no change of
variables (P. Fryzlewicz and G. P. Nason, "A Haar-Fisz algorithm for Poisson intensity estimation", JCGS
13(3), 2004; F. Luisier, C. Vonesch, T. Blu, M. Unser, "Fast interscale wavelet denoising of Poisson-corrupted
images", Signal Processing 90(2), 2010). Shrinking differences towards zero moves light between neighbours
and neither makes nor loses any: the mean of a frame is kept exactly, down to half an electron, which no
transform with an inverse curve can say.

The transform is undecimated (the mean over all shifts of the Haar basis; R. Coifman and D. Donoho,
"Translation-invariant de-noising", 1995), going down from the coarsest level so that S is already clean.
Across the planes, a coefficient is split into what follows the local colour (detail in light, which planes
share) and the rest (detail in colour), in units of each plane's noise; both are shrunk by the local Wiener
rule (M. K. Mihcak et al., IEEE Signal Processing Letters 6(12), 1999) with their energy taken over a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

LEVELS = 4
RADIUS = 2
"""Half-width of the window that the energy of detail is averaged over."""

LIGHT_FLOOR, COLOR_FLOOR = 1.5, 1.15
"""Energy of detail, in units of the noise, below which it is taken for noise altogether."""

REACH = 2**LEVELS - 1 + LEVELS * RADIUS
"""How far an output pixel sees."""

_TINY = 1e-20
Bands = list[torch.Tensor]


@dataclass(frozen=True, eq=False)
class NoiseLaw:
    """Variance of a pixel of light x: `(gain x + floor) spread`.

    `gain` and `floor` are `[planes, 1, 1]`; `spread` is 1 / effective exposures, a number or `[H, W]`.
    """

    gain: torch.Tensor
    floor: torch.Tensor
    spread: float | torch.Tensor

    def over_blocks(self, sums: torch.Tensor, pixels: int, spread: float | torch.Tensor) -> torch.Tensor:
        """Variance of sums and differences over blocks of so many pixels whose clean sum is `sums`."""
        return sums.clamp(min=0.0).mul_(self.gain).add_(self.floor * float(pixels)).mul_(spread).add_(_TINY)


def shrink(planes: torch.Tensor, noise: NoiseLaw) -> torch.Tensor:
    """Denoise planes that carry `REACH` more pixels on every side than are wanted.

    Args:
        planes: `[planes, H + 2 REACH, W + 2 REACH]`, linear light, negatives kept.
        noise: their noise; a map of its spread has the planes' height and width.

    Returns:
        `[planes, H, W]`.
    """
    sums, spread = planes, noise.spread
    details: list[tuple[Bands, float | torch.Tensor]] = []
    for level in range(LEVELS):
        sums, bands = _analyse(sums, 2**level)
        if isinstance(spread, torch.Tensor):
            spread = _analyse(spread, 2**level)[0] * 0.25
        details.append((bands, spread))
    start = 0
    for level in reversed(range(LEVELS)):
        bands, spread = details.pop()
        rows, columns = slice(start, start + sums.shape[-2]), slice(start, start + sums.shape[-1])
        bands = [band[:, rows, columns] for band in bands]
        if isinstance(spread, torch.Tensor):
            spread = spread[rows, columns]
        variance = noise.over_blocks(sums, 4 ** (level + 1), spread)
        bands = _shrink_bands(bands, sums, variance)
        sums = _synthesise(_inset(sums, RADIUS), bands, 2**level)
        start += RADIUS + 2**level
    return sums


def _analyse(sums: torch.Tensor, step: int) -> tuple[torch.Tensor, Bands]:
    """Sums over blocks twice as wide, and the three differences between their quarters."""
    left, right = sums[..., :-step], sums[..., step:]
    low, high = left + right, left - right
    low_top, low_bottom = low[..., :-step, :], low[..., step:, :]
    high_top, high_bottom = high[..., :-step, :], high[..., step:, :]
    bands = [low_top - low_bottom, high_top + high_bottom, high_top - high_bottom]
    return low_top + low_bottom, bands


def _synthesise(sums: torch.Tensor, bands: Bands, step: int) -> torch.Tensor:
    """Sums over the quarters, each the mean of what the four blocks that share it say."""
    vertical, horizontal, diagonal = bands
    low = (sums + vertical)[..., step:, :] + (sums - vertical)[..., :-step, :]
    high = (horizontal + diagonal)[..., step:, :] + (horizontal - diagonal)[..., :-step, :]
    return ((low + high)[..., step:] + (low - high)[..., :-step]).mul_(1.0 / 16.0)


def _shrink_bands(bands: Bands, sums: torch.Tensor, variance: torch.Tensor) -> Bands:
    """Shrink detail in light and detail in colour; `RADIUS` is used up on every side."""
    deviation = variance.sqrt_()
    whitening = deviation.reciprocal()
    color = sums.clamp(min=0.0).mul_(whitening).add_(1e-6)
    color.div_(_across_planes(color, color).sqrt_())
    whitened = [band * whitening for band in bands]
    light = [_across_planes(band, color) for band in whitened]
    rest = torch.zeros_like(light[0])
    for band, common in zip(whitened, light, strict=True):
        rest.add_(_across_planes(band, band)).sub_(common * common)
    degrees = len(bands) * max(sums.shape[0] - 1, 1)
    keep_color = _wiener(_box_mean(rest).mul_(1.0 / degrees), COLOR_FLOOR)
    direction = _inset(color.mul_(deviation), RADIUS)
    shrunk = []
    for band, common in zip(bands, light, strict=True):
        keep_light = _wiener(_box_mean(common * common), LIGHT_FLOOR)
        surplus = keep_light.sub_(keep_color).mul_(_inset(common, RADIUS))
        shrunk.append((_inset(band, RADIUS) * keep_color).add_(direction * surplus))
    return shrunk


def _wiener(energy: torch.Tensor, floor: float) -> torch.Tensor:
    """Share of the energy that is more than noise, 0..1."""
    bounded = energy.clamp(min=floor)
    return (bounded - floor).div_(bounded)


def _across_planes(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Scalar product over the planes, added in their order."""
    total = first[0] * second[0]
    for one, other in zip(first[1:], second[1:], strict=True):
        total.add_(one * other)
    return total


def _box_mean(plane: torch.Tensor) -> torch.Tensor:
    """Mean over the square window; `RADIUS` is used up on every side."""
    for dim in (-1, -2):
        length = plane.shape[dim] - 2 * RADIUS
        total = plane.narrow(dim, 0, length) + plane.narrow(dim, 1, length)
        for offset in range(2, 2 * RADIUS + 1):
            total.add_(plane.narrow(dim, offset, length))
        plane = total
    return plane.mul_(1.0 / (2 * RADIUS + 1) ** 2)


def _inset(planes: torch.Tensor, pixels: int) -> torch.Tensor:
    """Take `pixels` off every side."""
    return planes[..., pixels : planes.shape[-2] - pixels, pixels : planes.shape[-1] - pixels]
