"""TIFF 6.0 as a tree of directories: entries, child directories (SubIFDs, Exif, GPS) and pixel segments.

tifffile writes pixels well but puts every tag into the first directory, where EXIF and GPS do not belong,
and so the structure of every TIFF-like file that leaves rawdiff is assembled here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from rawdiff.errors import ProcessingError

BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, SSHORT, SLONG, SRATIONAL, FLOAT, DOUBLE, IFD = range(
    1, 14
)
SIZES = dict(zip(range(1, 14), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), strict=True))

STRIP_OFFSETS, STRIP_BYTE_COUNTS = 273, 279
TILE_OFFSETS, TILE_BYTE_COUNTS = 324, 325
_LIMIT = 2**32 - 1


@dataclass(frozen=True)
class Entry:
    """One tag's value: TIFF type, count, and the little-endian bytes."""

    kind: int
    count: int
    data: bytes

    def numbers(self) -> tuple[float, ...]:
        """The value as floats (rationals divided, 0/0 as NaN); empty for text."""
        code = {BYTE: "B", SBYTE: "b", SHORT: "H", SSHORT: "h", LONG: "I", SLONG: "i", IFD: "I"}.get(
            self.kind
        )
        if code is not None:
            return struct.unpack(f"<{self.count}{code}", self.data)
        if self.kind in (FLOAT, DOUBLE):
            return struct.unpack(f"<{self.count}{'f' if self.kind == FLOAT else 'd'}", self.data)
        if self.kind in (RATIONAL, SRATIONAL):
            raw = struct.unpack(f"<{2 * self.count}{'I' if self.kind == RATIONAL else 'i'}", self.data)
            return tuple(a / b if b else float("nan") for a, b in zip(raw[::2], raw[1::2], strict=True))
        return ()

    def text(self) -> str:
        """The value of an ASCII entry, without its terminator."""
        return self.data.split(b"\0", 1)[0].decode("utf-8", "replace").strip()


def ascii_entry(text: str) -> Entry:
    """NUL-terminated text (UTF-8, as DNG allows)."""
    data = text.replace("\0", " ").encode("utf-8") + b"\0"
    return Entry(ASCII, len(data), data)


def byte_entry(values: Sequence[int] | bytes) -> Entry:
    """Unsigned bytes."""
    return Entry(BYTE, len(values), bytes(values))


def undefined_entry(data: bytes) -> Entry:
    """Opaque bytes."""
    return Entry(UNDEFINED, len(data), data)


