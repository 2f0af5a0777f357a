"""Are these darks dark, and all alike? Each check raises with the reason, or returns notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.dark import DarkAccumulator, ExposureGroup
from rawdiff_calibration.errors import LitFramesError
from rawdiff_calibration.fixed_pattern import smooth_part
from rawdiff_calibration.mosaic import Mosaic
from rawdiff_calibration.refusals import Correlations, find_interference

_FEW = 8
_SHORT_S = 1.0


def require_like_frames(groups: list[ExposureGroup], planes: int) -> None:
    """Raise LitFramesError where the level of one frame lies far from the others of its exposure time."""
    for group in groups:
        if group.count < 4:
            continue
        levels = np.array([np.mean([frame.level(p) for p in range(planes)]) for frame in group.frames])
        away = np.abs(levels - np.median(levels))
        worst = int(np.argmax(away))
        if away[worst] > max(15 * float(np.median(away)), 1.0):
            raise LitFramesError(
                f"its level is {levels[worst] - float(np.median(levels)):+.1f} DN off the other darks",
                where=group.frames[worst].name,
                hint="it saw light, or was taken at another ISO or temperature: leave it out",
            )


def require_darkness(
    darks: DarkAccumulator,
    times: list[float],
    means: list[Mosaic],
    good: Sequence[NDArray[np.bool_]],
    spread_dn: float,
) -> list[str]:
    """Raise LitFramesError where the darks saw light; return notes where long ones only glow."""
    notes = []
    if darks.stated_black_dn is not None and times[0] <= _SHORT_S:
        above = float(np.median(means[0][::3, ::3])) + darks.pedestal_dn - darks.stated_black_dn
        if above > max(5.0, 3 * spread_dn, 0.02 * darks.stated_black_dn):
            raise LitFramesError(
                f"the darks lie {above:.0f} DN above the stated black level of {darks.stated_black_dn:g} DN",
                where="darks",
                hint="a light leak: cap the lens, cover the finder",
            )
    for time, mean in zip(times, means, strict=True):
        rise = max(
            float(np.ptp(smooth_part(np.ascontiguousarray(mean[place]), kept, degree=3)))
            for place, kept in zip(darks.slices, good, strict=True)
        )
        slight, short, long = max(2.0, spread_dn), max(4.0, 2 * spread_dn), max(20.0, 10 * spread_dn)
        if rise > (short if time <= _SHORT_S else long):
            raise LitFramesError(
                f"the level rises by {rise:.1f} DN across the darks of {time:g} s",
                where="darks",
                hint="a light leak: cap the lens, cover the finder, work in a dark room",
            )
        if rise > slight:
            notes.append(f"the darks of {time:g} s glow by {rise:.1f} DN: amplifier glow, or a little light")
    return notes


def note_interference(correlations: Correlations, pixels: int) -> list[str]:
    """Say so where the noise in the dark is not white."""
    found = find_interference(correlations, pixels)
    if not found:
        return []
    return [f"the noise in the dark is correlated by {found:+.2f}: interference in the read-out"]


def note_few_frames(groups: list[ExposureGroup]) -> list[str]:
    """Say so where there are too few frames for tails and defects."""
    total = sum(group.count for group in groups)
    return [f"only {total} darks: shape of the tails and defects are known badly"] if total < _FEW else []
