"""What darks of one ISO tell about a sensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rawdiff_calibration.dark_lines import LineNoise
from rawdiff_calibration.defects import DefectMap
from rawdiff_calibration.fixed_pattern import FixedPattern
from rawdiff_calibration.measure import Measured, combine
from rawdiff_calibration.mosaic import Mosaic
from rawdiff_calibration.tail import TailFit


@dataclass(frozen=True, eq=False)
class DarkResult:
    """The darks of one ISO.

    Attributes:
        planes, colors: names, in the order of the tuples below.
        black_dn: level of each plane at no exposure [DN].
        bias_dn: that of each plane beyond the mean of all [DN].
        read_noise_dn: pixel-wise noise of each colour at no exposure, without rounding's step^2/12, row
            and column noise and defects [DN].
        tails: Tukey-lambda law of each colour; empty with fewer than 3 darks of the shortest exposure.
        rows, columns: noise that rows and columns share.
        dark_current_dn_per_s: growth of the level of each colour; None where all darks had one exposure.
            Divide by K for e-/s. A camera that clamps its black level hides it.
        dark_variance_dn2_per_s: growth of the variance; divide by K^2 for e-/s.
        dsnu_dn: fixed pattern at the shortest exposure that has two frames [DN].
        offset_map_dn: dark frame at no exposure, black level included, `[H, W]` [DN].
        rate_map_dn_per_s: its growth; None where all darks had one exposure.
        temporal_variance_dn2: variance over the frames of each pixel, `[H, W]`.
        correlations: autocorrelation of the noise at lags of (rows, columns).
        defect_map: hot and random-telegraph pixels.
        frames, exposures_s: how many frames, and their exposure times.
        notes: what a person should know about these frames.
    """

    planes: tuple[str, ...]
    colors: tuple[str, ...]
    black_dn: tuple[Measured, ...]
    bias_dn: tuple[Measured, ...]
    read_noise_dn: tuple[Measured, ...]
    tails: tuple[TailFit, ...]
    rows: LineNoise
    columns: LineNoise
    dark_current_dn_per_s: tuple[Measured, ...] | None
    dark_variance_dn2_per_s: tuple[Measured, ...] | None
    dsnu_dn: FixedPattern
    offset_map_dn: Mosaic
    rate_map_dn_per_s: Mosaic | None
    temporal_variance_dn2: Mosaic
    correlations: Mapping[tuple[int, int], float]
    defect_map: DefectMap
    frames: int
    exposures_s: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def row_noise_dn(self) -> Measured:
        """Standard deviation of the offset that a row shares in one frame [DN]."""
        return self.rows.noise_dn

    @property
    def column_noise_dn(self) -> Measured:
        """The same of a column [DN]."""
        return self.columns.noise_dn

    @property
    def tukey_lambda(self) -> Measured | None:
        """Shape of the read noise's tails, all colours together."""
        return combine([tail.shape for tail in self.tails]) if self.tails else None

    @property
    def tukey_scale_dn(self) -> Measured | None:
        """Scale (not standard deviation) of the read noise's law, all colours together [DN]."""
        return combine([tail.scale_dn for tail in self.tails]) if self.tails else None