def short_entry(*values: int) -> Entry:
    """Unsigned 16-bit integers."""
    return Entry(SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def long_entry(*values: int) -> Entry:
    """Unsigned 32-bit integers."""
    return Entry(LONG, len(values), struct.pack(f"<{len(values)}I", *values))


def float_entry(*values: float) -> Entry:
    """IEEE floats."""
    return Entry(FLOAT, len(values), struct.pack(f"<{len(values)}f", *values))


def double_entry(*values: float) -> Entry:
    """IEEE doubles."""
    return Entry(DOUBLE, len(values), struct.pack(f"<{len(values)}d", *values))


def rational_entry(*values: float, signed: bool = False) -> Entry:
    """Fractions of 32-bit integers, nearest to `values` with denominators up to a million.

    Raises:
        ValueError: a value that is not finite, negative though unsigned, or beyond 32 bits.
    """
    most = 2**31 - 1 if signed else 2**32 - 1
    pairs: list[int] = []
    for value in values:
        if not np.isfinite(value) or abs(value) > most or (value < 0 and not signed):
            raise ValueError(f"{value} does not fit a {'signed ' if signed else ''}TIFF rational")
        denominators = min(1_000_000, max(1, int(most / max(abs(value), 1.0))))
        near = Fraction(value).limit_denominator(denominators)
        pairs += [near.numerator, near.denominator]
    code = "i" if signed else "I"
    return Entry(SRATIONAL if signed else RATIONAL, len(values), struct.pack(f"<{len(pairs)}{code}", *pairs))


@dataclass
class Segments:
    """The pixels of one directory: strips or tiles, each an iterable of byte chunks drawn when written."""

    parts: Iterable[Iterable[bytes | memoryview]]
    count: int
    tiled: bool = False


@dataclass
class Directory:
    """One image file directory. `children` maps a pointer tag to the directories it points to."""

    entries: dict[int, Entry] = field(default_factory=dict)
    children: dict[int, list[Directory]] = field(default_factory=dict)
    segments: Segments | None = None

    def walk(self) -> list[Directory]:
        """This directory and all below it, parents first."""
        below = [each for group in self.children.values() for child in group for each in child.walk()]
        return [self, *below]


def write_tree(file: BinaryIO, root: Directory) -> None:
    """Write a little-endian TIFF: directories first, then the segments, which are drawn one after another.

    The directories' length is known before their segments are, so the pixels are streamed behind them and
    the offsets filled in last: memory stays at one chunk.

    Raises:
        ProcessingError: the file would pass the 4 GiB that TIFF can address.
    """
    directories = root.walk()
    places: dict[int, int] = {}
    end = 8
    for directory in directories:
        places[id(directory)] = end
        end += _length(_complete(directory, places, {}))
    file.seek(end)
    found: dict[int, tuple[list[int], list[int]]] = {}
    for directory in directories:
        if directory.segments is not None:
            found[id(directory)] = _write_segments(file, directory.segments)
    if file.tell() > _LIMIT:
        raise ProcessingError("the file would be larger than the 4 GiB of a TIFF")
    file.seek(0)
    file.write(struct.pack("<2sHI", b"II", 42, 8))
    for directory in directories:
        file.write(_encode(_complete(directory, places, found), places[id(directory)]))


def _write_segments(file: BinaryIO, segments: Segments) -> tuple[list[int], list[int]]:
    offsets: list[int] = []
    lengths: list[int] = []
    for part in segments.parts:
        offsets.append(file.tell())
        for chunk in part:
            file.write(chunk)
        lengths.append(file.tell() - offsets[-1])
        if file.tell() > _LIMIT:
            raise ProcessingError("the file would be larger than the 4 GiB of a TIFF")
        if lengths[-1] % 2:
            file.write(b"\0")
    if len(offsets) != segments.count:
        raise ValueError(f"{segments.count} segments were announced, {len(offsets)} came")
    return offsets, lengths


def _complete(
    directory: Directory, places: dict[int, int], found: dict[int, tuple[list[int], list[int]]]
) -> list[tuple[int, Entry]]:
    """All entries in the order of their tags, pointers and segment tables included (0 where unknown)."""
    entries = dict(directory.entries)
    for tag, group in directory.children.items():
        entries[tag] = long_entry(*(places.get(id(child), 0) for child in group))
    if directory.segments is not None:
        blank = [0] * directory.segments.count
        offsets, lengths = found.get(id(directory), (blank, blank))
        tiled = directory.segments.tiled
        entries[TILE_OFFSETS if tiled else STRIP_OFFSETS] = long_entry(*offsets)
        entries[TILE_BYTE_COUNTS if tiled else STRIP_BYTE_COUNTS] = long_entry(*lengths)
    return sorted(entries.items())


def _length(entries: list[tuple[int, Entry]]) -> int:
    table = 2 + 12 * len(entries) + 4
    beyond = sum(len(entry.data) + len(entry.data) % 2 for _, entry in entries if len(entry.data) > 4)
    return table + beyond


def _encode(entries: list[tuple[int, Entry]], place: int) -> bytes:
    table = [struct.pack("<H", len(entries))]
    values: list[bytes] = []
    offset = place + 2 + 12 * len(entries) + 4
    for tag, entry in entries:
        data = entry.data
        if len(data) <= 4:
            table.append(struct.pack("<HHI4s", tag, entry.kind, entry.count, data.ljust(4, b"\0")))
            continue
        table.append(struct.pack("<HHII", tag, entry.kind, entry.count, offset))
        values.append(data + b"\0" * (len(data) % 2))
        offset += len(values[-1])
    return b"".join([*table, struct.pack("<I", 0), *values])
