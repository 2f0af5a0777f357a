"""The photograph as the sensor gave it: the mosaic in DN and everything its file says about it.

Conventions of the whole program (DNG 1.7 chapter 4, EMVA 1288 for the units):

- `mosaic_dn` holds linear DN, float32, the black level **not** subtracted, active area only. Whatever the
  file prescribes before that point has been applied: linearisation table, the part of the black level
  that varies by row or column (its mean stays in `Levels`), OpcodeList1.
- A CFA site is a place in the 2x2 Bayer cell, `[row % 2, column % 2]`; a plane is one of R, Gr, Gb, B.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CfaPhase = Literal["RGGB", "GRBG", "GBRG", "BGGR"]
Array = NDArray[np.float32]
Matrix = NDArray[np.float64]

PLANES = ("R", "Gr", "Gb", "B")

_SITES: dict[str, tuple[tuple[int, int], ...]] = {
    "RGGB": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "GRBG": ((0, 1), (0, 0), (1, 1), (1, 0)),
    "GBRG": ((1, 0), (1, 1), (0, 0), (0, 1)),
    "BGGR": ((1, 1), (1, 0), (0, 1), (0, 0)),
}


def plane_sites(phase: CfaPhase) -> tuple[tuple[int, int], ...]:
    """Return the CFA site (row, column) of R, Gr, Gb and B. Gr shares its rows with R, Gb with B."""
    return _SITES[phase]


@dataclass(frozen=True)
class Levels:
    """Black and white level per CFA site, `[2, 2]` float64, in DN of the linearised mosaic."""

    black_dn: Matrix
    white_dn: Matrix

    def range_dn(self) -> Matrix:
        """White minus black per CFA site, `[2, 2]` DN."""
        return self.white_dn - self.black_dn

    def per_plane(self, phase: CfaPhase) -> tuple[Matrix, Matrix]:
        """Black and white level of R, Gr, Gb, B, each `[4]` DN."""
        rows, columns = zip(*plane_sites(phase), strict=True)
        return self.black_dn[list(rows), list(columns)], self.white_dn[list(rows), list(columns)]


@dataclass(frozen=True)
class Exposure:
    """How the light was collected. None where the file does not say."""

    time_s: float | None = None
    aperture: float | None = None
    iso: float | None = None
    captured_at: str | None = None
    """ISO 8601 with fraction of a second where the file has one."""


@dataclass(frozen=True)
class Composite:
    """A photograph merged of several: their exposure times in seconds, of all taken and of those used.

    `period_s` runs from the start of the first exposure to the end of the last.
    """

    taken_s: tuple[float, ...]
    used_s: tuple[float, ...]
    period_s: float


@dataclass(frozen=True)
class Camera:
    """Who made the file. `unique` is DNG's UniqueCameraModel, otherwise make and model."""

    make: str = ""
    model: str = ""
    unique: str = ""
    serial: str | None = None
    firmware: str | None = None
    lens: str | None = None


@dataclass(frozen=True)
class ColorTags:
    """DNG's colour model (DNG 1.7 chapter 6): up to three calibrations, in the order of the tags.

    `color_matrices` map XYZ to camera RGB, `forward_matrices` white-balanced camera RGB to XYZ D50; each
    `[3, 3]`, None where absent. `illuminants` are EXIF LightSource codes. With no calibration at all
    (`color_matrices` empty) colour falls back to camera RGB being linear sRGB, and says so.
    """

    color_matrices: tuple[Matrix, ...] = ()
    forward_matrices: tuple[Matrix | None, ...] = ()
    camera_calibrations: tuple[Matrix | None, ...] = ()
    illuminants: tuple[int, ...] = ()
    analog_balance: Matrix = field(default_factory=lambda: np.ones(3))
    as_shot_neutral: Matrix | None = None
    """Camera RGB of a neutral object, `[3]`, its largest entry 1."""
    as_shot_white_xy: tuple[float, float] | None = None
    baseline_exposure_ev: float = 0.0
    origin: str = "the file"
    """Where the calibration comes from: the file, or the decoder's camera table."""


