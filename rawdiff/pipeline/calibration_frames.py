"""Frames to calibrate with (raw files, FITS, NumPy arrays): what they say of themselves, and their pairs.

FITS frames and `.npy` arrays `[H, W]` may have a TOML file beside them, `<file>.toml`, or one `frames.toml`
for their folder: `cfa` ("RGGB", ..., or "none"), `black` (one or four figures), `white`, `iso`, `time_s`,
`make`, `model`. It has the last word over a FITS header.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from rawdiff.errors import CalibrationFramesError, ConfigurationError, InputError, missing_extra
from rawdiff.raw.frame import Camera, CfaPhase, LinearFrame
from rawdiff.raw.ingest import hash_file, read_raw, read_tags

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Crop = tuple[int, int, int, int]
"""Top, left, height and width of the part that is used, whole 2x2 cells: one tap of a CCD, a chart's area."""

_FITS = (".fit", ".fits", ".fts")
_PHASES: tuple[CfaPhase, ...] = get_args(CfaPhase)


@dataclass(frozen=True)
class FrameFacts:
    """What is known of a frame before its pixels are read."""

    path: Path
    shape: tuple[int, int]
    iso: float | None
    exposure_s: float | None
    camera: Camera
    captured_at: str = ""
    crop: Crop | None = None


@dataclass(frozen=True, eq=False)
class CalibrationFrame:
    """A frame with its pixels: `mosaic_dn` `[H, W]` float32, black level not subtracted."""

    facts: FrameFacts
    mosaic_dn: NDArray[np.float32]
    phase: CfaPhase | None
    black_dn: tuple[float, float, float, float] | None
    white_dn: float | None


def examine_frame(path: Path, iso: float | None = None, crop: Crop | None = None) -> FrameFacts:
    """Read what a frame says of itself, not its pixels.

    Args:
        path: the file.
        iso: ISO of files that state none.
        crop: the part to use; None for all of it.

    Raises:
        InputError: the file cannot be used.
        CalibrationFramesError: it is demosaiced, or its ISO is not known.
    """
    if _is_array(path):
        facts = _examine_array(path)
    else:
        tags, shape, kind = read_tags(path)
        if kind == "linear":
            raise _demosaiced(path)
        exposure = tags.exposure
        facts = FrameFacts(
            path, shape, exposure.iso, exposure.time_s, tags.camera, exposure.captured_at or ""
        )
    facts = replace(facts, iso=facts.iso or iso)
    if facts.iso is None:
        raise CalibrationFramesError("the file states no ISO", where=path, hint="give --iso")
    return facts if crop is None else _cropped(facts, crop)


def _cropped(facts: FrameFacts, crop: Crop) -> FrameFacts:
    top, left, height, width = crop
    rows, columns = facts.shape
    if min(top, left) < 0 or min(height, width) < 2 or any(edge % 2 for edge in crop):
        raise ConfigurationError(
            f"the crop {crop} is not made of whole 2x2 cells", hint="TOP,LEFT,HEIGHT,WIDTH"
        )
    if top + height > rows or left + width > columns:
        raise ConfigurationError(f"the crop {crop} leaves the frame of {columns}x{rows}", where=facts.path)
    return replace(facts, shape=(height, width), crop=crop)


def read_frame(facts: FrameFacts) -> CalibrationFrame:
    """Read the pixels of an examined frame.

    Raises:
        InputError: the file cannot be used.
        CalibrationFramesError: it is demosaiced.
    """
    frame = _read_array(facts) if _is_array(facts.path) else _read_photograph(facts)
    if facts.crop is None:
        return frame
    top, left, height, width = facts.crop
    return replace(frame, mosaic_dn=frame.mosaic_dn[top : top + height, left : left + width].copy())


def _read_photograph(facts: FrameFacts) -> CalibrationFrame:
    frame = read_raw(facts.path)
    if isinstance(frame, LinearFrame):
        raise _demosaiced(facts.path)
    black, white = frame.levels.per_plane(frame.phase)
    red, one, two, blue = (float(level) for level in black)
    return CalibrationFrame(facts, frame.mosaic_dn, frame.phase, (red, one, two, blue), float(white.min()))


