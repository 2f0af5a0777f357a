"""Clipped highlights stay neutral."""

from __future__ import annotations

import torch

_ONSET, _FULL = 0.94, 0.99


def lift_clipped(balanced: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    """Raise clipped channels to the brightest channel of their pixel.

    A channel at the sensor's white is a lower bound of the light, not a measurement. Green saturates
    first on most sensors, so that white-balanced highlights turn magenta; taking the clipped channel to be
    at least as bright as the brightest other makes them neutral, keeps what the unclipped channels still
    measure, and leaves a saturated lamp (whose clipped channel is the brightest) its colour. The weight
    rises smoothly between 0.94 and 0.99 of white.

    Args:
        balanced: white-balanced camera RGB `[3, h, w]`.
        camera: the same before white balance, white 1.
    """
    if not bool((camera > _ONSET).any()):
        return balanced
    share = ((camera - _ONSET) * (1.0 / (_FULL - _ONSET))).clamp_(0.0, 1.0)
    weight = share * share * (3.0 - 2.0 * share)
    return balanced + weight * (balanced.amax(dim=0) - balanced)
