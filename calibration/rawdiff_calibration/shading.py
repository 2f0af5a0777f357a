"""Dark shading at an ISO that was not measured: linear in ISO between two that were.

D_iso(p) = a(p) ISO + b(p) for each pixel p, as long as the conversion gain is the same (Feng et al.,
"Learnability enhancement for low-light raw denoising", MM 2022).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from rawdiff_calibration.laws import Step

NEAR_STOPS = 0.6
"""Where there are not two to interpolate between, a measured ISO serves this far around it."""


def weigh_shading(iso: float, measured: Collection[float], steps: Sequence[Step]) -> dict[float, float]:
    """Weights of the maps of measured ISOs for one `iso`; they sum to 1. Empty where none can speak for it.

    Args:
        iso: the frame's.
        measured: ISOs that have a map.
        steps: where the conversion gain switches; maps of both sides are never mixed.
    """
    known = sorted(measured)
    below, above = [one for one in known if one <= iso], [one for one in known if one >= iso]
    if below and above:
        low, high = below[-1], above[0]
        if low == high:
            return {low: 1.0}
        if not any(low <= step.iso_below and step.iso_above <= high for step in steps):
            share = (iso - low) / (high - low)
            return {low: 1 - share, high: share}
    nearest = min(known, key=lambda one: abs(math.log2(one / iso)), default=None)
    if nearest is None or abs(math.log2(nearest / iso)) > NEAR_STOPS:
        return {}
    return {nearest: 1.0}
