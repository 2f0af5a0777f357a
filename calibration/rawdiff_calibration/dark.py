"""Darks of one ISO, gathered frame by frame: sums over frames, line means, and a sample of the pixels.

No frame is kept; an exposure time costs four `[H, W]` float32 maps, however many frames it has.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rawdiff_calibration.errors import ClippedFramesError
from rawdiff_calibration.mosaic import CfaPhase, Matrix, Mosaic, Plane, plane_slices
from rawdiff_calibration.refusals import (
    crop_centre,
    measure_correlations,
    require_finite,
    require_same_shape,
)

_SAMPLE_SIDE = 256
"""The tail of the noise is fitted to at most this many rows and columns of each plane."""
_LIMIT = 12.0
"""Pixels further than this many spreads from the level are brought back there in the line means."""


@dataclass
class Frame:
    """What is kept of one dark.

    Attributes:
        name: how messages call it.
        rows, columns: means of the lines of each plane [DN above the pedestal].
        sample: a lattice of pixels of each plane [DN above the pedestal].
    """

    name: str
    rows: list[Matrix]
    columns: list[Matrix]
    sample: list[Plane]

    def level(self, plane: int) -> float:
        """Mean of a plane [DN above the pedestal]."""
        return float(self.rows[plane].mean())


@dataclass
class ExposureGroup:
    """Darks of one exposure time: sums over the even and the odd ones apart, `[H, W]` each."""

    sums: tuple[Mosaic, Mosaic]
    squares: tuple[Mosaic, Mosaic]
    counts: list[int] = field(default_factory=lambda: [0, 0])
    frames: list[Frame] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def mean(self) -> Mosaic:
        """Mean frame [DN above the pedestal]."""
        return np.asarray((self.sums[0] + self.sums[1]) / np.float32(self.count))

    def half_mean(self, half: int) -> Mosaic:
        """Mean of the even (0) or odd (1) frames [DN above the pedestal]."""
        return np.asarray(self.sums[half] / np.float32(self.counts[half]))

    def deviations(self) -> Mosaic:
        """Sum of squared deviations from the mean frame; `count - 1` degrees of freedom [DN^2]."""
        total = self.sums[0] + self.sums[1]
        total *= total
        total /= np.float32(self.count)
        return np.asarray(np.maximum(self.squares[0] + self.squares[1] - total, 0))

    def half_deviations(self, half: int) -> Mosaic:
        """The same within one half, `counts[half] - 1` degrees of freedom."""
        total = self.sums[half] ** 2
        total /= np.float32(max(self.counts[half], 1))
        return np.asarray(np.maximum(self.squares[half] - total, 0))


class DarkAccumulator:
    """Gathers the darks of one ISO.

    Args:
        shape: rows and columns of the frames.
        phase: CFA phase, None for a monochrome sensor.
        black_dn: black level that the camera states, to know light that all darks saw; None: not known.
        step_dn: step of the stored values [DN]; 0 for float data that were never rounded.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        phase: CfaPhase | None,
        black_dn: float | None = None,
        step_dn: float = 1.0,
    ) -> None:
        self.shape, self.phase, self.stated_black_dn, self.step_dn = shape, phase, black_dn, step_dn
        self.slices = plane_slices(phase)
        self.groups: dict[float, ExposureGroup] = {}
        self.correlations: list[dict[tuple[int, int], float]] = []
        self.pedestal_dn = 0.0
        self._reach = 0.0
        self._previous: dict[float, Mosaic] = {}
        planes = (shape[0], shape[1]) if phase is None else (shape[0] // 2, shape[1] // 2)
        self.sample_steps = tuple(-(-extent // _SAMPLE_SIDE) for extent in planes)

    @property
    def frames(self) -> int:
        """How many frames have been added."""
        return sum(group.count for group in self.groups.values())

    def add(self, frame: Mosaic, exposure_s: float, name: str | None = None) -> None:
        """Add one dark `[H, W]` DN.

        Raises:
            MixedFramesError: another size than the others, or values that are not numbers.
            ClippedFramesError: the camera cut the noise off at zero.
        """
        name = name or f"dark {self.frames + 1}"
        require_same_shape(frame, self.shape, name)
        require_finite(frame, name)
        if self.frames == 0:
            self._settle(frame)
        group = self.groups.get(exposure_s)
        if group is None:
            group = self.groups[exposure_s] = ExposureGroup(self._empty_halves(), self._empty_halves())
        signal = np.subtract(frame, np.float32(self.pedestal_dn), dtype=np.float32)
        self._require_noise(signal, name)
        half = group.count % 2
        group.counts[half] += 1
        group.sums[half][...] += signal
        group.frames.append(self._keep(signal, name))
        self._correlate(signal, exposure_s)
        signal *= signal
        group.squares[half][...] += signal

    def _settle(self, frame: Mosaic) -> None:
        """Take the level and spread of the first frame, to keep the sums small and the outliers known."""
        sample = frame[::7, ::3].astype(np.float64)
        low, middle, high = np.percentile(sample, [25, 50, 75])
        self.pedestal_dn = float(np.rint(middle))
        self._reach = _LIMIT * max(float(high - low) / 1.349, 0.5)

    def _empty_halves(self) -> tuple[Mosaic, Mosaic]:
        return np.zeros(self.shape, np.float32), np.zeros(self.shape, np.float32)

    def _require_noise(self, signal: Mosaic, name: str) -> None:
        floored = float(np.mean(signal[::5, ::3] <= -self.pedestal_dn))
        if self.step_dn and floored > 0.01:
            raise ClippedFramesError(
                f"{floored:.0%} of the pixels are zero: the camera cut off the noise below its black level",
                where=name,
                hint="such darks cannot give read noise or black level; use flats at low levels",
            )

    def _keep(self, signal: Mosaic, name: str) -> Frame:
        """Line means, free of outliers, and the sample."""
        middle = np.float32(np.median(signal[::7, ::3]))
        bounded = np.clip(signal, middle - np.float32(self._reach), middle + np.float32(self._reach))
        bounded -= middle
        rows = [bounded[place].mean(axis=1).astype(np.float64) + float(middle) for place in self.slices]
        columns = [bounded[place].mean(axis=0).astype(np.float64) + float(middle) for place in self.slices]
        down, across = self.sample_steps
        sample = [signal[place][::down, ::across].copy() for place in self.slices]
        return Frame(name, rows, columns, sample)

    def _correlate(self, signal: Mosaic, exposure_s: float) -> None:
        """Look at the difference of every second frame to the one before it."""
        before = self._previous.pop(exposure_s, None)
        crop = crop_centre(signal)
        if before is None:
            self._previous[exposure_s] = crop.copy()
        else:
            self.correlations.append(measure_correlations(crop - before, self.phase))
