"""Darks of one ISO, checked and with their defects known: what every figure of the dark is taken from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.dark import DarkAccumulator, ExposureGroup
from rawdiff_calibration.dark_checks import require_like_frames
from rawdiff_calibration.defects import GOOD, DefectMap, find_dark_defects
from rawdiff_calibration.errors import TooFewFramesError
from rawdiff_calibration.mosaic import Mosaic
from rawdiff_calibration.refusals import LAGS, Correlations, require_independent_noise


@dataclass(frozen=True, eq=False)
class DarkSet:
    """Checked darks, by exposure time from the shortest.

    Attributes:
        darks: where they were gathered.
        times: the exposure times [s].
        groups: the frames of each.
        means: mean frame of each [DN above the pedestal].
        correlations: autocorrelation of the noise.
        defect_map: pixels that are left out.
        good: where each plane has none, `[h, w]`.
    """

    darks: DarkAccumulator
    times: list[float]
    groups: list[ExposureGroup]
    means: list[Mosaic]
    correlations: Correlations
    defect_map: DefectMap
    good: list[NDArray[np.bool_]]

    @property
    def noisy(self) -> list[ExposureGroup]:
        """Groups of at least two frames, in which noise can be told from pattern."""
        return [group for group in self.groups if group.count > 1]

    @property
    def noisy_times(self) -> list[float]:
        """The exposure times of those [s]."""
        return [time for time, group in zip(self.times, self.groups, strict=True) if group.count > 1]


def prepare_darks(darks: DarkAccumulator, defect_map: DefectMap | None = None) -> DarkSet:
    """Check gathered darks and find their defects, unless a map is given.

    Raises:
        TooFewFramesError: no two darks share an exposure time.
        LitFramesError: a frame saw light.
        ProcessedFramesError: the noise of neighbouring pixels is correlated.
    """
    times = sorted(darks.groups)
    groups = [darks.groups[time] for time in times]
    if max((group.count for group in groups), default=0) < 2:
        raise TooFewFramesError(
            f"no two of the {darks.frames} darks share an exposure time: noise cannot be told from pattern",
            hint="shoot at least two, better twenty, of each exposure time",
        )
    correlations = {lag: float(np.mean([found[lag] for found in darks.correlations])) for lag in LAGS}
    require_independent_noise(correlations, darks.shape[0] * darks.shape[1], darks.phase, "darks")
    require_like_frames(groups, len(darks.slices))
    means = [group.mean() for group in groups]
    if defect_map is None:
        defect_map = _find_defects(darks, groups, means)
    good = [np.asarray(defect_map[place] == GOOD) for place in darks.slices]
    return DarkSet(darks, times, groups, means, correlations, defect_map, good)


def temporal_variance(groups: list[ExposureGroup]) -> Mosaic:
    """Variance over the frames of each pixel, `[H, W]` DN^2, of groups of at least two frames."""
    freedom = sum(group.count - 1 for group in groups)
    total = groups[0].deviations()
    for group in groups[1:]:
        total += group.deviations()
    return np.asarray(total / np.float32(freedom))


def _find_defects(darks: DarkAccumulator, groups: list[ExposureGroup], means: list[Mosaic]) -> DefectMap:
    """Defects that these darks show, from the mean frames and the variance in two halves of the frames."""
    halves: list[Mosaic] = []
    freedoms: list[int] = []
    for half in (0, 1):
        useful = [group for group in groups if group.counts[half] > 1]
        freedom = sum(group.counts[half] - 1 for group in useful)
        if freedom:
            total = sum((group.half_deviations(half) for group in useful), np.zeros(darks.shape, np.float32))
            halves.append(np.asarray(total / np.float32(freedom)))
            freedoms.append(freedom)
    if not halves:
        pairs = [group for group in groups if group.count > 1]
        halves, freedoms = [temporal_variance(pairs)], [sum(group.count - 1 for group in pairs)]
    return find_dark_defects(means, halves, freedoms, darks.phase, darks.step_dn)
