"""Reading TIFF directories of any byte order into little-endian entries, with every bound checked.

What lies outside the file, overlaps its end or repeats without end is passed over: metadata of a damaged
file are copied as far as they are sound.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

from rawdiff.raw.tiff_tree import DOUBLE, IFD, RATIONAL, SIZES, SRATIONAL, Entry

_MOST_ENTRIES = 4096
_MOST_BYTES = 1 << 26


class TiffReader:
    """Directories of a TIFF structure that starts at `base` of a file (0, or inside a JPEG or a box).

    Attributes:
        mark: the byte order as the header names it, b"II" or b"MM".
        order: the same for `struct`, "<" or ">"; empty where the header is not TIFF's.
        first: offset of the first directory, 0 where the header is not TIFF's.
        positions: where in the file the value of a (directory offset, tag) lies.
    """

    def __init__(self, file: BinaryIO, base: int = 0, length: int | None = None) -> None:
        self._file = file
        self._base = base
        file.seek(0, 2)
        whole = file.tell() - base
        self._length = whole if length is None else min(length, whole)
        header = self._bytes(0, 8)
        self.mark = header[:2]
        self.order = {b"II": "<", b"MM": ">"}.get(self.mark, "")
        self.first = 0
        self.positions: dict[tuple[int, int], int] = {}
        self._budget = _MOST_BYTES
        if self.order and len(header) == 8:
            self.first = struct.unpack(f"{self.order}I", header[4:])[0]

    def directory(self, offset: int) -> dict[int, Entry]:
        """The sound entries of the directory at `offset`; empty where there is none."""
        entries: dict[int, Entry] = {}
        head = self._bytes(offset, 2)
        if not offset or len(head) < 2:
            return entries
        count = min(struct.unpack(f"{self.order}H", head)[0], _MOST_ENTRIES)
        table = self._bytes(offset + 2, 12 * count)
        for start in range(0, len(table) - 11, 12):
            tag, kind, number = struct.unpack_from(f"{self.order}HHI", table, start)
            entry = self._entry(offset, tag, kind, number, offset + 2 + start + 8)
            if entry is not None and tag not in entries:
                entries[tag] = entry
        return entries

    def pointed(self, entries: dict[int, Entry], tag: int) -> dict[int, Entry]:
        """The directory that `tag` of `entries` points to; empty where there is none."""
        pointer = entries.get(tag)
        numbers = pointer.numbers() if pointer is not None else ()
        return self.directory(int(numbers[0])) if numbers and np.isfinite(numbers[0]) else {}

    def _entry(self, offset: int, tag: int, kind: int, count: int, place: int) -> Entry | None:
        size = SIZES.get(kind, 0) * count
        if size == 0 or size > self._budget:
            return None
        if size > 4:
            place = struct.unpack(f"{self.order}I", self._bytes(place, 4))[0]
        data = self._bytes(place, size)
        if len(data) != size:
            return None
        self._budget -= size
        self.positions[offset, tag] = place
        return Entry(kind, count, data if self.order == "<" else _swapped(data, kind))

    def _bytes(self, offset: int, count: int) -> bytes:
        if offset < 0 or offset >= self._length:
            return b""
        self._file.seek(self._base + offset)
        return self._file.read(min(count, self._length - offset))


def _swapped(data: bytes, kind: int) -> bytes:
    word = 4 if kind in (RATIONAL, SRATIONAL, IFD) else SIZES[kind]
    if word == 1:
        return data
    code = {2: "u2", 4: "u4", 8: "u8"}[8 if kind == DOUBLE else word]
    return np.frombuffer(data, f">{code}").astype(f"<{code}").tobytes()
