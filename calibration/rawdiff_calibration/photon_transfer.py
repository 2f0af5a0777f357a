"""Photon transfer: the system gain K from how noise grows with light.

Var[D] = K (mean D - black) + sigma^2 per colour, Gr and Gb as one (Janesick, "Photon Transfer", 2007;
EMVA 1288 R4.0 section 2.2). The variance comes from differences of flat pairs, so that fixed pattern and
shading stay out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.errors import ClippedFramesError, TooFewFramesError
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.mosaic import CfaPhase, Mosaic, color_names, color_planes, plane_slices
from rawdiff_calibration.pairs import LevelStatistics, measure_pair
from rawdiff_calibration.refusals import (
    measure_correlations,
    require_finite,
    require_independent_noise,
    require_same_shape,
)
from rawdiff_calibration.transfer_fit import Point, TransferFit, fit_colors

_SHARED = 0.6
"""Squares of two differences that share a frame correlate by 1/4: together they are worth 2 / 1.25 pairs."""
_CLIPPED = 0.002
"""A level with more than this fraction of pixels at an end of the range is left out."""


@dataclass(frozen=True)
class PhotonTransferResult:
    """The photon transfer of one ISO.

    Attributes:
        colors: R, G, B, or Y of a monochrome sensor; the order of the tuples below.
        gain_dn_per_e: system gain K [DN/e-].
        intercept_dn2: variance without light [DN^2], with rounding's 1/12.
        chi2, freedom: goodness of the fit: squared residuals in units of their errors, degrees of freedom.
        points: every level that was measured, and why it was left out where it was.
        saturation_dn: level above black where the response ends; None where no frame reached it.
        linear_to_dn: highest level above black at which the straight line holds.
        trust: what kind of frames the figures rest on, in words.
        notes: what a person should know about these frames.
    """

    colors: tuple[str, ...]
    gain_dn_per_e: tuple[Measured, ...]
    intercept_dn2: tuple[Measured, ...]
    chi2: tuple[float, ...]
    freedom: tuple[int, ...]
    points: tuple[Point, ...]
    saturation_dn: float | None
    linear_to_dn: float
    trust: str
    notes: tuple[str, ...] = ()


class PhotonTransfer:
    """Gathers pairs of flats and darks of one ISO; holds a few numbers a pair, never a frame.

    Args:
        phase: CFA phase, None for a monochrome sensor.
        black_dn: black level, one for all planes or one each of R, Gr, Gb, B [DN].
        white_dn: level at which values are clipped [DN]; None where it is not known.
        defects: `[H, W]`, True where a pixel is known to be bad.
    """

    def __init__(
        self,
        phase: CfaPhase | None,
        black_dn: float | Sequence[float],
        white_dn: float | None,
        defects: NDArray[np.bool_] | None = None,
    ) -> None:
        self.phase = phase
        self._slices = plane_slices(phase)
        self._black = np.broadcast_to(np.asarray(black_dn, np.float64), len(self._slices))
        self._white = np.inf if white_dn is None else float(white_dn)
        self._defects = defects
        self._shape: tuple[int, int] | None = None
        self._points: list[Point] = []
        self._drifts: list[float] = []
        self._pairs = 0

    def add_pair(
        self,
        first: Mosaic,
        second: Mosaic,
        exposure_s: float | None = None,
        name: str | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Add two flats of the same light and exposure, `[H, W]` DN.

        `again`: the first was in the pair before. The two differences share its noise, so that this one adds
        but 0.6 of a pair.

        Raises:
            MixedFramesError: another size than the frames before, or values that are not numbers.
            LitFramesError: the two were lit differently.
            ProcessedFramesError: the noise of neighbouring pixels is correlated.
        """
        self._pairs += 1
        share = _SHARED if again else 1.0
        self._measure(first, second, exposure_s, name or f"flat pair {self._pairs}", share=share)

    def add_dark_pair(self, first: Mosaic, second: Mosaic, name: str | None = None) -> None:
        """Add two darks of one exposure: the foot of the curve, and how much the black level drifts."""
        self._measure(first, second, 0.0, name or f"dark pair {len(self._drifts) + 1}", dark=True)
        self._drifts.append((float(first.mean(dtype=np.float64)) - float(second.mean(dtype=np.float64))) ** 2)

    def solve(self) -> PhotonTransferResult:
        """Fit the line.

        Raises:
            ClippedFramesError: too few levels are left once clipped ones are out.
            TooFewFramesError: too few levels to tell K from the noise without light.
            FitError: variance does not grow with light.
        """
        drift_dn = float(np.sqrt(np.mean(self._drifts) / 2)) if len(self._drifts) > 1 else 0.0
        names = color_names(self.phase)
        _require_levels(self._points, len(names))
        fit = fit_colors(self._points, len(names), self._white - float(self._black.mean()), drift_dn)
        return _describe(fit, names, self._trust(), self._notes(fit))

    def _measure(
        self,
        first: Mosaic,
        second: Mosaic,
        exposure_s: float | None,
        name: str,
        *,
        dark: bool = False,
        share: float = 1.0,
    ) -> None:
        self._shape = self._shape or (first.shape[0], first.shape[1])
        for frame in (first, second):
            require_same_shape(frame, self._shape, name)
            require_finite(frame, name)
        found: list[Point] = []
        for color, planes in enumerate(color_planes(self.phase)):
            for plane in planes:
                place = self._slices[plane]
                bad = None if self._defects is None else self._defects[place]
                levels = measure_pair(
                    first[place], second[place], float(self._black[plane]), self._white, bad=bad, where=name
                )
                shared = [replace(level, pixels=round(level.pixels * share)) for level in levels]
                found += [_point(color, level, exposure_s, name, dark) for level in shared]
        if not any(point.reason for point in found):
            self._require_raw(first, second, name)
        self._points += found

    def _require_raw(self, first: Mosaic, second: Mosaic, name: str) -> None:
        """Look for traces of noise reduction in the difference of unclipped frames."""
        difference = np.subtract(first, second, dtype=np.float32)
        require_independent_noise(
            measure_correlations(difference, self.phase), difference.size, self.phase, name
        )

    def _trust(self) -> str:
        if self._pairs == 1:
            return "one pair of flats and darks: no check of the straight line"
        return f"{self._pairs} pairs of flats" + ("" if self._drifts else ", no darks")

    def _notes(self, fit: TransferFit) -> tuple[str, ...]:
        notes = [] if self._drifts else ["without darks the noise in the dark is extrapolated"]
        return (*notes, *describe_left_out(fit.points))


