"""Flats of one ISO: response non-uniformity (PRNU) and the lens's shading.

Frames of any level are added up, the even and the odd apart: weights in proportion to light are the best
there are under shot noise. What the two sums share beyond the smooth shading is the pixels' own response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.defects import GOOD, DefectMap, find_response_defects
from rawdiff_calibration.errors import ClippedFramesError, LitFramesError, UnevenFramesError
from rawdiff_calibration.fixed_pattern import SMOOTH_DEGREE, FixedPattern, choose_cell, split_common
from rawdiff_calibration.mosaic import (
    CfaPhase,
    Matrix,
    Mosaic,
    block_means,
    cell_means,
    evaluate_smooth,
    fit_smooth,
    plane_slices,
)
from rawdiff_calibration.pairs import choose_block
from rawdiff_calibration.refusals import require_finite, require_frames, require_same_shape

MAX_GRADIENT = 0.25
"""Light may fall off from one side to the other by this much; more is not a flat."""
MAX_TEXTURE = 0.01
"""Blocks may deviate from the smooth shading by this much (rms) beyond their noise."""
MAX_CHANGE = 0.03
"""The light of one frame may change its distribution over the field by this much against the first."""
_CLIPPED = 0.005
_MAP_SIDE = 32
_OUTLIER = 6.0


@dataclass(frozen=True, eq=False)
class FlatResult:
    """The flats of one ISO.

    Attributes:
        prnu: relative spread of the response: pixel, row and column part.
        gain_map: `[planes, rows, columns]`: what shading must be multiplied with, 1 where the light is most;
            its points are the centres of equal cells of the field.
        gradient: light lost from one side to the other, as a fraction (the target or the lamp).
        falloff: light lost from the brightest place to the darkest, as a fraction.
        response_map: response of each pixel over the smooth field, `[H, W]`, 1 on average.
        defect_map: pixels that answer far too weakly or strongly.
        frames: how many frames.
        notes: what a person should know about these frames.
    """

    prnu: FixedPattern
    gain_map: NDArray[np.float32]
    gradient: float
    falloff: float
    response_map: Mosaic
    defect_map: DefectMap
    frames: int
    notes: tuple[str, ...]


class FlatAccumulator:
    """Gathers flats of one ISO, best at 20 to 60 % of the range; holds two sums, never a frame.

    Args:
        shape: rows and columns of the frames.
        phase: CFA phase, None for a monochrome sensor.
        black_dn: black level, one for all planes or one each of R, Gr, Gb, B [DN].
        white_dn: level at which values are clipped [DN]; None where it is not known.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        phase: CfaPhase | None,
        black_dn: float | Sequence[float],
        white_dn: float | None,
    ) -> None:
        self.shape, self.phase = shape, phase
        self._slices = plane_slices(phase)
        self._black = np.broadcast_to(np.asarray(black_dn, np.float64), len(self._slices))
        self._white = np.inf if white_dn is None else float(white_dn)
        self._sums = (np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        self._counts = [0, 0]
        self._field: list[Matrix] = []

    @property
    def frames(self) -> int:
        """How many frames have been added."""
        return sum(self._counts)

    def add(self, frame: Mosaic, name: str | None = None) -> None:
        """Add one flat `[H, W]` DN.

        Raises:
            MixedFramesError: another size than the others, or values that are not numbers.
            ClippedFramesError: too many pixels at the white level, or no light.
            LitFramesError: the light lies differently over the field than in the first frame.
        """
        name = name or f"flat {self.frames + 1}"
        require_same_shape(frame, self.shape, name)
        require_finite(frame, name)
        clipped = float(np.count_nonzero(frame >= self._white)) / frame.size
        if clipped > _CLIPPED:
            raise ClippedFramesError(
                f"{clipped:.1%} of the pixels are at the white level", where=name, hint="expose shorter"
            )
        self._require_same_field(frame, name)
        half = self.frames % 2
        self._sums[half][...] += frame
        self._counts[half] += 1

    def solve(
        self,
        offset_map_dn: Mosaic | None = None,
        defect_map: DefectMap | None = None,
        dsnu_dn: FixedPattern | None = None,
    ) -> FlatResult:
        """Measure PRNU and shading.

        Args:
            offset_map_dn: mean dark frame `[H, W]`, kept out of the response map; None: the black level.
            defect_map: pixels known to be bad.
            dsnu_dn: fixed pattern of the darks, whose variance is taken out of the PRNU [DN]. Without it the
                map is subtracted from the flats, and what noise the map still has counts as PRNU.

        Raises:
            TooFewFramesError: fewer than two flats.
            UnevenFramesError: the light is no flat field.
        """
        require_frames(self.frames, 2, "response non-uniformity")
        fields = [self._fit_plane(plane, offset_map_dn) for plane in range(len(self._slices))]
        response = np.empty(self.shape, np.float32)
        for place, (light, surface, _) in zip(self._slices, fields, strict=True):
            response[place] = light / surface
        found = np.full(self.shape, GOOD, np.uint8) if defect_map is None else defect_map
        found = np.where(found == GOOD, find_response_defects(response, self.phase), found)
        gradient = max(_gradient(field) for _, _, field in fields)
        gain_map = np.stack([_gain_map(field) for _, _, field in fields])
        pattern_map = None if dsnu_dn is not None else offset_map_dn
        return FlatResult(
            prnu=self._split(found, pattern_map, dsnu_dn),
            gain_map=gain_map,
            gradient=gradient,
            falloff=1 - 1 / float(gain_map.max()),
            response_map=response,
            defect_map=found,
            frames=self.frames,
            notes=tuple(_notes(gradient, dsnu_dn is not None or offset_map_dn is not None)),
        )

    def _fit_plane(self, plane: int, offset_map_dn: Mosaic | None) -> tuple[Mosaic, Mosaic, Matrix]:
        """Light of a plane, the smooth field under it at every pixel, and the field's coefficients."""
        light = self._light(0, plane, offset_map_dn) + self._light(1, plane, offset_map_dn)
        field, texture = _fit_field(light)
        _require_even(field, texture)
        return light, evaluate_smooth(field, (light.shape[0], light.shape[1])), field

    def _split(
        self, defect_map: DefectMap, offset_map_dn: Mosaic | None, dsnu_dn: FixedPattern | None
    ) -> FixedPattern:
        """What both halves of the frames share beyond the smooth field."""
        halves: list[list[Mosaic]] = [[], []]
        inverse = []
        for plane in range(len(self._slices)):
            _, surface, _ = self._fit_plane(plane, offset_map_dn)
            for half in (0, 1):
                light = self._light(half, plane, offset_map_dn)
                mean = float(light.mean(dtype=np.float64))
                share = np.float32(float(surface.mean(dtype=np.float64)) / mean)
                halves[half].append(light * share / surface - 1)
                inverse.append(self._counts[half] / mean)
        good = [np.asarray(defect_map[place] == GOOD) for place in self._slices]
        pattern = split_common(halves[0], halves[1], good)
        if dsnu_dn is None:
            return pattern
        # A dark pattern of so many DN is that many times 1/level of the light, different in each plane.
        squares = [first * second for first, second in zip(inverse[::2], inverse[1::2], strict=True)]
        return pattern.without(dsnu_dn.scaled(float(np.sqrt(np.mean(squares)))))

    def _require_same_field(self, frame: Mosaic, name: str) -> None:
        """Compare the light's distribution with the first frame's, by the medians of large cells."""
        levels = []
        for place, black in zip(self._slices, self._black, strict=True):
            plane = frame[place]
            cell = max(4, min(plane.shape) // 6)
            levels.append(block_means(plane, cell) - black)
        mean = float(np.mean([level.mean() for level in levels]))
        noise = float(np.std(np.diff(frame[::7, ::2].astype(np.float64), axis=1)))
        if mean < noise:
            raise ClippedFramesError("there is no light in this flat", where=name, hint="expose longer")
        shape = np.stack([level / level.mean() for level in levels])
        self._field = self._field or [shape]
        cell_noise = noise / mean / max(4, min(self.shape) // 12)
        change = float(np.ptp(shape / self._field[0]))
        if change > MAX_CHANGE + 8 * cell_noise:
            raise LitFramesError(
                f"its light lies differently over the field than in the first flat, by {change:.0%}",
                where=name,
                hint="keep lamp, target and camera still; mind shadows",
            )

    def _light(self, half: int, plane: int, offset_map_dn: Mosaic | None) -> Mosaic:
        """Sum of one half's light above the dark level."""
        place = self._slices[plane]
        dark = np.float32(self._black[plane]) if offset_map_dn is None else offset_map_dn[place]
        return np.asarray(self._sums[half][place] - dark * np.float32(self._counts[half]))


def _fit_field(light: Mosaic) -> tuple[Matrix, float]:
    """The smooth field under a plane, and the relative deviation of its blocks from it."""
    shape = (light.shape[0], light.shape[1])
    cells = cell_means(light, choose_cell(shape))
    field = fit_smooth(cells, SMOOTH_DEGREE, shape)
    # Dust and defects are no light: without their cells once more.
    away = _deviations(cells, field)
    spread = 1.4826 * float(np.median(np.abs(away)))
    field = fit_smooth(np.where(np.abs(away) > _OUTLIER * spread, np.nan, cells), SMOOTH_DEGREE, shape)
    blocks = _deviations(cell_means(light, choose_block(shape)), field)
    return field, 1.4826 * float(np.median(np.abs(blocks)))


def _deviations(grid: Matrix, field: Matrix) -> Matrix:
    """Of the means of cells from the field, relative to it."""
    return np.asarray(grid / evaluate_smooth(field, (grid.shape[0], grid.shape[1])) - 1)


def _gradient(field: Matrix) -> float:
    """Light lost from one side to the other: the odd, linear part of the field."""
    return float(2 * np.hypot(field[0, 1], field[1, 0]) / (field[0, 0] + np.hypot(field[0, 1], field[1, 0])))


def _require_even(field: Matrix, texture: float) -> None:
    """Raise UnevenFramesError where the target was not even, or not a plain surface."""
    gradient = _gradient(field)
    if gradient > MAX_GRADIENT:
        raise UnevenFramesError(
            f"these flats are not flat: {gradient:.0%} gradient from side to side",
            hint="turn camera or lamp, defocus, put a diffuser on the lens",
        )
    if texture > MAX_TEXTURE:
        raise UnevenFramesError(
            f"these flats are not flat: {texture:.1%} texture",
            hint="defocus to infinity on a near white surface, or put a diffuser on the lens",
        )


def _notes(gradient: float, darks: bool) -> list[str]:
    notes = [] if darks else ["without darks the response holds their fixed pattern too"]
    return notes + ([f"the light falls by {gradient:.0%} from side to side"] if gradient > 0.05 else [])


def _gain_map(field: Matrix) -> NDArray[np.float32]:
    surface = evaluate_smooth(field, (_MAP_SIDE * 3 // 4, _MAP_SIDE))
    return np.asarray(surface.max() / surface, np.float32)
