"""What a file is by its first bytes, and whether it holds as much as its directories promise.

LibRaw returns whole arrays for files that end early, without a word; so the bounds are checked before any
decoder sees the file.
"""

from __future__ import annotations

import stat
import struct
from pathlib import Path
from typing import Literal

from rawdiff.errors import DamagedFileError, InputError, UnsupportedRawError
from rawdiff.raw.tags import Layout, TagTable

Container = Literal["tiff", "raf", "cr3", "other raw", "unknown"]

_TIFF_LIKE = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"IIRO", b"IIRS", b"IIU\0", b"MMOR")
_OTHER_RAWS = ((0, b"\0MRM"), (6, b"HEAPCCDR"), (0, b"NOKIARAW"), (25, b"ARECOYK"))
_PICTURES = (
    (b"\xff\xd8\xff", "a JPEG"),
    (b"\x89PNG", "a PNG"),
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"8BPS", "a Photoshop file"),
    (b"PK\3\4", "a ZIP archive"),
    (b"SIMPLE  =", "a FITS file"),
)
_HEADER_BYTES = 256
_PANASONIC_FORMAT, _PANASONIC_START = 0x2D, 0x118
_NOT_HERE = 0xFFFFFFFF  # Panasonic says elsewhere where its image lies


def read_header(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises:
        InputError: it cannot be opened, is no file, or is empty.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
            raise InputError(f"is {what}, not a raw file", where=path)
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}", where=path) from error
    if not header:
        raise DamagedFileError("the file is empty", where=path)
    return header


def recognise(path: Path, header: bytes) -> Container:
    """Tell the container by its first bytes.

    Raises:
        UnsupportedRawError: an ordinary picture or a Foveon file.
    """
    for magic, name in _PICTURES:
        if header.startswith(magic) and (magic != b"BM" or path.suffix.lower() == ".bmp"):
            hint = "rawdiff reads the camera's raw files; rawdiff enhance takes ordinary pictures"
            raise UnsupportedRawError(f"is {name}, not a raw file", where=path, hint=hint)
    if header.startswith(b"FOVb"):
        raise UnsupportedRawError(
            "is a Sigma X3F from a Foveon sensor, which records three colours at every pixel",
            where=path,
            hint="rawdiff reads Bayer mosaics; convert it to a linear DNG first",
        )
    if header.startswith(_TIFF_LIKE):
        return "tiff"
    if header.startswith(b"FUJIFILMCCD-RAW"):
        return "raf"
    if header[4:12] in (b"ftypcrx ", b"ftypcrx\0"):
        return "cr3"
    if header[4:8] == b"ftyp":
        raise UnsupportedRawError(
            "is a HEIF, AVIF or video file, not a raw file",
            where=path,
            hint="rawdiff reads the camera's raw files",
        )
    known = any(header[place : place + len(magic)] == magic for place, magic in _OTHER_RAWS)
    return "other raw" if known else "unknown"


def check_bounds(layout: Layout, length: int, path: Path, *, memory_bytes: int) -> None:
    """Check an image's size, its number of segments, and that every segment lies inside the file.

    Raises:
        DamagedFileError: the directory promises what the file does not hold.
    """
    size = f"{layout.width}x{layout.height}"
    # The decoded image stands in memory as stored and as float32.
    if layout.height * layout.width * layout.samples * 4 > memory_bytes:
        raise DamagedFileError(f"its size {size} is absurd for a file of {length} bytes", where=path)
    if len(layout.offsets) != len(layout.byte_counts) or len(layout.offsets) < layout.segment_count:
        raise DamagedFileError(
            f"an image of {size} needs {layout.segment_count} strips or tiles, the file lists "
            f"{min(len(layout.offsets), len(layout.byte_counts))}",
            where=path,
        )
    for offset, count in zip(layout.offsets, layout.byte_counts, strict=True):
        if offset < 8 or count < 1:
            raise DamagedFileError("a strip or tile of its image has no place in the file", where=path)
        if offset + count > length:
            raise DamagedFileError(
                f"the file ends early: its image reaches to byte {offset + count}, the file has {length}",
                where=path,
                hint="copy it from the card again",
            )
    if layout.compression == 1:
        _check_uncompressed(layout, path)


