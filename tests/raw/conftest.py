"""A small DNG of any kind, for tests of the reader."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from rawdiff.raw.tiff_tree import (
    Directory,
    Entry,
    Segments,
    ascii_entry,
    byte_entry,
    long_entry,
    rational_entry,
    short_entry,
    write_tree,
)

PATTERNS = {"RGGB": (0, 1, 1, 2), "GRBG": (1, 0, 2, 1), "GBRG": (1, 2, 0, 1), "BGGR": (2, 1, 1, 0)}
MakeDng = Callable[..., Path]


def encode_lossless_jpeg(image: NDArray[np.uint16], components: int = 1) -> bytes:
    """ITU-T T.81 lossless JPEG, predictor 1, columns interleaved as components: what cameras write."""
    height, width = image.shape[0], image[0].size // components
    depth = 14 if image.max() < 1 << 14 else 16
    samples = image.reshape(height, width, components).astype(np.int64)
    predicted = np.empty_like(samples)
    predicted[:, 1:], predicted[1:, 0], predicted[0, 0] = samples[:, :-1], samples[:-1, 0], 1 << (depth - 1)
    bits = []
    for value in ((samples - predicted + 32768) % 65536 - 32768).ravel().tolist():
        size = 16 if value == -32768 else abs(value).bit_length()
        bits.append(format(size, "05b"))  # every category has a code of five bits
        if 0 < size < 16:
            bits.append(format(value if value > 0 else value + (1 << size) - 1, f"0{size}b"))
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    body = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = struct.pack(">HBHHB", 8 + 3 * components, depth, height, width, components)
    frame += b"".join(bytes([index, 0x11, 0]) for index in range(components))
    table = bytes([0] * 4 + [17] + [0] * 11) + bytes(range(17))
    scan = struct.pack(">HB", 6 + 2 * components, components)
    scan += b"".join(bytes([index, 0]) for index in range(components)) + bytes([1, 0, 0])
    codes = struct.pack(">HB", 3 + len(table), 0) + table
    return b"\xff\xd8\xff\xc3" + frame + b"\xff\xc4" + codes + b"\xff\xda" + scan + body + b"\xff\xd9"


def encode(image: NDArray[Any], compression: int, bits: int) -> bytes:
    if compression == 7:
        components = 3 if image.ndim == 3 else 2 if image.shape[1] % 2 == 0 else 1
        return encode_lossless_jpeg(image, components)
    if compression == 8:
        return bytes(imagecodecs.zlib_encode(np.ascontiguousarray(image)))
    if compression == 52546:
        return bytes(imagecodecs.jpegxl_encode(image, lossless=True))
    if bits not in (8, 16, 32):
        return pack_bits(image, bits)
    return image.astype(image.dtype.newbyteorder("<")).tobytes()


def pack_bits(image: NDArray[Any], bits: int) -> bytes:
    """Samples of odd depth, highest bit first, every row from a whole byte on (TIFF 6.0, FillOrder 1)."""
    rows = []
    for row in image.reshape(image.shape[0], -1):
        stream = "".join(format(int(value), f"0{bits}b") for value in row)
        stream += "0" * (-len(stream) % 8)
        rows.append(int(stream, 2).to_bytes(len(stream) // 8, "big"))
    return b"".join(rows)


@pytest.fixture
def make_dng(tmp_path: Path) -> MakeDng:
    """Write a one-directory DNG: `make_dng(image, phase="RGGB", tags={code: Entry}, ...)`."""

    def make(
        image: NDArray[Any],
        phase: str = "RGGB",
        tags: Mapping[int, Entry | None] | None = None,
        compression: int = 1,
        bits: int | None = None,
        name: str = "frame.dng",
    ) -> Path:
        samples = image.shape[2] if image.ndim == 3 else 1
        depth = image.dtype.itemsize * 8 if bits is None else bits
        entries: dict[int, Entry | None] = {
            254: long_entry(0),
            256: long_entry(image.shape[1]),
            257: long_entry(image.shape[0]),
            258: short_entry(*([depth] * samples)),
            259: short_entry(compression),
            262: short_entry(32803 if samples == 1 else 34892),
            271: ascii_entry("Maker"),
            272: ascii_entry("Model One"),
            277: short_entry(samples),
            278: long_entry(image.shape[0]),
            284: short_entry(1),
            339: short_entry(*([3 if image.dtype.kind == "f" else 1] * samples)),
            50706: byte_entry((1, 7, 1, 0) if compression == 52546 else (1, 4, 0, 0)),
            50708: ascii_entry("Maker Model One"),
            50721: rational_entry(1, 0, 0, 0, 1, 0, 0, 0, 1, signed=True),
            50728: rational_entry(0.5, 1, 0.6),
        }
        if samples == 1:
            entries |= {33421: short_entry(2, 2), 33422: byte_entry(PATTERNS[phase])}
        entries |= tags or {}
        kept = {code: entry for code, entry in entries.items() if entry is not None}
        path = tmp_path / name
        with path.open("wb") as file:
            write_tree(file, Directory(kept, {}, Segments([[encode(image, compression, depth)]], 1)))
        return path

    return make
