"""Headerless sensor dumps, described by a TOML sidecar: `<dump>.toml` beside the dump.

width = 1920          # columns
height = 1080         # rows
bits = 10             # of a sample
packing = "u16"       # "u8", "u16" (little-endian), "u16be", or "mipi-raw10"
cfa = "RGGB"          # RGGB, GRBG, GBRG or BGGR
black = 64            # DN, or four figures for R, Gr, Gb, B
white = 1023          # optional: 2^bits - 1
stride = 3840         # optional: bytes from row to row
offset = 0            # optional: bytes before the first row
iso = 100             # optional, as are time_s, aperture, captured_at, make, model, orientation,
                      # neutral = [r, g, b], color_matrix (9 figures, XYZ to camera) and illuminant
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rawdiff.errors import DamagedFileError, InputError
from rawdiff.raw.frame import (
    Array,
    Camera,
    CfaPhase,
    ColorTags,
    Exposure,
    FrameTags,
    Levels,
    RawFrame,
    Source,
    plane_sites,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Packing = Literal["u8", "u16", "u16be", "mipi-raw10"]
_MAX_SIDE = 1 << 16
_REQUIRED = ("width", "height", "bits", "packing", "cfa", "black")
_OPTIONAL = ("white", "stride", "offset")
_TAGS = ("iso", "time_s", "aperture", "captured_at", "make", "model", "orientation")
_COLOR = ("neutral", "color_matrix", "illuminant")

EXAMPLE = "width = 1920, height = 1080, bits = 10, packing = 'u16', cfa = 'RGGB', black = 64, one a line"


@dataclass(frozen=True)
class Sidecar:
    """How the samples of a dump lie, and the little that is known of its exposure."""

    width: int
    height: int
    bits: int
    packing: Packing
    phase: CfaPhase
    black: tuple[float, float, float, float]
    white: float
    row_bytes: int
    stride: int
    offset: int
    tags: FrameTags

    @property
    def length(self) -> int:
        """Bytes that the dump needs to hold."""
        return self.offset + self.stride * (self.height - 1) + self.row_bytes

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the frame, whole 2x2 cells."""
        return self.height // 2 * 2, self.width // 2 * 2


def find_sidecar(path: Path) -> Path | None:
    """Return `<dump>.toml` or `<stem>.toml` beside the dump, None where there is neither."""
    candidates = (path.with_name(path.name + ".toml"), path.with_suffix(".toml"))
    return next((each for each in candidates if each != path and each.is_file()), None)


def read_sidecar(path: Path) -> Sidecar:
    """Read and check a sidecar.

    Raises:
        InputError: it cannot be read, or a field is missing, unknown or meaningless.
    """
    try:
        with path.open("rb") as file:
            fields = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the sidecar cannot be read: {error}", where=path) from error
    known = {*_REQUIRED, *_OPTIONAL, *_TAGS, *_COLOR}
    missing = [name for name in _REQUIRED if name not in fields]
    unknown = sorted(set(fields) - known)
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has the unknown field {', '.join(unknown)}"
        raise InputError(f"the sidecar {what}", where=path, hint=f"it looks like: {EXAMPLE}")
    try:
        return _read_fields(fields)
    except (ValueError, TypeError) as error:
        raise InputError(f"the sidecar is wrong: {error}", where=path) from error


