"""From linear light to display light: exposure, gamut and the filmic curve, in exact arithmetic.

Only sums, products, quotients and square roots touch pixels: their results do not depend on how a frame is
cut or vectorised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

ToneMode = Literal["filmic", "linear"]

MID_GREY = 0.18
BRIGHTEST = 8.0
_TINY = 1e-12

# The two constants of the curve from its two anchors, f(MID_GREY) = MID_GREY and f(BRIGHTEST) = 1.
_GREY_POWER, _TOP_POWER = float(MID_GREY**1.5), float(BRIGHTEST**1.5)
_HALF = _TOP_POWER * _GREY_POWER * (1 - MID_GREY) / (MID_GREY * _TOP_POWER - _GREY_POWER)
_SCALE = 1 + _HALF / _TOP_POWER


@dataclass(frozen=True)
class ToneSettings:
    """How light becomes a picture.

    `exposure_ev` places the sensor's white at 2^EV of scene white 1 (DNG's BaselineExposure is added);
    None lets the picture decide, which the linear mode takes for 0.
    """

    mode: ToneMode = "filmic"
    exposure_ev: float | None = None


def filmic(light: torch.Tensor) -> torch.Tensor:
    """Scene light, at least 0, to display light 0..1: y = w x^1.5 / (x^1.5 + s).

    The response of photoreceptors and, on a log axis, the S of film (Naka and Rushton, J. Physiology 185,
    1966; Reinhard and Devlin, IEEE TVCG 11(1), 2005). s keeps 0.18 at 0.18; w takes 8, five and a half
    stops above it, to 1. The exponent 1.5 is a square root and a product, so it is exact everywhere.
    """
    power = light.sqrt() * light
    shown: torch.Tensor = (power / (power + _HALF)).mul_(_SCALE).clamp_(max=1.0)
    return shown


def apply_filmic(rgb: torch.Tensor) -> torch.Tensor:
    """Run the curve over linear RGB `[3, h, w]`, at least 0, without turning hues.

    The largest and the smallest channel follow the curve; the middle one keeps its relative place between
    them, so that highlights pale towards white along their own hue.
    """
    high, low = rgb.amax(dim=0), rgb.amin(dim=0)
    place = (rgb - low).div_(high - low + _TINY)
    shown_high, shown_low = filmic(high), filmic(low)
    return place.mul_(shown_high - shown_low).add_(shown_low)


def fit_gamut(rgb: torch.Tensor, luminance: tuple[float, float, float]) -> torch.Tensor:
    """Draw colours with negative channels towards grey of their luminance until no channel is negative.

    Args:
        rgb: linear output RGB `[3, h, w]`, any sign.
        luminance: Y of the three primaries.
    """
    red, green, blue = luminance
    grey = ((rgb[0] * red + rgb[1] * green) + rgb[2] * blue).clamp_(min=0.0)
    below = rgb.amin(dim=0).clamp_(max=0.0)
    keep = (grey + _TINY) / (grey - below + _TINY)
    return (rgb - grey).mul_(keep).add_(grey).clamp_(min=0.0)
