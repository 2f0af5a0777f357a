"""PNG of 8 or 16 bits with colour profile and EXIF (PNG specification, third edition: iCCP, eXIf, iTXt)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from rawdiff.raw.atomic import write_whole
from rawdiff.raw.frame import FrameTags
from rawdiff.raw.metadata import JPEG, Metadata, describe
from rawdiff.raw.metadata_read import read_metadata
from rawdiff.raw.metadata_tags import IPTC, XMP
from rawdiff.raw.pictures import state_picture, turn_upright
from rawdiff.raw.tiff_tree import Directory, write_tree

_HEADER_END = 8 + 25
"""Signature and IHDR."""
_LEVEL = 4


def write_png(
    path: str | Path,
    rgb: NDArray[Any],
    *,
    icc: bytes = b"",
    tags: FrameTags | None = None,
    source_file: Path | None = None,
    provenance: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a PNG, upright, with its metadata.

    Args:
        path: the file to write.
        rgb: display RGB `[H, W, 3]` of 8 or 16 bits as the source lies.
        icc: profile of the values.
        tags: orientation, and what the source's metadata lack.
        source_file: its EXIF, GPS and XMP are carried on.
        provenance: what made the file, kept as JSON in its XMP.
        overwrite: replace a file that is there already.

    Raises:
        ConfigurationError: the file exists, or would replace `source_file`.
        ProcessingError: the place cannot be written.
        ValueError: a shape or a type that does not fit.
    """
    if rgb.dtype not in (np.uint8, np.uint16) or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise ValueError(f"a picture is [H, W, 3] of 8 or 16 bits, not {list(rgb.shape)} {rgb.dtype}")
    pixels = turn_upright(rgb, tags.orientation if tags is not None else 1)
    metadata = read_metadata(source_file) if source_file is not None else Metadata()
    root = Directory()
    describe(root, JPEG, metadata, tags, provenance)
    state_picture(root, 1, icc)
    packet = root.entries.pop(XMP, None)
    root.entries.pop(IPTC, None)
    tree = BytesIO()
    write_tree(tree, root)
    chunks = [_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))] if icc else []
    chunks.append(_chunk(b"eXIf", tree.getvalue()))
    if packet is not None:
        chunks.append(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet.data))
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=_LEVEL))
    originals = [source_file] if source_file is not None else []
    with write_whole(path, overwrite, originals) as part, open(part, "wb") as file:
        file.write(data[:_HEADER_END])
        file.write(b"".join(chunks))
        file.write(memoryview(data)[_HEADER_END:])


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
