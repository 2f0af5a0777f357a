"""What is known of a photograph beside its pixels, and its way into the outputs tag by tag.

Kept: description, camera, author, EXIF, GPS, XMP, IPTC, the maker's note where it survives a move, and for
DNG outputs the camera profile. Left behind: everything about the source's own pixels and structure.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

from rawdiff.raw import metadata_tags as known
from rawdiff.raw.frame import FrameTags
from rawdiff.raw.tiff_tree import (
    LONG,
    Directory,
    Entry,
    ascii_entry,
    byte_entry,
    long_entry,
    rational_entry,
    short_entry,
    undefined_entry,
)
from rawdiff.raw.xmp import carry_packet

DNG, TIFF, JPEG = "image/dng", "image/tiff", "image/jpeg"

_MOST = 2.0**31
"""Exposures beyond it come from damaged tags, and fit no TIFF number."""


@dataclass(frozen=True)
class MakerNote:
    """The maker's note as stored: its bytes, the file's byte order ("II" or "MM") and where it began."""

    data: bytes
    order: bytes
    place: int

    @property
    def self_contained(self) -> bool:
        """True where no offset of the note leaves it or counts from the file's start."""
        return self.data.startswith(known.SELF_CONTAINED_NOTES)

    def private_data(self) -> bytes:
        """DNGPrivateData that keeps byte order and place, so that readers can follow the note's offsets.

        The layout is the one Adobe's converter writes and others read: name, record, length, order, place;
        its own numbers are big-endian.
        """
        record = self.order + struct.pack(">I", self.place) + self.data
        return b"Adobe\0MakN" + struct.pack(">I", len(record)) + record + b"\0" * (len(record) % 2)


@dataclass(frozen=True)
class Metadata:
    """A source's metadata as little-endian entries; empty where the source has none.

    Attributes:
        main: descriptive tags of the first directory.
        dng: camera, colour and profile tags of a DNG.
        raw: tags of a DNG's raw directory that hold for any rendition of its pixels.
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
    raw: dict[int, Entry] = field(default_factory=dict)
    exif: dict[int, Entry] = field(default_factory=dict)
    gps: dict[int, Entry] = field(default_factory=dict)
    xmp: bytes = b""
    iptc: bytes = b""
    maker_note: MakerNote | None = None
    private_data: bytes = b""
    safe_note: bool = False


def describe(
    root: Directory,
    kind: str,
    metadata: Metadata,
    tags: FrameTags | None,
    provenance: Mapping[str, object] | None = None,
) -> None:
    """Add what is known of the photograph to the first directory of a file of media type `kind`.

    What the source file lacks comes from `tags`; `provenance` goes into the XMP packet.
    """
    root.entries |= _main_entries(metadata, tags)
    packet = carry_packet(metadata.xmp, kind, provenance)
    if packet:
        root.entries[known.XMP] = byte_entry(packet)
    if metadata.iptc:
        # As 32-bit words filled up with zeros: the type that readers have expected since TIFF 6.
        words = -(-len(metadata.iptc) // 4)
        root.entries[known.IPTC] = Entry(LONG, words, metadata.iptc.ljust(4 * words, b"\0"))
    exif = _exif_entries(metadata, tags)
    if exif:
        root.children[known.EXIF_IFD] = [Directory(exif)]
    if metadata.gps:
        root.children[known.GPS_IFD] = [Directory(dict(metadata.gps))]
    if kind == DNG:
        root.entries |= _private_entries(metadata, moved=known.MAKER_NOTE in exif)


def _main_entries(metadata: Metadata, tags: FrameTags | None) -> dict[int, Entry]:
    entries = {tag: entry for tag, entry in metadata.main.items() if tag != known.ORIENTATION}
    if tags is not None:
        camera = tags.camera
        told = {known.MAKE: camera.make, known.MODEL: camera.model, known.DATE_TIME: _moment(tags)[0]}
        entries = {tag: ascii_entry(text) for tag, text in told.items() if text} | entries
    entries[known.SOFTWARE] = ascii_entry(f"rawdiff {version('rawdiff')}")
    return entries


def _exif_entries(metadata: Metadata, tags: FrameTags | None) -> dict[int, Entry]:
    """The Exif directory (Exif 2.32); empty where nothing is known."""
    told: dict[int, Entry] = {}
    if tags is not None:
        exposure, camera = tags.exposure, tags.camera
        if exposure.time_s and 0 < exposure.time_s < _MOST:
            told[33434] = rational_entry(exposure.time_s)
        if exposure.aperture and 0 < exposure.aperture < _MOST:
            told[33437] = rational_entry(exposure.aperture)
        if exposure.iso and 0 < exposure.iso < _MOST:
            told[34855] = short_entry(min(round(exposure.iso), 65535))
            if exposure.iso > 65535:
                # The 16-bit figure is full: Exif 2.3 keeps larger ones as RecommendedExposureIndex.
                told |= {34864: short_entry(2), 34866: long_entry(round(exposure.iso))}
        texts = dict(zip((36867, 37521, 36881), _moment(tags), strict=True))
        texts |= {42033: camera.serial or "", 42036: camera.lens or ""}
        told |= {tag: ascii_entry(text) for tag, text in texts.items() if text}
    entries = told | metadata.exif | _composite_entries(tags)
    note = metadata.maker_note
    if note is not None and (note.self_contained or metadata.safe_note):
        entries[known.MAKER_NOTE] = undefined_entry(note.data)
    return {36864: undefined_entry(b"0232")} | entries if entries else {}


def _composite_entries(tags: FrameTags | None) -> dict[int, Entry]:
    """CompositeImage, how many images went into it, and their exposure times (Exif 2.32, 4.6.7)."""
    merged = None if tags is None else tags.composite
    if merged is None:
        return {}
    taken, used = merged.taken_s, merged.used_s
    figures = (
        merged.period_s, sum(taken), sum(used), max(taken), max(used), min(taken), min(used),
    )  # fmt: skip
    times, sequence = (rational_entry(*values).data for values in (figures, taken))
    counts = short_entry(1, len(taken)).data
    return {
        42080: short_entry(2),
        42081: short_entry(len(taken), len(used)),
        42082: undefined_entry(times + counts + sequence),
    }


def _private_entries(metadata: Metadata, moved: bool) -> dict[int, Entry]:
    """DNGPrivateData: the source's own, or a maker's note that would not survive the move as it is."""
    entries = {known.MAKER_NOTE_SAFETY: short_entry(1)} if moved else {}
    data = metadata.private_data
    if not data and metadata.maker_note is not None and not moved:
        data = metadata.maker_note.private_data()
    return entries | ({known.PRIVATE_DATA: byte_entry(data)} if data else {})


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
