"""What all enhancers share: settling the light once, bands, highlights, strength.

An enhancer's light is display light: linear, 1 is the white of the picture, no curve is to follow. What it
gives above white is bent under it along its own hue, and strength mixes it with the picture as it would be
without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rawdiff.enhance.light import Enhancer, Relight
from rawdiff.enhance.survey import survey_picture
from rawdiff.errors import ConfigurationError, ProcessingError

_BAND_PIXELS = 1 << 20
_DARKEST = 1e-12
"""Mean light of a picture in which there is nothing to enhance."""

SHOULDER_FROM, SHOULDER_TOP = 0.9, 4.0
"""Light that begins to be bent, and light that becomes white: two stops of highlights are told apart."""


@dataclass(frozen=True, eq=False)
class Enhancement:
    """One picture's new light, settled; bands of rows are enhanced in any order with the same result.

    Attributes:
        relight: what the enhancer settled.
        strength: from 0 (the picture as it is without) to 1.
        exposure_ev: stops by which the enhancer's light is then made brighter.
    """

    relight: Relight
    strength: float
    exposure_ev: float = 0.0

    @property
    def halo(self) -> int:
        """Rows above and below that a band must bring along."""
        return self.relight.halo if self.strength > 0 else 0

    def relit(self, band: Tensor, top: int, bottom: int) -> Tensor:
        """Rows `top` to `bottom` in the enhancer's full light.

        Args:
            band: those rows with up to `halo` rows more on either side, `[3, rows, W]`, linear sRGB as it
                was surveyed.
            top: first row that is returned.
            bottom: the row after the last.

        Returns:
            `[3, bottom - top, W]`, linear display light, at most 1; negatives are kept.
        """
        lit = self.relight.apply(band, top, bottom)
        return bend_highlights(lit * 2.0**self.exposure_ev if self.exposure_ev else lit)

    def apply(self, band: Tensor, top: int, bottom: int) -> Tensor:
        """Rows `top` to `bottom` between the picture's own light and the enhancer's; see `relit`."""
        first = min(self.halo, top)
        plain = band[:, first : first + bottom - top]
        if self.strength == 0:
            return plain.clone()
        lit = self.relit(band, top, bottom)
        return lit if self.strength == 1 else mix_light(plain, lit, self.strength)


class _NoLight:
    """A picture without light stays as it is."""

    halo = 0

    def apply(self, band: Tensor, top: int, bottom: int) -> Tensor:
        return band.clone()


def settle(
    enhancer: Enhancer, small: Tensor, size: tuple[int, int], strength: float = 1.0, seed: int = 0
) -> Enhancement:
    """Let an enhancer settle the light of a picture.

    Args:
        enhancer: how.
        small: the picture reduced (`survey.survey_bands`), `[3, h, w]`, linear sRGB, white balanced.
        size: rows and columns of the whole picture.
        strength: from 0 to 1.
        seed: of everything the enhancer draws.

    Raises:
        ConfigurationError: a strength outside its range.
        ProcessingError: the picture holds values that are not numbers.
    """
    check_strength(strength)
    if not bool(torch.isfinite(small).all()):
        raise ProcessingError("the picture holds values that are no numbers", hint="it cannot be enhanced")
    if strength == 0 or not float(small.double().clamp(min=0).mean()) > _DARKEST:
        return Enhancement(_NoLight(), strength)
    return Enhancement(enhancer.survey(small, size, seed), strength)


def check_strength(strength: float) -> None:
    """Raise unless the strength lies in 0..1.

    Raises:
        ConfigurationError: it does not.
    """
    if not 0.0 <= strength <= 1.0:
        raise ConfigurationError(f"the strength of an enhancement is from 0 to 1, not {strength:g}")


def enhance_picture(image: Tensor, enhancer: Enhancer, strength: float = 1.0, seed: int = 0) -> Tensor:
    """Enhance a whole picture in memory, `[3, H, W]` linear sRGB; see `Enhancement.apply`."""
    settled = settle(enhancer, survey_picture(image), (image.shape[1], image.shape[2]), strength, seed)
    lit = torch.empty_like(image)
    for top, bottom in plan_bands(image.shape[1], image.shape[2]):
        band = image[:, max(top - settled.halo, 0) : bottom + settled.halo]
        lit[:, top:bottom] = settled.apply(band, top, bottom)
    return lit


def plan_bands(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield first row and row after the last of bands that cover a picture."""
    rows = max(_BAND_PIXELS // max(width, 1), 1)
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def bend_highlights(light: Tensor) -> Tensor:
    """Bring light above white under it, along its own hue.

    The largest channel follows x up to `SHOULDER_FROM`, then a hyperbola of the same slope that takes
    `SHOULDER_TOP` to 1; the others keep their ratio to it.

    Args:
        light: `[3, h, w]`, linear.
    """
    peak = light.amax(dim=0)
    if not bool((peak > SHOULDER_FROM).any()):
        return light
    over = (peak - SHOULDER_FROM).clamp_(0.0, SHOULDER_TOP - SHOULDER_FROM)
    curvature = 1 / (1 - SHOULDER_FROM) - 1 / (SHOULDER_TOP - SHOULDER_FROM)
    bent = over / (1.0 + curvature * over) + SHOULDER_FROM
    return torch.where(peak > SHOULDER_FROM, light * (bent / peak), light).clamp_(max=1.0)


def mix_light(plain: Tensor, lit: Tensor, strength: float) -> Tensor:
    """Mix two lights in roots, where equal steps look about equal; where they differ by a gain hue is kept.

    Args:
        plain: strength 0.
        lit: strength 1, of the same shape.
        strength: between.
    """
    low, high = (light.abs().sqrt().copysign_(light) for light in (plain, lit))
    mixed = low + (high - low) * strength
    return mixed.abs() * mixed
