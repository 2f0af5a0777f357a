"""EMVA 1288 from the frames of a calibration: every colour as a camera of its own, gathered pair by pair.

The standard wants darks of each exposure time. Here they are as many as were shot, and level and noise in
between are interpolated. Of the flats near half of saturation each pair is a stack of two; their spatial
variances are averaged, without bias, and as sure as the pixels are many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from rawdiff_calibration.dark import DarkAccumulator, ExposureGroup
from rawdiff_calibration.emva import ExposureStep, SpatialStack, linear_quantities, split_spatial
from rawdiff_calibration.emva_sheet import EmvaSheet, make_sheet
from rawdiff_calibration.errors import CalibrationError
from rawdiff_calibration.mosaic import CfaPhase, Mosaic, Plane, color_names, color_planes, plane_slices

_HALF = (0.35, 0.65)
"""A stack for PRNU1288 lies within this part of saturation, nearest to half of it."""
_STACKED = (0.2, 0.8)
"""Part of the range whose pairs are kept as stacks until saturation is known."""
_SAME_LIGHT = 0.05
_STEPS = 3


@dataclass(frozen=True)
class DarkLevel:
    """One colour of the darks of one exposure time: temporal mean and variance, and their mean frame."""

    exposure_s: float
    mean_dn: float
    variance_dn2: float
    stack: SpatialStack


@dataclass(frozen=True)
class _LitLevel:
    """One colour of one pair of flats; `stack` is None far from half of the range."""

    exposure_s: float | None
    photons: float | None
    mean_dn: float
    variance_dn2: float
    stack: SpatialStack | None


def measure_dark_levels(darks: DarkAccumulator) -> tuple[tuple[DarkLevel, ...], ...]:
    """For each colour its levels in the dark, by exposure time; times with a single frame are left out."""
    colors: list[list[DarkLevel]] = [[] for _ in color_planes(darks.phase)]
    for time, group in sorted(darks.groups.items()):
        if group.count > 1:
            for color, planes in enumerate(color_planes(darks.phase)):
                colors[color].append(_dark_level(darks, time, group, planes))
    return tuple(tuple(levels) for levels in colors)


class EmvaSeries:
    """Gathers the flat pairs of one ISO; holds a few numbers a pair, never a frame.

    Args:
        iso: the setting.
        phase: CFA phase, None for a monochrome sensor.
        darks: levels in the dark of each colour; empty without darks.
        range_dn: white level minus black [DN]; None where it is not known.
    """

    def __init__(
        self,
        iso: float,
        phase: CfaPhase | None,
        darks: tuple[tuple[DarkLevel, ...], ...],
        range_dn: float | None,
    ) -> None:
        self.iso, self.phase, self._darks, self._range = iso, phase, darks, range_dn
        self._slices = plane_slices(phase)
        self._levels: list[list[_LitLevel]] = [[] for _ in color_planes(phase)]

    def add_pair(
        self, first: Mosaic, second: Mosaic, exposure_s: float | None, photons: float | None
    ) -> None:
        """Add two flats `[H, W]` DN of one light; `photons` is the mean number per pixel and exposure."""
        for color, planes in enumerate(color_planes(self.phase)):
            pairs = [(first[self._slices[plane]], second[self._slices[plane]]) for plane in planes]
            measured = [_measure_pair(*pair) for pair in pairs]
            mean = float(np.mean([level for level, _ in measured]))
            variance = float(np.mean([noise for _, noise in measured]))
            stack = self._stack(pairs, measured) if self._is_half(color, mean) else None
            self._levels[color].append(_LitLevel(exposure_s, photons, mean, variance, stack))

    def solve(self) -> tuple[tuple[EmvaSheet, ...], tuple[str, ...]]:
        """The sheets of the colours, and why there are none where they cannot be."""
        problem = self._find_problem()
        if problem:
            return (), (f"no EMVA 1288 figures: {problem}",)
        sheets, notes = [], []
        for color, name in enumerate(color_names(self.phase)):
            try:
                sheets.append(self._solve_color(color, name))
            except CalibrationError as error:
                notes.append(f"no EMVA 1288 figures of {name}: {error}")
        return tuple(sheets), tuple(notes)

    def _find_problem(self) -> str:
        if not self._darks or not all(self._darks):
            return "they need two darks of one exposure time"
        levels = self._levels[-1]
        lights = [_light(level) for level in levels]
        if any(light is None for light in lights):
            return "the flats state no exposure time"
        if len(set(lights)) < _STEPS:
            return f"they need flats of {_STEPS} exposure times, got {len(set(lights))}"
        spread = max(self._spread_of_light(light) for light in set(lights))
        if spread > _SAME_LIGHT:
            return f"the light was not constant, pairs of one exposure lie {spread:.0%} apart"
        return ""

    def _spread_of_light(self, light: float | None) -> float:
        """How much brighter the brightest pair of one exposure is than the darkest, as a fraction."""
        dark = self._darks[-1][0].mean_dn
        above = [level.mean_dn - dark for level in self._levels[-1] if _light(level) == light]
        return max(above) / max(min(above), 1.0) - 1 if len(above) > 1 else 0.0

    def _solve_color(self, color: int, name: str) -> EmvaSheet:
        levels = self._levels[color]
        in_photons = all(level.photons is not None for level in levels)
        steps = [self._step(color, level) for level in levels]
        found = linear_quantities(steps, light_is_photons=in_photons)
        ordered = sorted(range(len(steps)), key=lambda i: (steps[i].exposure_s, steps[i].light))
        top = steps[ordered[found.saturation_index]]
        lit = _half_stacks(levels, self._darks[color], top.mean_dn - top.dark_mean_dn)
        if lit is not None:
            exposure, stack = lit
            dark = min(self._darks[color], key=lambda level: abs(level.exposure_s - exposure))
        else:
            stack, dark = None, self._darks[color][0]
        found = linear_quantities(steps, light_is_photons=in_photons, lit_stack=stack, dark_stack=dark.stack)
        return make_sheet(self.iso, name, len(steps), found)

    def _step(self, color: int, level: _LitLevel) -> ExposureStep:
        """The pair with the dark of its exposure time, interpolated between those that were shot."""
        times, means, variances = (
            [getattr(dark, name) for dark in self._darks[color]]
            for name in ("exposure_s", "mean_dn", "variance_dn2")
        )
        exposure = level.exposure_s or 0.0
        return ExposureStep(
            light=_light(level) or 0.0,
            exposure_s=exposure,
            mean_dn=level.mean_dn,
            variance_dn2=level.variance_dn2,
            dark_mean_dn=float(np.interp(exposure, times, means)),
            dark_variance_dn2=float(np.interp(exposure, times, variances)),
        )

    def _is_half(self, color: int, mean_dn: float) -> bool:
        if self._range is None or not self._darks or not self._darks[color]:
            return True
        share = (mean_dn - self._darks[color][0].mean_dn) / self._range
        return _STACKED[0] < share < _STACKED[1]

    @staticmethod
    def _stack(pairs: Sequence[tuple[Plane, Plane]], measured: Sequence[tuple[float, float]]) -> SpatialStack:
        stacks = [
            split_spatial((first + second) / np.float32(2), variance, 2)
            for (first, second), (_, variance) in zip(pairs, measured, strict=True)
        ]
        return _mean_stack(stacks)


def _light(level: _LitLevel) -> float | None:
    return level.exposure_s if level.photons is None else level.photons


def _measure_pair(first: Plane, second: Plane) -> tuple[float, float]:
    """Mean [DN], and half the variance of the difference [DN^2]."""
    difference = first - second
    mean = (float(first.mean(dtype=np.float64)) + float(second.mean(dtype=np.float64))) / 2
    return mean, float(difference.var(dtype=np.float64)) / 2


def _dark_level(
    darks: DarkAccumulator, time_s: float, group: ExposureGroup, planes: tuple[int, ...]
) -> DarkLevel:
    mean_frame, deviations = group.mean(), group.deviations()
    variances, stacks = [], []
    for plane in planes:
        levels = np.array([frame.level(plane) for frame in group.frames])
        drift = float(((levels - levels.mean()) ** 2).sum())
        squares = float(deviations[darks.slices[plane]].mean(dtype=np.float64))
        variances.append((squares - drift) / (group.count - 1))
        stacks.append(split_spatial(mean_frame[darks.slices[plane]], variances[-1], group.count))
    stack = _mean_stack(stacks)
    stack = SpatialStack(
        stack.mean_dn + darks.pedestal_dn, stack.total_dn2, stack.row_dn2, stack.column_dn2, stack.pixel_dn2
    )
    return DarkLevel(time_s, stack.mean_dn, float(np.mean(variances)), stack)


def _half_stacks(
    levels: Sequence[_LitLevel], darks: Sequence[DarkLevel], saturation_dn: float
) -> tuple[float, SpatialStack] | None:
    """Exposure time and mean stack of the pairs nearest to half of saturation; None where there are none."""
    shares = [(level, (level.mean_dn - darks[0].mean_dn) / saturation_dn) for level in levels if level.stack]
    near = [(abs(share - 0.5), level) for level, share in shares if _HALF[0] < share < _HALF[1]]
    if not near:
        return None
    best = min(near, key=lambda item: item[0])[1]
    same = [level.stack for _, level in near if _light(level) == _light(best) and level.stack is not None]
    return best.exposure_s or 0.0, _mean_stack(same)


def _mean_stack(stacks: Sequence[SpatialStack]) -> SpatialStack:
    means = {
        f.name: float(np.mean([getattr(stack, f.name) for stack in stacks])) for f in fields(SpatialStack)
    }
    return SpatialStack(**means)