@dataclass(frozen=True)
class Opcode:
    """One entry of a DNG opcode list, its parameters still big-endian bytes as stored."""

    number: int
    version: tuple[int, int, int, int]
    flags: int
    data: bytes

    @property
    def optional(self) -> bool:
        """True where a reader may pass over it."""
        return bool(self.flags & 1)


@dataclass(frozen=True)
class GainMap:
    """OpcodeList2/3 GainMap (DNG 1.7, opcode 9) on one set of sites of the active area.

    `gains` is `[rows, columns, map planes]`; its points lie at `origin + index * spacing`, relative to
    the image's height and width. It multiplies pixels from (top, left) to (bottom, right) at the pitches.
    """

    top: int
    left: int
    bottom: int
    right: int
    plane: int
    planes: int
    row_pitch: int
    column_pitch: int
    spacing: tuple[float, float]
    origin: tuple[float, float]
    gains: Array


@dataclass(frozen=True)
class FrameTags:
    """What a file says beside its pixels; shared by mosaics and demosaiced raws."""

    camera: Camera = Camera()
    exposure: Exposure = Exposure()
    color: ColorTags = ColorTags()
    orientation: int = 1
    composite: Composite | None = None
    noise_profile: tuple[tuple[float, float], ...] = ()
    """DNG NoiseProfile as stored: (S, O) once or per R, G, B, on the signal scaled to 0..1."""
    default_crop: tuple[int, int, int, int] | None = None
    """Top, left, bottom, right of the part meant to be seen, in the active area's pixels."""
    gain_maps: tuple[GainMap, ...] = ()
    """Of OpcodeList2 and 3: still to be applied, after denoising."""
    applied_opcodes: tuple[str, ...] = ()
    """Names of the opcodes that ingest has applied to the mosaic."""
    pending_opcodes: tuple[Opcode, ...] = ()
    """OpcodeList3 entries that rawdiff does not apply (warps): handed on in DNG output."""
    baseline_noise: float | None = None
    noise_reduction_applied: float | None = None


@dataclass(frozen=True)
class Source:
    """The identity of an input file."""

    path: Path
    sha256: str
    kind: str
    """What the file is, in words: 'CFA DNG 1.4', 'Kodak KDC', 'sensor dump'."""
    decoder: str = ""


@dataclass(frozen=True, eq=False)
class RawFrame:
    """A Bayer photograph: `mosaic_dn` `[H, W]`, H and W even, immutable.

    `masked_dn` are the optically black areas as stored (before the black level), `defects` is `[H, W]`
    bool, True where the file itself names a bad pixel.
    """

    mosaic_dn: Array
    phase: CfaPhase
    levels: Levels
    tags: FrameTags
    source: Source
    masked_dn: tuple[Array, ...] = ()
    defects: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        height, width = self.mosaic_dn.shape
        if height % 2 or width % 2:
            raise ValueError(f"a mosaic has whole 2x2 cells, not {height}x{width}")
        self.mosaic_dn.setflags(write=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        height, width = self.mosaic_dn.shape
        return height, width

    def without_pixels(self) -> RawFrame:
        """The same frame, its mosaic a constant that takes no memory: what is left are levels and tags."""
        return replace(self, mosaic_dn=np.broadcast_to(np.float32(0), self.shape), masked_dn=(), defects=None)


@dataclass(frozen=True, eq=False)
class LinearFrame:
    """A raw that is already demosaiced (DNG LinearRaw): `rgb_dn` `[3, H, W]` camera RGB, linear DN.

    `black_dn` and `white_dn` are `[3]`; the black level is not subtracted. Its white balance is not
    applied, as in every LinearRaw.
    """

    rgb_dn: Array
    black_dn: Matrix
    white_dn: Matrix
    tags: FrameTags
    source: Source

    def __post_init__(self) -> None:
        self.rgb_dn.setflags(write=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rgb_dn.shape[1], self.rgb_dn.shape[2]
