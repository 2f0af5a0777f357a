"""ICC profiles of the output spaces: version 4 matrix profiles with parametric curves (ICC.1:2022)."""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from rawdiff.color.spaces import D65, SPACES, Matrix, OutputSpace, Transfer, adapt_white, xyz_of

_PCS_WHITE: Matrix = np.array([0.9642, 1.0, 0.8249])
"""The profile connection space's D50, as ICC.1 rounds it."""

_HEADER_BYTES = 128
_CREATED = (2026, 1, 1, 0, 0, 0)
_COPYRIGHT = "CC0"


def make_icc_profile(space: OutputSpace) -> bytes:
    """Build the display profile of an output space; the same bytes on every call.

    Its primaries are adapted to D50 by Bradford's transform and its curve is the space's own transfer
    function as a parametric curve (type 3), so that a reader reproduces it exactly.
    """
    meant = SPACES[space]
    adaptation = adapt_white(xyz_of(D65), _PCS_WHITE)
    colorants = _quantise_to_white(adaptation @ meant.to_xyz())
    curve = _parametric_curve(meant.transfer)
    tags = [
        (b"desc", _text(meant.name)),
        (b"cprt", _text(_COPYRIGHT)),
        (b"wtpt", _xyz(_PCS_WHITE)),
        (b"chad", b"sf32\0\0\0\0" + _fixed(adaptation.ravel())),
        *(
            (name, _xyz(column))
            for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants.T, strict=True)
        ),
        *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    return _assemble(tags)


def _assemble(tags: list[tuple[bytes, bytes]]) -> bytes:
    """Header, tag table and data; equal data is stored once, every element on four bytes."""
    table = struct.pack(">I", len(tags))
    start = _HEADER_BYTES + 4 + 12 * len(tags)
    data = b""
    places: dict[bytes, int] = {}
    for name, element in tags:
        if element not in places:
            places[element] = start + len(data)
            data += element + b"\0" * (-len(element) % 4)
        table += name + struct.pack(">II", places[element], len(element))
    size = start + len(data)
    blank = _header(size, profile_id=b"\0" * 16) + table + data
    # The identity is the MD5 of the profile with flags, rendering intent and identity zero (7.2.18).
    identity = hashlib.md5(blank, usedforsecurity=False).digest()
    return _header(size, identity) + table + data


def _header(size: int, profile_id: bytes) -> bytes:
    """Profile header (7.2): display device, RGB, XYZ connection space, perceptual intent."""
    header = struct.pack(">I4sI4s4s4s6H4s", size, b"\0\0\0\0", 0x04400000, b"mntr", b"RGB ", b"XYZ ",
                         *_CREATED, b"acsp")  # fmt: skip
    header += b"\0" * 28 + _fixed(_PCS_WHITE) + b"\0\0\0\0" + profile_id
    return header.ljust(_HEADER_BYTES, b"\0")


def _quantise_to_white(colorants: Matrix) -> Matrix:
    """Round to s15Fixed16 so that the colorants still add up to the rounded white: grey stays grey."""
    steps = np.round(colorants * 65536)
    steps[:, 1] += np.round(_PCS_WHITE * 65536) - steps.sum(axis=1)
    rounded: Matrix = steps / 65536
    return rounded


def _parametric_curve(transfer: Transfer) -> bytes:
    """Type 3: Y = (a X + b)^g from d on, c X below."""
    scale = 1 / (1 + transfer.offset)
    knee = transfer.linear_slope * transfer.linear_end
    values = [transfer.gamma, scale, transfer.offset * scale, 1 / transfer.linear_slope, knee]
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _fixed(values)


def _text(text: str) -> bytes:
    """multiLocalizedUnicodeType with one English entry."""
    encoded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _xyz(values: Matrix) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _fixed(values: Matrix | list[float]) -> bytes:
    """Numbers as big-endian s15Fixed16."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)
