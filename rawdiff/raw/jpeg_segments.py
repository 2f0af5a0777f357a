"""JPEG application segments: where Exif, XMP, IPTC and ICC live in a JPEG, read and written.

Exif 2.32 section 4.7; XMP Specification Part 3, section 1.1.3; ICC.1:2022 annex B.4.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from rawdiff.raw.tiff_tree import Directory, write_tree

EXIF, XMP, PHOTOSHOP, ICC = (
    b"Exif\0\0",
    b"http://ns.adobe.com/xap/1.0/\0",
    b"Photoshop 3.0\0",
    b"ICC_PROFILE\0",
)
_EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
_MOST = 65533
_IPTC_RESOURCE = 0x0404
_STUB = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
    ' xmpNote:HasExtendedXMP="{}"/></rdf:RDF></x:xmpmeta>'
)


def walk_segments(file: BinaryIO, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, data) of the segments before the image data of the JPEG at `start`."""
    place = start + 2
    while True:
        file.seek(place)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xD9, 0xDA):
            return
        length = max(int.from_bytes(head[2:], "big"), 2)
        yield head[1], file.read(length - 2)
        place += 2 + length


def exif_segment(root: Directory) -> bytes:
    """APP1 with a TIFF tree; the largest values are left out until the rest fits one segment."""
    while True:
        tree = BytesIO()
        write_tree(tree, root)
        data = EXIF + tree.getvalue()
        if len(data) <= _MOST:
            return _segment(0xE1, data)
        owner, tag = max(
            ((each, tag) for each in root.walk() for tag in each.entries),
            key=lambda found: len(found[0].entries[found[1]].data),
        )
        del owner.entries[tag]


def xmp_segments(packet: bytes) -> bytes:
    """APP1 with a packet; a longer one as extended XMP behind a stub that points to it."""
    if len(XMP) + len(packet) <= _MOST:
        return _segment(0xE1, XMP + packet)
    name = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper()
    room = _MOST - len(_EXTENDED) - 40
    segments = [_segment(0xE1, XMP + _STUB.format(name).encode())]
    for start in range(0, len(packet), room):
        head = _EXTENDED + name.encode() + struct.pack(">II", len(packet), start)
        segments.append(_segment(0xE1, head + packet[start : start + room]))
    return b"".join(segments)


def iptc_segment(records: bytes) -> bytes:
    """APP13 with IPTC records as Photoshop's image resource; empty where they do not fit."""
    resource = struct.pack(">4sHHI", b"8BIM", _IPTC_RESOURCE, 0, len(records)) + records
    data = PHOTOSHOP + resource + b"\0" * (len(records) % 2)
    return _segment(0xED, data) if len(data) <= _MOST else b""


def icc_segments(profile: bytes) -> bytes:
    """APP2 segments with a colour profile.

    Raises:
        ValueError: a profile beyond the 255 segments a JPEG can number.
    """
    room = _MOST - len(ICC) - 2
    pieces = [profile[start : start + room] for start in range(0, len(profile), room)]
    if len(pieces) > 255:
        raise ValueError(f"a colour profile of {len(profile)} bytes does not fit a JPEG")
    return b"".join(
        _segment(0xE2, ICC + bytes((number, len(pieces))) + piece) for number, piece in enumerate(pieces, 1)
    )


def iptc_of_resources(data: bytes) -> bytes:
    """The IPTC records among Photoshop's image resources; empty where there are none."""
    place = 0
    while data[place : place + 4] == b"8BIM" and place + 12 <= len(data):
        number = struct.unpack_from(">H", data, place + 4)[0]
        name = 1 + data[place + 6]
        place += 6 + name + name % 2
        if place + 4 > len(data):
            break
        size = struct.unpack_from(">I", data, place)[0]
        if number == _IPTC_RESOURCE:
            return data[place + 4 : place + 4 + size]
        place += 4 + size + size % 2
    return b""


def joined_xmp(segments: list[bytes]) -> bytes:
    """The packet of a JPEG's APP1 data: the extended one where its pieces are all there, else the plain."""
    plain = next((data[len(XMP) :] for data in segments if data.startswith(XMP)), b"")
    pieces = sorted(data[len(_EXTENDED) + 32 :] for data in segments if data.startswith(_EXTENDED))
    whole = b"".join(piece[8:] for piece in pieces)
    if pieces and len(pieces[0]) >= 8 and len(whole) == struct.unpack_from(">I", pieces[0])[0]:
        return whole
    return plain


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