def pair_by_exposure(
    frames: Sequence[FrameFacts],
) -> tuple[list[tuple[FrameFacts, FrameFacts]], list[FrameFacts]]:
    """Pair flats of one exposure time in the order they were taken; also return those left over."""
    groups: dict[float | None, list[FrameFacts]] = {}
    for facts in sorted(frames, key=lambda f: (f.captured_at, _natural(f.path.name))):
        groups.setdefault(same_time(facts), []).append(facts)
    pairs, alone = [], []
    for _, group in sorted(groups.items(), key=lambda item: item[0] or 0.0):
        pairs += list(zip(group[0::2], group[1::2], strict=False))
        alone += group[len(group) // 2 * 2 :]
    return pairs, alone


def same_time(facts: FrameFacts) -> float | None:
    """The exposure time to three digits: alike for frames that were to have the same."""
    return None if facts.exposure_s is None else float(f"{facts.exposure_s:.3g}")


def _natural(name: str) -> list[tuple[int, str]]:
    """Numbers in a name by their size: frame 9 comes before frame 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def group_by_iso(frames: Sequence[FrameFacts]) -> dict[float, list[FrameFacts]]:
    """Sort frames by ISO, ascending."""
    groups: dict[float, list[FrameFacts]] = {}
    for facts in frames:
        groups.setdefault(float(facts.iso or 0.0), []).append(facts)
    return dict(sorted(groups.items()))


def read_noise_profile(facts: FrameFacts) -> tuple[tuple[float, float], ...]:
    """The NoiseProfile tag of a frame: pairs of S and O, one for all colours or one each.

    Raises:
        CalibrationFramesError: it has none.
        InputError: the file cannot be used.
    """
    pairs = None if _is_array(facts.path) else read_tags(facts.path)[0].noise_profile
    if not pairs:
        raise CalibrationFramesError(
            "the file has no NoiseProfile tag", where=facts.path, hint="a DNG may have one"
        )
    return tuple(pairs)


def hash_frames(frames: Sequence[FrameFacts]) -> list[dict[str, str]]:
    """Name and SHA-256 of each file, for the profile's provenance."""
    return [{"file": facts.path.name, "sha256": hash_file(facts.path)} for facts in frames]


def _demosaiced(path: Path) -> CalibrationFramesError:
    return CalibrationFramesError(
        "the raw is demosaiced: its noise is no longer the sensor's",
        where=path,
        hint="give the CFA raws themselves",
    )


def _is_array(path: Path) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return name.endswith((".npy", *_FITS))


def _examine_array(path: Path) -> FrameFacts:
    values, header = _load_array(path, pixels=False)
    notes = _read_notes(path)
    iso = notes.get("iso", header.get("ISOSPEED", header.get("ISO")))
    time = notes.get("time_s", header.get("EXPTIME", header.get("EXPOSURE")))
    camera = Camera(
        str(notes.get("make", header.get("MAKE", ""))),
        str(notes.get("model", header.get("INSTRUME", header.get("CAMERA", "")))).strip(),
    )
    height, width = values.shape
    stamp = str(header.get("DATE-OBS", ""))
    return FrameFacts(path, (height, width), _number(iso), _number(time), camera, stamp)


def _read_array(facts: FrameFacts) -> CalibrationFrame:
    values, header = _load_array(facts.path, pixels=True)
    notes = _read_notes(facts.path)
    cfa = str(notes.get("cfa", header.get("BAYERPAT", "none"))).strip().upper()
    phase = next((known for known in _PHASES if known == cfa), None)
    if phase is None and cfa != "NONE":
        raise InputError(f"'{cfa}' is not a CFA", where=facts.path, hint="RGGB, GRBG, GBRG, BGGR or none")
    if phase is not None:
        values = values[: values.shape[0] // 2 * 2, : values.shape[1] // 2 * 2]
    black = notes.get("black")
    levels = None if black is None else np.broadcast_to(np.asarray(black, np.float64), 4)
    four = (
        None if levels is None else (float(levels[0]), float(levels[1]), float(levels[2]), float(levels[3]))
    )
    return CalibrationFrame(facts, values.astype(np.float32), phase, four, _number(notes.get("white")))


def _load_array(path: Path, pixels: bool) -> tuple[NDArray[Any], Mapping[str, Any]]:
    header: Mapping[str, Any] = {}
    try:
        if path.name.lower().endswith(".npy"):
            values = np.load(path, mmap_mode=None if pixels else "r", allow_pickle=False)
        else:
            values, header = _load_fits(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=path) from None
    if values.ndim != 2 or values.dtype.kind not in "uif":
        raise InputError(f"needs one plane [H, W] of numbers, got {values.dtype} {values.shape}", where=path)
    return values, header


def _load_fits(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    try:
        from astropy.io import fits
    except ImportError:
        raise missing_extra("astropy", "fits") from None
    with fits.open(path, memmap=False) as units:
        unit = next((unit for unit in units if unit.data is not None and unit.data.ndim == 2), None)
        if unit is None:
            raise ValueError("no image of two dimensions in it")
        return np.asarray(unit.data), dict(unit.header)


def _read_notes(path: Path) -> dict[str, Any]:
    for place in (
        path.with_name(path.name + ".toml"),
        path.with_suffix(".toml"),
        path.parent / "frames.toml",
    ):
        if place.is_file():
            try:
                return tomllib.loads(place.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise InputError(f"not TOML: {error}", where=place) from None
    return {}


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None
