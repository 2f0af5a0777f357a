"""TIFF and DNG tags of a raw file, through tifffile, as plain numbers with their absurdities refused.

Only directories are read here, never pixels. tifffile checks that a value lies inside the file; what a
value means is checked where it is used. Codes and defaults: DNG 1.7.1 chapters 2 and 4, TIFF 6.0.
"""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import tifffile

from rawdiff.errors import DamagedFileError, InputError

# tifffile reports oddities through logging; ours are errors with one line, and nothing else is printed.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

PHOTOMETRIC_CFA, PHOTOMETRIC_LINEAR_RAW = 32803, 34892
_MAX_DIRECTORIES = 64
_MAX_DEPTH = 3


class TagTable:
    """The tags of one directory. Every getter returns None where the tag is absent."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.offset = int(page.offset)
        self.unreadable = _listed_codes(page) - {int(tag.code) for tag in page.tags}
        """Codes that the directory lists but whose values lie outside the file, or are of no known type."""

    def __contains__(self, code: int) -> bool:
        return self.page.tags.get(code) is not None

    def value(self, code: int) -> Any:
        """The value as tifffile decodes it."""
        tag = self.page.tags.get(code)
        return None if tag is None else tag.value

    def numbers(self, code: int) -> tuple[float, ...] | None:
        """All numbers of a tag, rationals divided; n/0 becomes NaN."""
        tag = self.page.tags.get(code)
        if tag is None:
            return None
        return as_numbers(tag.value, rational=int(tag.dtype) in (5, 10))

    def finite(self, code: int, count: int | None = None) -> tuple[float, ...] | None:
        """All numbers of a tag, None where one is not finite or there are not `count`."""
        numbers = self.numbers(code)
        if not numbers or not all(math.isfinite(number) for number in numbers):
            return None
        return numbers if count in (None, len(numbers)) else None

    def integer(self, code: int) -> int | None:
        """The first number of a tag as an integer."""
        numbers = self.finite(code)
        return None if numbers is None else int(numbers[0])

    def integers(self, code: int) -> tuple[int, ...] | None:
        """All numbers of a tag as integers."""
        numbers = self.finite(code)
        return None if numbers is None else tuple(int(number) for number in numbers)

    def text(self, code: int) -> str:
        """A text tag without padding, empty where absent."""
        value = self.value(code)
        if isinstance(value, bytes):
            value = value.split(b"\0", 1)[0].decode("utf-8", "replace")
        if not isinstance(value, str):
            return ""
        return " ".join("".join(c if c.isprintable() else " " for c in value.split("\0", 1)[0]).split())

    def data(self, code: int) -> bytes:
        """The bytes of an UNDEFINED or BYTE tag, empty where absent."""
        value = self.value(code)
        return bytes(value) if isinstance(value, bytes | tuple) and _are_bytes(value) else b""


def as_numbers(value: Any, *, rational: bool) -> tuple[float, ...]:
    """Flatten what tifffile gives for a numeric tag into floats."""
    if isinstance(value, str):
        return ()
    if isinstance(value, bytes):
        return tuple(float(byte) for byte in value)
    try:
        flat = [float(number) for number in (value if hasattr(value, "__len__") else (value,))]
    except (TypeError, ValueError):
        return ()
    if not rational:
        return tuple(flat)
    return tuple(n / d if d else math.nan for n, d in zip(flat[::2], flat[1::2], strict=False))


def _are_bytes(value: bytes | tuple[Any, ...]) -> bool:
    return isinstance(value, bytes) or all(isinstance(v, int) and 0 <= v < 256 for v in value)


@contextmanager
def open_directories(path: Path, data: bytes | None = None) -> Iterator[list[TagTable]]:
    """Yield the tag tables of a TIFF-based file, SubIFDs after their parents; the first is IFD0.

    Args:
        path: the file.
        data: a TIFF within it that is to be read in its place.

    Raises:
        InputError: the file cannot be opened.
        DamagedFileError: its directories cannot be read.
    """
    try:
        file: BinaryIO = path.open("rb") if data is None else BytesIO(data)
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}", where=path) from error
    with file:
        try:
            tiff = tifffile.TiffFile(file, name=path.name)
            tables = [TagTable(page) for page in islice(_walk(tiff.pages, 0), _MAX_DIRECTORIES)]
        except Exception as error:  # tifffile raises whatever its parsing trips over
            raise DamagedFileError(
                f"its TIFF directories cannot be read: {_line(error)}", where=path
            ) from error
        if not tables:
            raise DamagedFileError("it holds no TIFF directory", where=path)
        try:
            yield tables
        except (ValueError, TypeError, OverflowError, IndexError, KeyError, tifffile.TiffFileError) as error:
            raise DamagedFileError(f"its tags contradict themselves: {_line(error)}", where=path) from error


def _listed_codes(page: Any) -> set[int]:
    """Codes of all entries of a directory: tifffile passes over those that it cannot read."""
    form, file = page.parent.tiff, page.parent.filehandle
    file.seek(page.offset)
    (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    entries = file.read(int(form.tagsize) * count)
    places = range(0, len(entries) - 1, form.tagsize)
    return {struct.unpack_from(form.byteorder + "H", entries, place)[0] for place in places}


def _walk(pages: Any, depth: int) -> Iterator[Any]:
    for page in pages:
        if not isinstance(page, tifffile.TiffPage):
            page = page.aspage()
        yield page
        if page.pages is not None and depth < _MAX_DEPTH:
            yield from _walk(page.pages, depth + 1)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


@dataclass(frozen=True)
class Layout:
    """How one image lies in its file: size, sample type, and the segments (strips or tiles)."""

    directory: int
    """Byte offset of its directory."""
    height: int
    width: int
    samples: int
    bits: int
    floating: bool
    compression: int
    photometric: int
    planar_separate: bool
    tiled: bool
    segment_rows: int
    segment_columns: int
    offsets: tuple[int, ...]
    byte_counts: tuple[int, ...]

    @property
    def segment_count(self) -> int:
        """Strips or tiles that an image of this size is cut into."""
        down = -(-self.height // self.segment_rows)
        across = -(-self.width // self.segment_columns)
        return down * across * (self.samples if self.planar_separate else 1)


def read_layout(table: TagTable) -> Layout:
    """Read the layout of one directory's image.

    Raises:
        ValueError: a size is missing or not positive, or samples differ in depth.
    """
    width, height = table.integer(256), table.integer(257)
    if not width or not height or width < 0 or height < 0:
        raise ValueError("an image without a size")
    bits = table.integers(258) or (1,)
    if len(set(bits)) != 1:
        raise ValueError(f"samples of different depth {bits}")
    tile = (table.integer(323), table.integer(322))
    tiled = 324 in table or tile[0] is not None
    rows = (tile[0] if tiled else table.integer(278)) or height
    columns = (tile[1] if tiled else width) or width
    if rows < 1 or columns < 1:
        raise ValueError("strips or tiles without a size")
    return Layout(
        directory=table.offset,
        height=height,
        width=width,
        samples=max(table.integer(277) or 1, 1),
        bits=bits[0],
        floating=(table.integer(339) or 1) == 3,
        compression=table.integer(259) or 1,
        photometric=-1 if (photometric := table.integer(262)) is None else photometric,
        planar_separate=table.integer(284) == 2,
        tiled=tiled,
        segment_rows=rows if tiled else min(rows, height),
        segment_columns=columns,
        offsets=table.integers(324 if tiled else 273) or (),
        byte_counts=table.integers(325 if tiled else 279) or (),
    )


def find_raw(tables: list[TagTable]) -> TagTable | None:
    """Return the directory of the main raw image: the largest CFA or LinearRaw one of full resolution."""

    def area(table: TagTable) -> int:
        return (table.integer(256) or 0) * (table.integer(257) or 0)

    kinds = (PHOTOMETRIC_CFA, PHOTOMETRIC_LINEAR_RAW)
    raws = [t for t in tables if t.integer(262) in kinds and (t.integer(254) or 0) == 0]
    return max(raws, key=area, default=None)


def dng_version(tables: list[TagTable]) -> tuple[int, ...] | None:
    """Return DNGVersion, None for a file that is no DNG."""
    version = tables[0].integers(50706)
    return None if version is None or len(version) != 4 else version