def describe_left_out(points: Sequence[Point]) -> tuple[str, ...]:
    """One sentence on how many levels were left out, and for which reasons; none where all were used."""
    left_out = [point.reason for point in points if not point.used]
    if not left_out:
        return ()
    clipped = "% of the pixels "
    kinds = Counter(f"clipped {r.partition(clipped)[2]}" if clipped in r else r for r in left_out)
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return (f"{len(left_out)} of {len(points)} levels left out: {told}",)


def _describe(
    fit: TransferFit, names: tuple[str, ...], trust: str, notes: tuple[str, ...]
) -> PhotonTransferResult:
    return PhotonTransferResult(
        colors=names,
        gain_dn_per_e=tuple(line.gain for line in fit.lines),
        intercept_dn2=tuple(line.intercept for line in fit.lines),
        chi2=tuple(line.chi2 for line in fit.lines),
        freedom=tuple(line.freedom for line in fit.lines),
        points=fit.points,
        saturation_dn=fit.saturation_dn,
        linear_to_dn=fit.linear_to_dn,
        trust=trust,
        notes=notes,
    )


def _point(color: int, level: LevelStatistics, exposure_s: float | None, name: str, dark: bool) -> Point:
    reason, still = "", level.variance_dn2 <= 0 and not dark
    if level.clipped > _CLIPPED:
        reason = f"{level.clipped:.1%} of the pixels at the white level"
    elif level.floored > _CLIPPED:
        reason = f"{level.floored:.1%} of the pixels at zero"
    elif level.variance_dn2 <= 0:
        reason = "the pixels do not vary"
    return Point(
        color=color,
        mean_dn=level.mean_dn,
        variance_dn2=level.variance_dn2,
        kurtosis=level.kurtosis,
        pixels=level.pixels,
        exposure_s=exposure_s,
        name=name,
        dark=dark,
        saturated=level.clipped > _CLIPPED or (still and not level.floored),
        reason=reason,
    )


def _require_levels(points: Sequence[Point], colors: int) -> None:
    """Raise unless every colour has two sound levels, one of them with light."""
    for color in range(colors):
        own = [point for point in points if point.color == color]
        sound = [point for point in own if not point.reason]
        lit = [point for point in own if not point.dark]
        if lit and all(point.reason for point in lit):
            raise ClippedFramesError(
                f"every flat is clipped ({lit[0].reason} in {lit[0].name})",
                hint="shoot flats at 5 to 60 % of the range",
            )
        if len(sound) < 2 or not lit:
            raise TooFewFramesError(
                f"photon transfer needs two levels of light, or one and darks; got {len(sound)} sound ones",
                hint="add a pair of flats at another exposure, or a pair of darks",
            )
