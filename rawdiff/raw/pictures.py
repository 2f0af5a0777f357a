"""Finished pictures: JPEG and 16-bit TIFF, upright, with colour profile, EXIF, GPS, XMP and IPTC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from rawdiff.errors import ProcessingError
from rawdiff.raw import jpeg_segments
from rawdiff.raw.atomic import write_whole
from rawdiff.raw.frame import FrameTags
from rawdiff.raw.icc_primaries import has_srgb_primaries
from rawdiff.raw.metadata import JPEG, TIFF, Metadata, describe
from rawdiff.raw.metadata_read import read_metadata
from rawdiff.raw.metadata_tags import EXIF_IFD, IPTC, ORIENTATION, XMP
from rawdiff.raw.tiff_tree import (
    Directory,
    Entry,
    Segments,
    long_entry,
    rational_entry,
    short_entry,
    undefined_entry,
    write_tree,
)

_Pixel = TypeVar("_Pixel", bound=np.generic)

_ICC = 34675
_STRIP_ROWS = 64
_DOTS_PER_INCH = 300
_JPEG_LIMIT = 65535
_SRGB_SPACE, _UNCALIBRATED_SPACE = 1, 65535


def write_jpeg(
    path: str | Path,
    rgb: NDArray[np.uint8] | Iterable[NDArray[np.uint8]],
    *,
    quality: int = 92,
    icc: bytes = b"",
    tags: FrameTags | None = None,
    source_file: Path | None = None,
    upright: bool = True,
    provenance: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a JPEG (YCbCr 4:4:4) with its metadata.

    Args:
        path: the file to write.
        rgb: display RGB `[H, W, 3]` of 8 bits as the sensor lies, or its rows in strips `[n, W, 3]`.
        quality: 1 to 100.
        icc: profile of the values; none is embedded where empty, which readers take for sRGB.
        tags: orientation, and what the source's metadata lack.
        source_file: its EXIF, GPS, XMP and IPTC are carried on.
        upright: turn the pixels by the orientation; otherwise the file states the orientation.
        provenance: what made the file, kept as JSON in its XMP.
        overwrite: replace a file that is there already.

    Raises:
        ConfigurationError: the file exists, or would replace `source_file`.
        ProcessingError: the place cannot be written, or a side is longer than a JPEG can be.
        ValueError: a shape, a type or a quality that does not fit.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"JPEG quality lies in 1..100, not at {quality}")
    pixels, orientation = _posed(gather_rows(rgb), tags, upright)
    _check_pixels(pixels, np.uint8)
    height, width, _ = pixels.shape
    if max(height, width) > _JPEG_LIMIT:
        raise ProcessingError(
            f"a JPEG has at most {_JPEG_LIMIT} pixels a side, not {width}x{height}",
            where=path,
            hint="write a TIFF",
        )
    metadata = read_metadata(source_file) if source_file is not None else Metadata()
    head = _jpeg_head(metadata, tags, orientation, (height, width), icc, provenance)
    data = bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=quality, subsampling="444"))
    with write_whole(path, overwrite, _originals(source_file)) as part, open(part, "wb") as file:
        file.write(b"\xff\xd8")
        file.write(head)
        file.write(memoryview(data)[_after_jfif(data) :])


def write_tiff16(
    path: str | Path,
    rgb: NDArray[np.uint16] | Iterable[NDArray[np.uint16]],
    *,
    size: tuple[int, int] | None = None,
    icc: bytes = b"",
    tags: FrameTags | None = None,
    source_file: Path | None = None,
    upright: bool = True,
    compressed: bool = True,
    provenance: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a 16-bit RGB TIFF with its metadata; rows that need no turning are streamed.

    Args:
        path: the file to write.
        rgb: display RGB `[H, W, 3]` of 16 bits as the sensor lies, or its rows in strips `[n, W, 3]`.
        size: rows and columns; needed where `rgb` comes in strips.
        icc: profile of the values.
        tags: orientation, and what the source's metadata lack.
        source_file: its EXIF, GPS, XMP and IPTC are carried on.
        upright: turn the pixels by the orientation; otherwise the file states the orientation.
        compressed: Deflate with horizontal differencing, otherwise none.
        provenance: what made the file, kept as JSON in its XMP.
        overwrite: replace a file that is there already.

    Raises:
        ConfigurationError: the file exists, or would replace `source_file`.
        ProcessingError: the place cannot be written, or the file would pass 4 GiB.
        ValueError: a shape or a type that does not fit.
    """
    orientation = tags.orientation if tags is not None else 1
    if isinstance(rgb, np.ndarray) or (upright and orientation != 1):
        pixels, orientation = _posed(gather_rows(rgb), tags, upright)
        _check_pixels(pixels, np.uint16)
        size, strips = (pixels.shape[0], pixels.shape[1]), _slices(pixels)
    elif size is None:
        raise ValueError("strips of rows need the size of the whole")
    else:
        strips = _regular(rgb, size)
    height, width = size
    root = Directory(_tiff_entries(height, width, compressed))
    parts = ([_tiff_strip(strip, compressed)] for strip in strips)
    root.segments = Segments(parts, -(-height // _STRIP_ROWS))
    metadata = read_metadata(source_file) if source_file is not None else Metadata()
    describe(root, TIFF, metadata, tags, provenance)
    state_picture(root, orientation, icc)
    if icc:
        root.entries[_ICC] = undefined_entry(icc)
    with write_whole(path, overwrite, _originals(source_file)) as part, open(part, "wb") as file:
        write_tree(file, root)


def turn_upright(pixels: NDArray[_Pixel], orientation: int) -> NDArray[_Pixel]:
    """Turn `[H, W, ...]` by an EXIF orientation (1-8; others leave it), as a view."""
    flipped = {2: (1,), 3: (0, 1), 4: (0,)}
    if orientation in flipped:
        return np.flip(pixels, flipped[orientation])
    if orientation in (5, 6, 7, 8):
        swapped = np.swapaxes(pixels, 0, 1)
        after: dict[int, tuple[int, ...]] = {5: (), 6: (1,), 7: (0, 1), 8: (0,)}
        return np.flip(swapped, after[orientation])
    return pixels


def gather_rows(rgb: NDArray[_Pixel] | Iterable[NDArray[_Pixel]]) -> NDArray[_Pixel]:
    """Return the whole array, joined from strips where it comes in strips."""
    return rgb if isinstance(rgb, np.ndarray) else np.concatenate(list(rgb), axis=0)


def _posed(pixels: NDArray[_Pixel], tags: FrameTags | None, upright: bool) -> tuple[NDArray[_Pixel], int]:
    """The pixels as they are written, and the orientation that the file then states."""
    orientation = tags.orientation if tags is not None else 1
    return (turn_upright(pixels, orientation), 1) if upright else (pixels, orientation)


def _check_pixels(pixels: NDArray[np.generic], kind: type[np.generic]) -> None:
    if pixels.dtype != kind or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(
            f"a picture is [H, W, 3] of {kind.__name__}, not {list(pixels.shape)} {pixels.dtype}"
        )


def _originals(source_file: Path | None) -> list[Path]:
    return [source_file] if source_file is not None else []


def _slices(pixels: NDArray[np.uint16]) -> Iterator[NDArray[np.uint16]]:
    for top in range(0, pixels.shape[0], _STRIP_ROWS):
        yield pixels[top : top + _STRIP_ROWS]


def _regular(strips: Iterable[NDArray[np.uint16]], size: tuple[int, int]) -> Iterator[NDArray[np.uint16]]:
    """Cut strips of any height into those of the file, keeping one of each in memory."""
    height, width = size
    waiting = np.empty((0, width, 3), np.uint16)
    rows = 0
    for strip in strips:
        _check_pixels(strip, np.uint16)
        if strip.shape[1] != width:
            raise ValueError(f"a strip is {strip.shape[1]} columns wide, the picture {width}")
        rows += strip.shape[0]
        waiting = np.concatenate([waiting, strip]) if waiting.size else strip
        while waiting.shape[0] >= _STRIP_ROWS:
            yield waiting[:_STRIP_ROWS]
            waiting = waiting[_STRIP_ROWS:]
    if waiting.shape[0]:
        yield waiting
    if rows != height:
        raise ValueError(f"{rows} rows came for a picture of {height}")


def _tiff_entries(height: int, width: int, compressed: bool) -> dict[int, Entry]:
    entries = {
        254: long_entry(0),
        256: long_entry(width),
        257: long_entry(height),
        258: short_entry(16, 16, 16),
        259: short_entry(8 if compressed else 1),
        262: short_entry(2),
        277: short_entry(3),
        278: long_entry(_STRIP_ROWS),
        284: short_entry(1),
    }
    return entries | ({317: short_entry(2)} if compressed else {})


def _tiff_strip(strip: NDArray[np.uint16], compressed: bool) -> bytes:
    if not compressed:
        return strip.astype("<u2", copy=False).tobytes()
    differences = strip.astype("<u2")
    differences[:, 1:] -= strip[:, :-1]
    return bytes(imagecodecs.deflate_encode(differences.tobytes(), level=1))


def state_picture(root: Directory, orientation: int, icc: bytes) -> None:
    """Orientation, resolution and colour space of these pixels."""
    root.entries |= {
        ORIENTATION: short_entry(orientation),
        282: rational_entry(_DOTS_PER_INCH),
        283: rational_entry(_DOTS_PER_INCH),
        296: short_entry(2),
    }
    exif = root.children.setdefault(EXIF_IFD, [Directory({36864: undefined_entry(b"0232")})])[0]
    space = _SRGB_SPACE if not icc or has_srgb_primaries(icc) else _UNCALIBRATED_SPACE
    exif.entries |= {40960: undefined_entry(b"0100"), 40961: short_entry(space)}


def _jpeg_head(
    metadata: Metadata,
    tags: FrameTags | None,
    orientation: int,
    size: tuple[int, int],
    icc: bytes,
    provenance: Mapping[str, object] | None,
) -> bytes:
    """Exif, XMP, IPTC and ICC segments, in the order readers expect them."""
    root = Directory()
    describe(root, JPEG, metadata, tags, provenance)
    state_picture(root, orientation, icc)
    root.entries[531] = short_entry(1)
    root.children[EXIF_IFD][0].entries |= {
        37121: undefined_entry(b"\1\2\3\0"),
        40962: long_entry(size[1]),
        40963: long_entry(size[0]),
    }
    packet, records = root.entries.pop(XMP, None), root.entries.pop(IPTC, None)
    segments = [jpeg_segments.exif_segment(root)]
    if packet is not None:
        segments.append(jpeg_segments.xmp_segments(packet.data))
    if records is not None:
        segments.append(jpeg_segments.iptc_segment(records.data))
    return b"".join([*segments, jpeg_segments.icc_segments(icc)])


def _after_jfif(data: bytes) -> int:
    """Where the tables begin behind the encoder's own JFIF segment (Exif files have none)."""
    if data[2:4] != b"\xff\xe0":
        return 2
    return 4 + int.from_bytes(data[4:6], "big")
