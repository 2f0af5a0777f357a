"""A NoiseProfile tag set into a copy of a DNG: all other bytes stay, a new directory is put behind them."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from rawdiff_calibration.exchange import to_noise_profile
from rawdiff_calibration.profile import SensorProfile

from rawdiff.errors import InputError
from rawdiff.pipeline.calibration_frames import FrameFacts, read_frame
from rawdiff.raw.tiff_read import TiffReader

NOISE_PROFILE = 51041
_DOUBLE = 12
_SUB_IFDS, _SUBFILE_TYPE, _PHOTOMETRIC, _DNG_VERSION = 330, 254, 262, 50706
_CFA = 32803


def noise_profile_of(profile: SensorProfile, facts: FrameFacts) -> tuple[float, ...]:
    """The tag's values for a frame: S and O of R, G and B at its ISO, scaled by its own levels."""
    frame = read_frame(facts)
    black = (0.0,) * 4 if frame.black_dn is None else frame.black_dn
    span = (frame.white_dn or 1.0) - float(np.mean(black))
    own = span / profile.bit_scale(frame.white_dn)
    return to_noise_profile(profile, float(facts.iso or 0.0), (own, own, own))


def write_tagged(source: Path, target: Path, values: tuple[float, ...]) -> None:
    """Copy a DNG to `target` with `values` as its NoiseProfile, in the raw directory as DNG 1.7 wants it.

    Raises:
        InputError: not a DNG, or one without a raw directory.
    """
    shutil.copyfile(source, target)
    with target.open("r+b") as file:
        reader = TiffReader(file)
        main = reader.directory(reader.first)
        if not reader.order or _DNG_VERSION not in main:
            raise InputError("not a DNG: only a DNG holds a NoiseProfile", where=source)
        pointer, offset = _find_raw(file, reader)
        if not offset:
            raise InputError("the DNG has no CFA directory to put a NoiseProfile into", where=source)
        if pointer != 4:
            _forget(file, reader, reader.first)
        _put(file, reader.order, pointer, offset, values)


def _find_raw(file: BinaryIO, reader: TiffReader) -> tuple[int, int]:
    """Where the offset of the full-size CFA directory is written, and that offset; 0 where there is none."""
    main = reader.directory(reader.first)
    places = [(4, reader.first)]
    if _SUB_IFDS in main:
        held = main[_SUB_IFDS]
        start = reader.positions[reader.first, _SUB_IFDS]
        places += [(start + 4 * index, int(offset)) for index, offset in enumerate(held.numbers())]
    for pointer, offset in places:
        entries = reader.directory(offset)
        kind, photometric = entries.get(_SUBFILE_TYPE), entries.get(_PHOTOMETRIC)
        is_full = kind is None or kind.numbers()[:1] == (0,)
        if is_full and photometric is not None and photometric.numbers()[:1] == (_CFA,):
            return pointer, offset
    return 0, 0


def _entries(file: BinaryIO, order: str, offset: int) -> tuple[list[bytes], bytes]:
    """The twelve-byte entries of a directory, and the offset of the next."""
    file.seek(offset)
    (count,) = struct.unpack(f"{order}H", file.read(2))
    return [file.read(12) for _ in range(count)], file.read(4)


def _tag(entry: bytes, order: str) -> int:
    return int(struct.unpack_from(f"{order}H", entry)[0])


def _forget(file: BinaryIO, reader: TiffReader, offset: int) -> None:
    """Take a NoiseProfile out of the first directory, where it would contradict the raw one's."""
    kept, rest = _entries(file, reader.order, offset)
    others = [entry for entry in kept if _tag(entry, reader.order) != NOISE_PROFILE]
    if len(others) < len(kept):
        file.seek(offset)
        file.write(struct.pack(f"{reader.order}H", len(others)) + b"".join(others) + rest)


def _put(file: BinaryIO, order: str, pointer: int, offset: int, values: tuple[float, ...]) -> None:
    """Append the values and the directory that names them, then point to it."""
    entries, rest = _entries(file, order, offset)
    file.seek(0, 2)
    file.write(b"\0" * (-file.tell() % 8))
    place = file.tell()
    file.write(struct.pack(f"{order}{len(values)}d", *values))
    added = struct.pack(f"{order}HHII", NOISE_PROFILE, _DOUBLE, len(values), place)
    others = [entry for entry in entries if _tag(entry, order) != NOISE_PROFILE]
    table = sorted([*others, added], key=lambda entry: _tag(entry, order))
    start = file.tell()
    file.write(struct.pack(f"{order}H", len(table)) + b"".join(table) + rest)
    file.seek(pointer)
    file.write(struct.pack(f"{order}I", start))
