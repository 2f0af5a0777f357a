"""The tags of a DNG that say what its pixels mean: colour, levels, noise, opcodes (DNG 1.7.1)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rawdiff.errors import DamagedFileError
from rawdiff.raw.frame import CfaPhase, ColorTags, FrameTags, GainMap, Opcode
from rawdiff.raw.tiff_tree import (
    Entry,
    ascii_entry,
    byte_entry,
    double_entry,
    long_entry,
    rational_entry,
    short_entry,
    undefined_entry,
)

SUB_IFDS = 330
UNIQUE_CAMERA_MODEL, NOISE_PROFILE = 50708, 51041
OPCODE_LIST_2, OPCODE_LIST_3 = 51009, 51022
ORIENTATION, CAMERA_SERIAL_NUMBER, BASELINE_NOISE = 274, 50735, 50731
_D65 = 21
_MOST_BASELINE_NOISE = 1e6
# XYZ to linear sRGB (IEC 61966-2-1), the stand-in where a file brings no calibration at all.
_SRGB_FROM_XYZ = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
_CALIBRATION_TAGS = (
    # illuminant, color matrix, camera calibration, forward matrix
    (50778, 50721, 50723, 50964),
    (50779, 50722, 50724, 50965),
    (52529, 52531, 52530, 52532),
)
COLOR_TAGS = frozenset([tag for tags in _CALIBRATION_TAGS for tag in tags] + [50727, 50728, 50729, 50730])
_PATTERN: dict[str, tuple[int, int, int, int]] = {
    "RGGB": (0, 1, 1, 2), "GRBG": (1, 0, 2, 1), "GBRG": (1, 2, 0, 1), "BGGR": (2, 1, 1, 0),
}  # fmt: skip


def color_entries(color: ColorTags, stored: dict[int, Entry]) -> dict[int, Entry]:
    """Colour tags of the first directory; a stored fraction is kept where it says the same.

    Args:
        color: the colour model of the frame.
        stored: the source DNG's own entries, empty for other sources.

    Raises:
        DamagedFileError: a figure that no calibration has and no DNG can hold.
    """
    values: dict[int, tuple[Sequence[float], bool]] = {}
    matrices = color.color_matrices or (_SRGB_FROM_XYZ,)
    illuminants = color.illuminants or (_D65,)
    entries: dict[int, Entry] = {}
    for index, (light, matrix, calibration, forward) in enumerate(_CALIBRATION_TAGS[: len(matrices)]):
        if index < len(illuminants):
            entries[light] = short_entry(illuminants[index])
        values[matrix] = (matrices[index].ravel().tolist(), True)
        for tag, optional in ((calibration, color.camera_calibrations), (forward, color.forward_matrices)):
            chosen = optional[index] if index < len(optional) else None
            if chosen is not None:
                values[tag] = (chosen.ravel().tolist(), True)
    values[50727] = (np.asarray(color.analog_balance, dtype=float).ravel().tolist(), False)
    values[50730] = ((color.baseline_exposure_ev,), True)
    if color.as_shot_neutral is not None:
        values[50728] = (np.asarray(color.as_shot_neutral, dtype=float).ravel().tolist(), False)
    elif color.as_shot_white_xy is not None:
        values[50729] = (color.as_shot_white_xy, False)
    for tag, (numbers, signed) in values.items():
        kept = stored.get(tag)
        same = kept is not None and _says_the_same(kept.numbers(), numbers, free_scale=tag == 50728)
        entries[tag] = kept if kept is not None and same else _color_entry(numbers, signed)
    return entries


def _color_entry(numbers: Sequence[float], signed: bool) -> Entry:
    try:
        return rational_entry(*numbers, signed=signed)
    except ValueError as error:
        raise DamagedFileError(f"its colour calibration is none: {error}") from error


def _says_the_same(stored: Sequence[float], numbers: Sequence[float], free_scale: bool) -> bool:
    if len(stored) != len(numbers) or not np.all(np.isfinite(stored)):
        return False
    one, other = np.asarray(stored, dtype=float), np.asarray(numbers, dtype=float)
    if free_scale and one.max() > 0 and other.max() > 0:
        one, other = one / one.max(), other / other.max()
    return bool(np.allclose(one, other, rtol=1e-5, atol=1e-6))


def cfa_entries(phase: CfaPhase) -> dict[int, Entry]:
    """CFARepeatPatternDim, CFAPattern, CFAPlaneColor (R, G, B) and CFALayout (rectangular)."""
    return {
        33421: short_entry(2, 2),
        33422: byte_entry(_PATTERN[phase]),
        50710: byte_entry((0, 1, 2)),
        50711: short_entry(1),
    }


def black_level_entries(black: NDArray[np.float64]) -> dict[int, Entry]:
    """BlackLevelRepeatDim and BlackLevel for `black` `[rows, columns, samples]` in stored values."""
    rows, columns, _ = black.shape
    flat = black.ravel()
    whole = bool(np.all(flat == np.rint(flat)))
    level = short_entry(*(int(v) for v in flat)) if whole and flat.max() < 65536 else rational_entry(*flat)
    return {50713: short_entry(rows, columns), 50714: level}


def geometry_entries(tags: FrameTags, height: int, width: int) -> dict[int, Entry]:
    """ActiveArea (all of it), DefaultScale, DefaultCropOrigin and DefaultCropSize.

    Raises:
        ValueError: a default crop that leaves the image.
    """
    top, left, bottom, right = tags.default_crop or (0, 0, height, width)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise ValueError(f"the default crop {tags.default_crop} leaves the {height}x{width} image")
    return {
        50829: long_entry(0, 0, height, width),
        50718: rational_entry(1, 1),
        50719: long_entry(left, top),
        50720: long_entry(right - left, bottom - top),
    }


def noise_entry(pairs: Sequence[tuple[float, float]]) -> Entry:
    """NoiseProfile: (S, O) of R, G, B, the variance of the stored signal scaled to 0..1 being S x + O.

    Raises:
        ValueError: S not above 0 or O below 0.
    """
    if not pairs or any(not s > 0 or not o >= 0 for s, o in pairs):
        raise ValueError(f"NoiseProfile needs S > 0 and O >= 0, got {list(pairs)}")
    return double_entry(*(figure for pair in pairs for figure in pair))


def reduction_entry(applied: float) -> Entry:
    """NoiseReductionApplied: 0 none, 1 the most that can be done."""
    return rational_entry(min(max(applied, 0.0), 1.0))


def opcode_entries(tags: FrameTags, planes: int) -> dict[int, Entry]:
    """The opcodes still to be applied: gains (of a mosaic in list 2, of 3 planes in list 3), then warps."""
    gains = [_gain_map_opcode(gain_map, planes) for gain_map in tags.gain_maps]
    lists = {OPCODE_LIST_2: gains, OPCODE_LIST_3: list(tags.pending_opcodes)}
    if planes > 1:
        lists = {OPCODE_LIST_3: gains + lists[OPCODE_LIST_3]}
    return {tag: _opcode_list(opcodes) for tag, opcodes in lists.items() if opcodes}


def _opcode_list(opcodes: Sequence[Opcode]) -> Entry:
    """An opcode list: big-endian whatever the file's byte order."""
    parts = [struct.pack(">I", len(opcodes))]
    for opcode in opcodes:
        parts += [struct.pack(">I4BII", opcode.number, *opcode.version, opcode.flags, len(opcode.data))]
        parts += [opcode.data]
    return undefined_entry(b"".join(parts))