def _check_uncompressed(layout: Layout, path: Path) -> None:
    """Check that strips and tiles are long enough for their rows; only the last strip may be shorter."""
    samples = 1 if layout.planar_separate else layout.samples
    row_bytes = -(-layout.segment_columns * samples * layout.bits // 8)
    bands = -(-layout.height // layout.segment_rows)
    for index, count in enumerate(layout.byte_counts[: layout.segment_count]):
        rows = layout.segment_rows
        if not layout.tiled and index % bands == bands - 1:
            rows = layout.height - (bands - 1) * layout.segment_rows
        if count < row_bytes * rows:
            kind = "tile" if layout.tiled else "strip"
            raise DamagedFileError(
                f"a {kind} of {count} bytes is too short for {rows} rows of {row_bytes} bytes", where=path
            )


def check_vendor_bounds(tables: list[TagTable], length: int, path: Path) -> None:
    """Check that the segments of every full-size image of a TIFF-based raw lie inside the file.

    Raises:
        DamagedFileError: one does not.
    """
    _check_panasonic(tables[0], length, path)
    for table in tables:
        if (table.integer(254) or 0) != 0:
            continue
        for offsets_code, counts_code in ((273, 279), (324, 325)):
            offsets, counts = table.integers(offsets_code) or (), table.integers(counts_code) or ()
            for offset, count in zip(offsets, counts, strict=False):
                if offset != _NOT_HERE and offset + count > length:
                    raise DamagedFileError(
                        f"the file ends early: its image reaches to byte {offset + count}, it has {length}",
                        where=path,
                        hint="copy it from the card again",
                    )


def _check_panasonic(table: TagTable, length: int, path: Path) -> None:
    """RW2 says where its pixels begin but not how many bytes they take: their number bounds it."""
    width, height, start = table.integer(2), table.integer(3), table.integer(_PANASONIC_START)
    packing = table.integer(_PANASONIC_FORMAT)
    if packing is None or not width or not height or not start:
        return
    # Every packing up to format 7 takes at least 8/7 bytes a pixel; format 8 is adaptive.
    least = width * height // (1 if packing < 8 else 8)
    if start + least > length:
        raise DamagedFileError(
            f"the file ends early: {width}x{height} pixels do not fit in its {length} bytes", where=path
        )


def check_raf(path: Path, header: bytes, length: int) -> None:
    """Check that the sensor data a Fujifilm RAF header points to lie inside the file.

    Raises:
        DamagedFileError: they do not.
    """
    if len(header) < 108:
        raise DamagedFileError("the file ends within its header", where=path)
    for offset, count in (struct.unpack_from(">II", header, place) for place in (84, 100)):
        if offset + count > length:
            raise DamagedFileError(
                f"the file ends early: it should reach to byte {offset + count}, it has {length}", where=path
            )


def check_boxes(path: Path, length: int) -> None:
    """Check that the top-level boxes of a CR3 (ISO 14496-12) end where the file does.

    Raises:
        DamagedFileError: they do not.
    """
    place = 0
    with path.open("rb") as file:
        while place < length:
            file.seek(place)
            head = file.read(16)
            if len(head) < 8:
                break
            size = int.from_bytes(head[:4], "big")
            if size == 1 and len(head) == 16:
                size = int.from_bytes(head[8:16], "big")
            size = length - place if size == 0 else size
            if size < 8:
                break
            place += size
    if place != length:
        raise DamagedFileError(
            f"the file ends early or is damaged: its boxes reach to byte {place}, it has {length}", where=path
        )
