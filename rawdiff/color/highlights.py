"""Clipped highlights stay neutral."""

from __future__ import annotations

import torch

_NEAR, _CLIPPED = 0.5, 0.98
_LIFT_FROM, _LIFT_FULL = 0.94, 0.99


def recover_highlights(balanced: torch.Tensor, camera: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Keep highlights neutral where a channel has reached the sensor's white.

    A channel at the sensor's white is a lower bound of the light, not a measurement. Green saturates
    first on most sensors, and white-balanced highlights turn magenta. What a pixel still knows: where one
    channel is clipped, light beyond its white is real only as far as both other channels report it. So as
    a channel nears its white, the others are held to that level, smoothly from half of white on, and the
    clipped channel is raised to them. Colours with no channel near white, and lamps whose clipped channel
    is the brightest, pass untouched; a cloud keeps the detail that red and blue still hold.

    Args:
        balanced: white-balanced camera RGB `[3, h, w]`.
        camera: the same before white balance, white 1.
        gains: white balance gains `[3, 1, 1]`, the smallest 1: the balanced level at which each clips.

    Returns:
        Balanced camera RGB `[3, h, w]`.
    """
    if not bool((camera > _NEAR).any()):
        return balanced
    red, green, blue = balanced
    known = torch.stack((torch.minimum(green, blue), torch.minimum(red, blue), torch.minimum(red, green)))
    known = torch.maximum(known, gains)
    headroom = (gains.amax() - known).clamp_(min=0.0)
    limits = known + headroom * (1.0 - _ramp(camera, _NEAR, _CLIPPED))
    held = torch.minimum(balanced, limits.amin(dim=0))
    return held + _ramp(camera, _LIFT_FROM, _LIFT_FULL) * (held.amax(dim=0) - held)


def _ramp(value: torch.Tensor, start: float, stop: float) -> torch.Tensor:
    """0 below `start`, 1 above `stop`, smooth between."""
    share = ((value - start) * (1.0 / (stop - start))).clamp_(0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)