def _read_fields(fields: dict[str, Any]) -> Sidecar:
    width, height = (_integer(fields, name, 2, _MAX_SIDE) for name in ("width", "height"))
    packing, phase = fields["packing"], fields["cfa"]
    if packing not in get_args(Packing):
        raise ValueError(f"packing is one of {', '.join(get_args(Packing))}, not {packing!r}")
    if phase not in get_args(CfaPhase):
        raise ValueError(f"cfa is one of {', '.join(get_args(CfaPhase))}, not {phase!r}")
    most = {"u8": 8, "mipi-raw10": 10}.get(packing, 16)
    bits = _integer(fields, "bits", 10 if packing == "mipi-raw10" else 1, most)
    if packing == "mipi-raw10" and width % 4:
        raise ValueError(f"MIPI RAW10 packs four pixels in five bytes; a width of {width} does not fit")
    row_bytes = {"u8": width, "mipi-raw10": width // 4 * 5}.get(packing, 2 * width)
    black = _numbers(fields["black"], (1, 4), "black")
    white = _numbers(fields.get("white", 2**bits - 1), (1,), "white")[0]
    black = black * 4 if len(black) == 1 else black
    if min(black) < 0 or max(black) >= white:
        raise ValueError(f"the white level {white:g} does not exceed the black level {max(black):g}")
    return Sidecar(
        width=width,
        height=height,
        bits=bits,
        packing=packing,
        phase=phase,
        black=(black[0], black[1], black[2], black[3]),
        white=white,
        row_bytes=row_bytes,
        stride=_integer(fields, "stride", row_bytes, 1 << 24, row_bytes),
        offset=_integer(fields, "offset", 0, 1 << 31, 0),
        tags=_read_tags(fields),
    )


def _read_tags(fields: dict[str, Any]) -> FrameTags:
    def positive(name: str) -> float | None:
        if name not in fields:
            return None
        number = _numbers(fields[name], (1,), name)[0]
        if number <= 0:
            raise ValueError(f"{name} is positive, not {number:g}")
        return number

    make, model = str(fields.get("make", "")), str(fields.get("model", ""))
    stamp: Any = fields.get("captured_at")
    stamp = stamp.isoformat() if isinstance(stamp, datetime) else stamp
    return FrameTags(
        camera=Camera(make, model, " ".join(part for part in (make, model) if part)),
        exposure=Exposure(
            positive("time_s"), positive("aperture"), positive("iso"), None if stamp is None else str(stamp)
        ),
        color=_read_color(fields),
        orientation=_integer(fields, "orientation", 1, 8, 1),
    )


def _read_color(fields: dict[str, Any]) -> ColorTags:
    neutral = _numbers(fields["neutral"], (3,), "neutral") if "neutral" in fields else None
    if neutral is not None and min(neutral) <= 0:
        raise ValueError("neutral holds three positive figures")
    matrix = _numbers(fields["color_matrix"], (9,), "color_matrix") if "color_matrix" in fields else None
    color = np.array(matrix).reshape(3, 3) if matrix is not None else None
    if color is not None and np.linalg.cond(color) > 1e6:
        raise ValueError("color_matrix cannot be inverted")
    return ColorTags(
        color_matrices=() if color is None else (color,),
        forward_matrices=() if color is None else (None,),
        camera_calibrations=() if color is None else (None,),
        illuminants=() if color is None else (_integer(fields, "illuminant", 0, 255, 21),),
        as_shot_neutral=None if neutral is None else np.array(neutral) / max(neutral),
        origin="no calibration" if color is None else "the sidecar",
    )


def _integer(fields: dict[str, Any], name: str, least: int, most: int, default: int | None = None) -> int:
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} is a whole number from {least} to {most}, not {value!r}")
    return value


def _numbers(value: Any, counts: tuple[int, ...], name: str) -> tuple[float, ...]:
    values = value if isinstance(value, list) else [value]
    sound = all(isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v) for v in values)
    if not sound or len(values) not in counts:
        raise ValueError(f"{name} takes {' or '.join(map(str, counts))} figures, not {value!r}")
    return tuple(float(v) for v in values)


def read_dump(path: Path, sidecar: Sidecar, source: Source) -> RawFrame:
    """Read a sensor dump: rows and columns cut to whole 2x2 cells, nothing subtracted.

    Raises:
        DamagedFileError: the file is shorter than the sidecar says, or holds samples beyond its bits.
    """
    length = path.stat().st_size
    if length < sidecar.length:
        raise DamagedFileError(
            f"its sidecar describes {sidecar.length} bytes, the file has {length}", where=path
        )
    with path.open("rb") as file:
        file.seek(sidecar.offset)
        data = np.fromfile(file, np.uint8, sidecar.length - sidecar.offset)
    rows = np.lib.stride_tricks.as_strided(
        data, (sidecar.height, sidecar.row_bytes), (sidecar.stride, 1), writeable=False
    )
    samples = _unpack_rows(rows, sidecar.packing)
    peak = int(samples.max())
    if peak >= 2**sidecar.bits:
        raise DamagedFileError(
            f"it holds a sample of {peak}, beyond {sidecar.bits} bits",
            where=path,
            hint="check bits, packing and offset in the sidecar",
        )
    height, width = sidecar.shape
    mosaic: Array = samples[:height, :width].astype(np.float32)
    black = np.empty((2, 2))
    for level, site in zip(sidecar.black, plane_sites(sidecar.phase), strict=True):
        black[site] = level
    levels = Levels(black, np.full((2, 2), sidecar.white))
    return RawFrame(mosaic, sidecar.phase, levels, sidecar.tags, source)


def _unpack_rows(rows: NDArray[np.uint8], packing: Packing) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if packing == "u8":
        return rows
    if packing == "mipi-raw10":  # four high bytes, then their low pairs of bits, first pixel lowest
        groups = rows.reshape(rows.shape[0], -1, 5)
        shifts = np.array([0, 2, 4, 6], np.uint8)
        low = (groups[:, :, 4:] >> shifts) & np.uint8(3)
        wide = (groups[:, :, :4].astype(np.uint16) << np.uint16(2)) | low
        return np.asarray(wide.reshape(rows.shape[0], -1), np.uint16)
    pairs = np.ascontiguousarray(rows).view("<u2" if packing == "u16" else ">u2")
    return np.asarray(pairs, np.uint16)