def _gain_map_opcode(gain_map: GainMap, planes: int) -> Opcode:
    """GainMap (opcode 9) as it is stored, cut to the planes that the image has."""
    served = min(gain_map.planes, planes - gain_map.plane)
    gains = gain_map.gains[:, :, :served]
    rows, columns, layers = gains.shape
    area = (gain_map.top, gain_map.left, gain_map.bottom, gain_map.right)
    pitches = (gain_map.plane, served, gain_map.row_pitch, gain_map.column_pitch, rows, columns)
    data = struct.pack(">10I", *area, *pitches)
    data += struct.pack(">4dI", *gain_map.spacing, *gain_map.origin, layers)
    return Opcode(9, (1, 3, 0, 0), 0, data + gains.astype(">f4").tobytes())


def photograph_entries(tags: FrameTags, stored: dict[int, Entry]) -> dict[int, Entry]:
    """DNG tags of the first directory: colour, camera, profile; `stored` are the source DNG's own.

    What the frame says goes before what the source file said.
    """
    camera = tags.camera
    unique = camera.unique or f"{camera.make} {camera.model}".strip() or "Unknown camera"
    entries = {tag: entry for tag, entry in stored.items() if tag not in COLOR_TAGS}
    entries[UNIQUE_CAMERA_MODEL] = ascii_entry(unique)
    entries[ORIENTATION] = short_entry(tags.orientation if 1 <= tags.orientation <= 8 else 1)
    if camera.serial and CAMERA_SERIAL_NUMBER not in entries:
        entries[CAMERA_SERIAL_NUMBER] = ascii_entry(camera.serial)
    noise = tags.baseline_noise
    if noise is not None and 0 < noise < _MOST_BASELINE_NOISE and BASELINE_NOISE not in entries:
        entries[BASELINE_NOISE] = rational_entry(noise)
    return entries | color_entries(tags.color, stored)
