"""What a source file says about the photograph, taken tag by tag so that every output can carry it on.

Kept: description, camera, author, EXIF, GPS, XMP, IPTC, the maker's note where it survives a move, and for
DNG outputs the camera profile. Left behind: everything about the source's own pixels and structure.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from rawdiff.raw import metadata_tags as known
from rawdiff.raw.frame import FrameTags
from rawdiff.raw.tiff_read import TiffReader
from rawdiff.raw.tiff_tree import (
    Directory,
    Entry,
    ascii_entry,
    byte_entry,
    rational_entry,
    short_entry,
    undefined_entry,
)


@dataclass(frozen=True)
class MakerNote:
    """The maker's note as stored: its bytes, the file's byte order and where in the file it began."""

    data: bytes
    order: bytes
    place: int

    @property
    def self_contained(self) -> bool:
        """True where no offset of the note leaves it or counts from the file's start."""
        return self.data.startswith(known.SELF_CONTAINED_NOTES)

    def private_data(self) -> bytes:
        """DNGPrivateData that keeps byte order and place, so that readers can follow the note's offsets.

        The layout is the one Adobe's converter writes and others read: name, record, length, order, place.
        """
        record = self.order + struct.pack(">I", self.place) + self.data
        return b"Adobe\0MakN" + struct.pack(">I", len(record)) + record + b"\0" * (len(record) % 2)


@dataclass(frozen=True)
class Metadata:
    """A source's metadata as little-endian entries; empty where the source has none.

    Attributes:
        main: descriptive tags of the first directory.
        dng: camera, colour and profile tags of a DNG.
        exif: the Exif directory without tags about the source's own pixels.
        gps: the GPS directory.
        xmp: the XMP packet.
        iptc: the IPTC-IIM records.
        maker_note: the maker's note.
        private_data: DNGPrivateData of the source, self-contained by its definition.
        safe_note: the source says that its maker's note may move (MakerNoteSafety 1).
    """

    main: dict[int, Entry] = field(default_factory=dict)
    dng: dict[int, Entry] = field(default_factory=dict)
    exif: dict[int, Entry] = field(default_factory=dict)
    gps: dict[int, Entry] = field(default_factory=dict)
    xmp: bytes = b""
    iptc: bytes = b""
    maker_note: MakerNote | None = None
    private_data: bytes = b""
    safe_note: bool = False


def read_metadata(path: str | Path) -> Metadata:
    """Read the metadata of a TIFF-like raw (DNG, NEF, CR2, ARW, PEF, ORF, RW2, KDC), TIFF or JPEG.

    A file of another kind, or one whose metadata are damaged, gives what can be had, possibly nothing.

    Raises:
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as file:
        head = file.read(4)
        if head[:2] in (b"II", b"MM"):
            return _from_tiff(TiffReader(file))
        if head[:2] == b"\xff\xd8":
            return _from_jpeg(file, 0)
    return Metadata()


def _from_tiff(reader: TiffReader) -> Metadata:
    main = reader.directory(reader.first)
    exif = reader.pointed(main, known.EXIF_IFD)
    merged = {tag: entry for tag, entry in main.items() if tag in known.TIFF_EP} | exif
    safety = main.get(known.MAKER_NOTE_SAFETY)
    private = main.get(known.PRIVATE_DATA)
    return Metadata(
        main={tag: entry for tag, entry in main.items() if tag in known.DESCRIPTIVE},
        dng={tag: entry for tag, entry in main.items() if tag in known.DNG_KEPT},
        exif={tag: entry for tag, entry in merged.items() if tag not in known.EXIF_OF_PIXELS},
        gps=reader.pointed(main, known.GPS_IFD),
        xmp=main[known.XMP].data.rstrip(b"\0") if known.XMP in main else b"",
        iptc=main[known.IPTC].data if known.IPTC in main else b"",
        maker_note=_maker_note(reader, main, exif),
        private_data=private.data if private is not None else b"",
        safe_note=safety is not None and safety.numbers()[:1] == (1,),
    )


def _maker_note(reader: TiffReader, main: dict[int, Entry], exif: dict[int, Entry]) -> MakerNote | None:
    if known.MAKER_NOTE not in exif:
        return None
    place = reader.positions[int(main[known.EXIF_IFD].numbers()[0]), known.MAKER_NOTE]
    return MakerNote(exif[known.MAKER_NOTE].data, b"II" if reader.order == "<" else b"MM", place)


def _from_jpeg(file: BinaryIO, start: int) -> Metadata:
    """Walk the markers up to the image data: Exif and XMP in APP1, IPTC in APP13."""
    found = Metadata()
    xmp, iptc = b"", b""
    place = start + 2
    while True:
        file.seek(place)
        marker = file.read(4)
        if len(marker) < 4 or marker[0] != 0xFF or marker[1] in (0xD9, 0xDA):
            break
        length = struct.unpack(">H", marker[2:])[0]
        data = file.read(max(length - 2, 0))
        if marker[1] == 0xE1 and data.startswith(b"Exif\0\0"):
            found = _from_tiff(TiffReader(BytesIO(data[6:])))
        elif marker[1] == 0xE1 and data.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = data[29:]
        elif marker[1] == 0xED and data.startswith(b"Photoshop 3.0\0"):
            iptc = _iptc_of_resources(data[14:])
        place += 2 + max(length, 2)
    return Metadata(
        main=found.main, exif=found.exif, gps=found.gps, maker_note=found.maker_note,
        xmp=xmp or found.xmp, iptc=iptc or found.iptc,
    )  # fmt: skip


def _iptc_of_resources(data: bytes) -> bytes:
    """The IPTC block (0x0404) among Photoshop's image resources."""
    place = 0
    while data[place : place + 4] == b"8BIM" and place + 12 <= len(data):
        number = struct.unpack_from(">H", data, place + 4)[0]
        name = 1 + data[place + 6]
        place += 6 + name + name % 2
        if place + 4 > len(data):
            break
        size = struct.unpack_from(">I", data, place)[0]
        if number == 0x0404:
            return data[place + 4 : place + 4 + size]
        place += 4 + size + size % 2
    return b""


