"""The calibration of one ISO, frame by frame: first its darks, then its flats.

No frame is kept but two pairs of darks (as 16-bit integers where they are integers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.chart import from_chart_frame
from rawdiff_calibration.dark import DarkAccumulator
from rawdiff_calibration.dark_result import DarkResult
from rawdiff_calibration.dark_solve import solve_darks
from rawdiff_calibration.emva_series import EmvaSeries, measure_dark_levels
from rawdiff_calibration.emva_sheet import EmvaSheet
from rawdiff_calibration.errors import CalibrationError, FramesError, TooFewFramesError
from rawdiff_calibration.flat import FlatAccumulator, FlatResult
from rawdiff_calibration.linearity import LinearityResult, measure_linearity
from rawdiff_calibration.mosaic import CfaPhase, Mosaic, color_planes, plane_slices
from rawdiff_calibration.photon_transfer import PhotonTransfer, PhotonTransferResult
from rawdiff_calibration.refusals import require_same_shape

_FLAT_LOW, _FLAT_HIGH = 0.08, 0.75
"""Part of the range in which a flat is of use for response and shading."""
_DARK_PAIRS = 2


@dataclass(frozen=True, eq=False)
class IsoResult:
    """What one ISO gave; `black_dn` is the level of each plane that was taken as dark.

    `transfer` is None without flats, `darks` without darks, `flat` where the light was not even enough,
    `linearity` without three exposure times. `emva` holds a sheet for each colour, or none where its frames
    do not make a series. `notes` say what was left out, `remarks` what a person may want to know.
    """

    iso: float
    phase: CfaPhase | None
    black_dn: tuple[float, ...]
    transfer: PhotonTransferResult | None
    darks: DarkResult | None
    flat: FlatResult | None
    linearity: LinearityResult | None
    notes: tuple[str, ...]
    emva: tuple[EmvaSheet, ...] = ()
    remarks: tuple[str, ...] = ()


class IsoCalibration:
    """Gathers the frames of one ISO: `add_dark` for all darks, then `add_flat_pair`, then `solve`.

    Without flats `use_chart` gives a gain that is less to be trusted.

    Args:
        iso: the setting.
        shape: rows and columns of the frames.
        phase: CFA phase, None for a monochrome sensor.
        black_dn: black level that the files state for R, Gr, Gb, B [DN]; None where they state none.
        white_dn: level at which values are clipped [DN]; None where it is not known.
    """

    def __init__(
        self,
        iso: float,
        shape: tuple[int, int],
        phase: CfaPhase | None,
        black_dn: Sequence[float] | None,
        white_dn: float | None,
    ) -> None:
        self.iso, self.shape, self.phase, self.white_dn = iso, shape, phase, white_dn
        self._stated = None if black_dn is None else tuple(float(level) for level in black_dn)
        self._dark_frames: DarkAccumulator | None = None
        self._kept: list[tuple[float, list[NDArray[Any]]]] = []
        self._darks: DarkResult | None = None
        self._transfer: PhotonTransfer | None = None
        self._flats: FlatAccumulator | None = None
        self._emva: EmvaSeries | None = None
        self._chart: PhotonTransferResult | None = None
        self._levels: list[tuple[float, float]] = []
        self._notes: list[str] = []
        self._pairs = 0
        self._black: tuple[float, ...] = ()

    def add_dark(self, frame: Mosaic, exposure_s: float, name: str) -> None:
        """Add a dark `[H, W]` DN.

        Raises:
            FramesError: it cannot be used; says why.
        """
        if self._dark_frames is None:
            stated = None if self._stated is None else float(np.mean(self._stated))
            step = 1.0 if _is_integer(frame) else 0.0
            self._dark_frames = DarkAccumulator(self.shape, self.phase, stated, step)
        self._dark_frames.add(frame, exposure_s, name)
        self._keep(frame, exposure_s)

    def finish_darks(self) -> DarkResult | None:
        """Measure the darks; None if there were none. Called by the first flat at the latest.

        Raises:
            FramesError: the darks cannot be used together; says why.
        """
        if self._transfer is None:
            levels = () if self._dark_frames is None else measure_dark_levels(self._dark_frames)
            if self._dark_frames is not None:
                self._darks = solve_darks(self._dark_frames)
                self._dark_frames = None
            self._black = self._find_black()
            self._emva = EmvaSeries(self.iso, self.phase, levels, self._range())
            bad = None if self._darks is None else self._darks.defect_map > 0
            self._transfer = PhotonTransfer(self.phase, self._black, self.white_dn, bad)
            self._flats = FlatAccumulator(self.shape, self.phase, self._black, self.white_dn)
            for _, pair in self._kept:
                if len(pair) == 2:
                    first, second = (frame.astype(np.float32) for frame in pair)
                    self._transfer.add_dark_pair(first, second)
            self._kept = []
        return self._darks

    def add_flat_pair(
        self,
        first: Mosaic,
        second: Mosaic,
        exposure_s: float | None,
        name: str,
        photons: float | None = None,
        *,
        again: bool = False,
    ) -> None:
        """Add two flats of the same light and exposure.

        `photons` is their mean number per pixel and exposure, where a radiometer told it. `again`: the first
        frame was in a pair before, as when three flats share an exposure.

        Raises:
            FramesError: they cannot be used; says why.
        """
        self.finish_darks()
        assert self._transfer is not None and self._flats is not None and self._emva is not None
        self._pairs += 1
        self._transfer.add_pair(first, second, exposure_s, name, again=again)
        self._emva.add_pair(first, second, exposure_s, photons)
        if exposure_s is not None:
            self._levels.append((exposure_s, (self._level(first) + self._level(second)) / 2))
        level = float(first.mean(dtype=np.float64)) - float(np.mean(self._black))
        span = self._range() or float(first.max()) - float(np.mean(self._black))
        if _FLAT_LOW * span < level < _FLAT_HIGH * span:
            for number, frame in enumerate((first, second)):
                if again and number == 0:
                    continue
                try:
                    self._flats.add(frame, f"{name}, frame {number + 1}")
                except FramesError as problem:
                    self._notes.append(f"left out of response and shading: {problem}")

    def use_chart(self, frame: Mosaic, name: str) -> None:
        """Take the gain from one frame `[H, W]` of a stepped chart, instead of flats.

        Raises:
            CalibrationError: the frame gives no gain; says why.
        """
        self.finish_darks()
        require_same_shape(frame, self.shape, name)
        self._chart = from_chart_frame(frame, self.phase, self._black, self.white_dn)

    def solve(self) -> IsoResult:
        """Measure everything that these frames allow.

        Raises:
            CalibrationError: the flats give no gain; says why.
        """
        self.finish_darks()
        assert self._transfer is not None and self._emva is not None
        sheets, remarks = self._emva.solve() if self._pairs else ((), ())
        return IsoResult(
            self.iso,
            self.phase,
            self._black,
            self._transfer.solve() if self._pairs else self._chart,
            self._darks,
            self._solve_flat(),
            self._solve_linearity(),
            tuple(dict.fromkeys(self._notes)),
            sheets,
            remarks,
        )

    def _solve_flat(self) -> FlatResult | None:
        assert self._flats is not None
        if self._flats.frames < 2:
            return None
        dark_map = self._darks.offset_map_dn if self._darks else None
        known = self._darks.defect_map if self._darks else None
        dsnu = self._darks.dsnu_dn if self._darks else None
        try:
            return self._flats.solve(dark_map, known, dsnu)
        except CalibrationError as problem:
            self._notes.append(f"no response and shading: {problem}")
            return None

    def _solve_linearity(self) -> LinearityResult | None:
        if len({exposure for exposure, _ in self._levels}) < 3:
            return None
        exposures, levels = zip(*self._levels, strict=True)
        try:
            return measure_linearity(exposures, levels, self._range())
        except TooFewFramesError as problem:
            self._notes.append(f"no linearity curve: {problem}")
            return None

    def _level(self, frame: Mosaic) -> float:
        """Level of green (or the only plane) in the middle, where shading does not blur the saturation."""
        levels = []
        for plane in color_planes(self.phase)[-2 if self.phase else 0]:
            values = frame[plane_slices(self.phase)[plane]]
            top, left = (extent // 2 - max(extent // 16, 8) for extent in values.shape)
            patch = values[max(top, 0) : -top or None, max(left, 0) : -left or None]
            levels.append(float(patch.mean(dtype=np.float64)) - self._black[plane])
        return float(np.mean(levels))

    def _range(self) -> float | None:
        return None if self.white_dn is None else self.white_dn - float(np.mean(self._black))

    def _find_black(self) -> tuple[float, ...]:
        planes = len(plane_slices(self.phase))
        if self._darks is not None:
            return tuple(level.value for level in self._darks.black_dn)
        if self._stated is None:
            raise TooFewFramesError(
                f"ISO {self.iso:g} has no darks and its files state no black level",
                hint="shoot at least two darks: lens cap on, shortest exposure",
            )
        return tuple(self._stated[:planes]) if planes > 1 else (float(np.mean(self._stated)),)

    def _keep(self, frame: Mosaic, exposure_s: float) -> None:
        """Hold the first two pairs of one exposure time for the foot of the curve."""
        compact = frame.astype(np.uint16) if _is_integer(frame) and frame.min() >= 0 else frame.copy()
        for time, pair in self._kept:
            if time == exposure_s and len(pair) < 2:
                pair.append(compact)
                return
        if len(self._kept) < _DARK_PAIRS and all(time == exposure_s for time, _ in self._kept):
            self._kept.append((exposure_s, [compact]))


def _is_integer(frame: Mosaic) -> bool:
    sample = frame[::7, ::5]
    return bool(np.all(sample == np.rint(sample))) and float(frame.max()) < 65536
