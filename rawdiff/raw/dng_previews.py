"""The pictures inside a DNG that file browsers show: a thumbnail and a JPEG preview, always made afresh."""

from __future__ import annotations

from importlib.metadata import version

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rawdiff.raw.tiff_tree import (
    Directory,
    Entry,
    Segments,
    ascii_entry,
    long_entry,
    rational_entry,
    short_entry,
)

_THUMBNAIL_SIDE = 256
_SRGB = 2


def thumbnail_directory(preview: NDArray[np.uint8]) -> Directory:
    """Uncompressed RGB, at most 256 pixels a side: the first directory of a DNG."""
    small = _reduced(preview)
    height, width, _ = small.shape
    entries = _size_entries(height, width) | {
        258: short_entry(8, 8, 8),
        259: short_entry(1),
        262: short_entry(2),
        278: long_entry(height),
    }
    return Directory(entries | _preview_entries(), segments=Segments([[small.tobytes()]], 1))


def preview_directory(preview: NDArray[np.uint8]) -> Directory:
    """The preview as one JPEG strip (YCbCr 4:4:4, quality 90)."""
    height, width, _ = preview.shape
    data = imagecodecs.jpeg8_encode(np.ascontiguousarray(preview), level=90, subsampling="444")
    entries = _size_entries(height, width) | {
        258: short_entry(8, 8, 8),
        259: short_entry(7),
        262: short_entry(6),
        278: long_entry(height),
        530: short_entry(1, 1),
        531: short_entry(1),
        532: rational_entry(0, 255, 128, 255, 128, 255),
    }
    return Directory(entries | _preview_entries(), segments=Segments([[bytes(data)]], 1))


def _size_entries(height: int, width: int) -> dict[int, Entry]:
    return {
        254: long_entry(1),
        256: long_entry(width),
        257: long_entry(height),
        277: short_entry(3),
        284: short_entry(1),
    }


def _preview_entries() -> dict[int, Entry]:
    """PreviewApplicationName and -Version, PreviewColorSpace; no date: equal runs write equal bytes."""
    return {
        50966: ascii_entry("rawdiff"),
        50967: ascii_entry(version("rawdiff")),
        50970: long_entry(_SRGB),
    }


def _reduced(preview: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = preview.shape
    scale = _THUMBNAIL_SIDE / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(preview)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(preview).resize(size, Image.Resampling.BOX))