def main_entries(metadata: Metadata, tags: FrameTags | None) -> dict[int, Entry]:
    """Descriptive tags for the first directory of any output; what the file lacks comes from `tags`."""
    entries = {tag: entry for tag, entry in metadata.main.items() if tag != known.ORIENTATION}
    if tags is not None:
        told = {
            known.MAKE: tags.camera.make,
            known.MODEL: tags.camera.model,
            known.DATE_TIME: _moment(tags)[0],
        }
        entries = {tag: ascii_entry(text) for tag, text in told.items() if text} | entries
    entries[known.SOFTWARE] = ascii_entry(f"rawdiff {version('rawdiff')}")
    return entries


def exif_entries(metadata: Metadata, tags: FrameTags | None) -> dict[int, Entry]:
    """The Exif directory (Exif 2.32); what the file lacks comes from `tags`. Empty where nothing is known."""
    told: dict[int, Entry] = {}
    if tags is not None:
        exposure, camera = tags.exposure, tags.camera
        if exposure.time_s:
            told[33434] = rational_entry(exposure.time_s)
        if exposure.aperture:
            told[33437] = rational_entry(exposure.aperture)
        if exposure.iso:
            told[34855] = short_entry(min(round(exposure.iso), 65535))
        texts = dict(zip((36867, 37521, 36881), _moment(tags), strict=True))
        texts |= {42033: camera.serial or "", 42036: camera.lens or ""}
        told |= {tag: ascii_entry(text) for tag, text in texts.items() if text}
    entries = told | metadata.exif
    return {36864: undefined_entry(b"0232")} | entries if entries else {}


def describe(
    root: Directory,
    metadata: Metadata,
    tags: FrameTags | None,
    provenance: Mapping[str, object] | None = None,
) -> None:
    """Add to the first directory of a file what is known of the photograph."""
    root.entries |= main_entries(metadata, tags)
    packet = metadata.xmp
    if packet:
        root.entries[known.XMP] = byte_entry(packet)
    if metadata.iptc:
        root.entries[known.IPTC] = undefined_entry(metadata.iptc)
    exif = exif_entries(metadata, tags)
    if exif:
        root.children[known.EXIF_IFD] = [Directory(exif)]
    if metadata.gps:
        root.children[known.GPS_IFD] = [Directory(dict(metadata.gps))]


def _moment(tags: FrameTags) -> tuple[str, str, str]:
    """EXIF date and time, fraction of a second, and offset of `captured_at`; empty where not known."""
    match = re.fullmatch(
        r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?",
        tags.exposure.captured_at or "",
    )
    if match is None:
        return "", "", ""
    year, month, day, time, fraction, offset = match.groups()
    return f"{year}:{month}:{day} {time}", fraction or "", "+00:00" if offset == "Z" else offset or ""
