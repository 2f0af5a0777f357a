"""Choosing what is neutral: as the camera saw it, by the picture itself, or by a colour temperature."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch

from rawdiff.color.matrices import find_white, is_calibrated, neutral_of, scale_neutral
from rawdiff.color.spaces import Matrix
from rawdiff.color.temperature import LOWEST_K, temperature_of, white_of
from rawdiff.errors import ConfigurationError, InputError
from rawdiff.raw.frame import ColorTags

_DAYLIGHT_K = 5500.0
_MINKOWSKI = 6.0
_CLIPPED = 0.95
_PLAUSIBLE_K = (2500.0, 10000.0)
_PLAUSIBLE_TINT = (-30.0, 30.0)


@dataclass(frozen=True)
class Temperature:
    """A white by correlated colour temperature [K] and tint (positive: greener light, a pinker picture)."""

    kelvin: float
    tint: float = 0.0


def parse_white_balance(text: str) -> str | Temperature:
    """Read 'as-shot', 'auto', or a temperature such as '5200', '5200K' or '5200,+10' (with tint).

    Raises:
        ConfigurationError: none of these.
    """
    word = text.strip().lower()
    if word in ("as-shot", "auto"):
        return word
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*k?(?:\s*,\s*([+-]?\d+(?:\.\d+)?))?", word)
    if match is None:
        raise ConfigurationError(
            f"'{text}' is no white balance", hint="as-shot, auto, or kelvins such as 5200"
        )
    kelvin, tint = float(match[1]), float(match[2] or 0)
    if not LOWEST_K <= kelvin <= 1e6 or abs(tint) > 150:
        raise ConfigurationError(
            f"white balance of {kelvin:g} K and tint {tint:g} is out of range",
            hint=f"{LOWEST_K:.0f} K or more, tint -150 to 150",
        )
    return Temperature(kelvin, tint)


def as_shot_neutral(color: ColorTags) -> Matrix | None:
    """Camera RGB of neutral as the file has it, `[3]`, its largest entry 1; None where it says nothing."""
    if color.as_shot_neutral is not None:
        return scale_neutral(color.as_shot_neutral)
    if color.as_shot_white_xy is not None and is_calibrated(color):
        return neutral_of(color, color.as_shot_white_xy)
    return None


def choose_neutral(
    color: ColorTags, mode: str | Temperature = "as-shot", image: torch.Tensor | None = None
) -> Matrix:
    """Camera RGB of what is to be neutral, `[3]`, its largest entry 1.

    A file without an as-shot white is balanced by its picture, or for daylight where no picture is given
    (`explain_neutral` says which).

    Args:
        color: the file's colour tags.
        mode: 'as-shot', 'auto' or a temperature, also as `parse_white_balance` reads it.
        image: small camera RGB `[3, h, w]`, not white-balanced, white 1; needed by 'auto'.

    Raises:
        ConfigurationError: an unknown mode, 'auto' without picture, a temperature without calibration.
        InputError: colour tags that contradict themselves.
    """
    wish = parse_white_balance(mode) if isinstance(mode, str) else mode
    if isinstance(wish, Temperature):
        if not is_calibrated(color):
            raise ConfigurationError(
                "a colour temperature needs a calibrated camera", hint="use as-shot or auto for this file"
            )
        return neutral_of(color, white_of(wish.kelvin, wish.tint))
    recorded = as_shot_neutral(color) if wish == "as-shot" else None
    if recorded is not None:
        return recorded
    if image is not None:
        return estimate_neutral(color, image)
    if wish == "auto":
        raise ConfigurationError("automatic white balance needs the picture")
    return neutral_of(color, white_of(_DAYLIGHT_K)) if is_calibrated(color) else np.ones(3)


def explain_neutral(color: ColorTags, mode: str | Temperature, neutral: Matrix) -> str:
    """Say in words where a neutral came from, with its temperature where the camera is calibrated."""
    wish = parse_white_balance(mode) if isinstance(mode, str) else mode
    if isinstance(wish, Temperature):
        origin = "as asked"
    elif wish == "as-shot" and as_shot_neutral(color) is not None:
        origin = "as shot"
    else:
        origin = "estimated from the picture" if wish == "auto" else "estimated, as the file has none"
    if not is_calibrated(color):
        return origin
    kelvin, tint = temperature_of(find_white(color, neutral))
    return f"{origin}: {kelvin:.0f} K, tint {tint:+.0f}"


def estimate_neutral(color: ColorTags, image: torch.Tensor) -> Matrix:
    """Estimate the neutral of a picture by shades of grey, held to lights that exist.

    The Minkowski mean of each channel over the pixels that are neither clipped nor lost in the dark is
    taken for grey (Finlayson and Trezzi, "Shades of gray and colour constancy", Color Imaging Conference
    2004). With a calibrated camera, temperature and tint are then held to 2500-10000 K and +-30.
    """
    channels = image.reshape(3, -1).double().numpy()
    brightest = channels.max(axis=0)
    usable = (brightest < _CLIPPED) & (channels.min(axis=0) > 0)
    if usable.any():
        usable &= brightest > 0.05 * np.quantile(brightest[usable], 0.99)
    if np.count_nonzero(usable) < max(16, 0.001 * usable.size):
        return neutral_of(color, white_of(_DAYLIGHT_K)) if is_calibrated(color) else np.ones(3)
    scaled = channels[:, usable] / brightest[usable].max()
    neutral = scale_neutral(np.mean(scaled**_MINKOWSKI, axis=1) ** (1 / _MINKOWSKI))
    return _hold_to_lights(color, neutral) if is_calibrated(color) else neutral


def _hold_to_lights(color: ColorTags, neutral: Matrix) -> Matrix:
    """The nearest plausible light's neutral; daylight's where the estimate is no light at all."""
    try:
        kelvin, tint = temperature_of(find_white(color, neutral))
    except InputError:
        kelvin, tint = _DAYLIGHT_K, 0.0
    held = float(np.clip(kelvin, *_PLAUSIBLE_K)), float(np.clip(tint, *_PLAUSIBLE_TINT))
    return neutral if held == (kelvin, tint) else neutral_of(color, white_of(*held))
