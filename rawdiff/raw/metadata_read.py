"""Metadata of a source file, wherever its kind keeps them: TIFF-like raws, JPEG, PNG, RAF, CR3."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Container, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from rawdiff.raw import jpeg_segments
from rawdiff.raw import metadata_tags as known
from rawdiff.raw.metadata import MakerNote, Metadata
from rawdiff.raw.tiff_read import TiffReader
from rawdiff.raw.tiff_tree import ASCII, Entry

_RAF_JPEG = 84
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
_CR3_TIFFS = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
_CR3_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_LARGEST_BOX = 1 << 25
_MOST_SUB_IFDS = 16
_RAW_KINDS = ((known.CFA,), (known.LINEAR_RAW,))


def read_metadata(path: str | Path) -> Metadata:
    """Read the metadata of a raw file (DNG, NEF, CR2, CR3, ARW, RAF, PEF, ORF...), a TIFF, JPEG or PNG.

    A file of another kind, or one whose metadata are damaged, gives what can be had, possibly nothing.

    Raises:
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as file:
        head = file.read(16)
        if head[:2] in (b"II", b"MM"):
            return _from_tiff(TiffReader(file))
        if head[:2] == b"\xff\xd8":
            return _from_jpeg(file, 0)
        if head.startswith(b"FUJIFILMCCD-RAW"):
            file.seek(_RAF_JPEG)
            pointer = file.read(4)
            return _from_jpeg(file, int.from_bytes(pointer, "big")) if len(pointer) == 4 else Metadata()
        if head.startswith(_PNG):
            return _from_png(file)
        if head[4:11] == b"ftypcrx":
            return _from_cr3(file)
    return Metadata()


def _from_tiff(reader: TiffReader) -> Metadata:
    main = reader.directory(reader.first)
    exif = reader.pointed(main, known.EXIF_IFD)
    merged = {tag: entry for tag, entry in main.items() if tag in known.TIFF_EP} | exif
    note = None
    if known.MAKER_NOTE in exif:
        place = reader.positions[int(main[known.EXIF_IFD].numbers()[0]), known.MAKER_NOTE]
        note = MakerNote(exif[known.MAKER_NOTE].data, reader.mark, place)
    safety = main.get(known.MAKER_NOTE_SAFETY)
    is_dng = known.DNG_VERSION in main
    return Metadata(
        main=_telling(main, known.DESCRIPTIVE),
        dng=_telling(main, known.DNG_KEPT) if is_dng else {},
        raw=_telling(_raw_directory(reader, main), known.RAW_KEPT) if is_dng else {},
        exif=_telling(merged, merged.keys() - known.EXIF_OF_PIXELS),
        gps=reader.pointed(main, known.GPS_IFD),
        xmp=main[known.XMP].data.rstrip(b"\0") if known.XMP in main else b"",
        iptc=main[known.IPTC].data if known.IPTC in main else b"",
        maker_note=note,
        private_data=main[known.PRIVATE_DATA].data if is_dng and known.PRIVATE_DATA in main else b"",
        safe_note=safety is not None and safety.numbers()[:1] == (1,),
    )


def _raw_directory(reader: TiffReader, main: dict[int, Entry]) -> dict[int, Entry]:
    """The first full-size raw directory: the first of the file, or one of its SubIFDs."""
    offsets = main[known.SUB_IFDS].numbers()[:_MOST_SUB_IFDS] if known.SUB_IFDS in main else ()
    for directory in (main, *(reader.directory(int(offset)) for offset in offsets)):
        photometric = directory.get(known.PHOTOMETRIC)
        kind = directory.get(known.SUBFILE_TYPE)
        is_full = kind is None or kind.numbers()[:1] == (0,)
        if photometric is not None and is_full and photometric.numbers()[:1] in _RAW_KINDS:
            return directory
    return {}


def _telling(entries: dict[int, Entry], wanted: Container[int]) -> dict[int, Entry]:
    """The wanted entries that say anything: blank text and exposures of 0, as some cameras leave, do not."""
    return {
        tag: entry
        for tag, entry in entries.items()
        if tag in wanted
        and not (entry.kind == ASCII and not entry.data.strip(b" \0"))
        and not (tag in known.EXPOSURE and not any(entry.numbers()))
    }


def _from_jpeg(file: BinaryIO, start: int) -> Metadata:
    found = Metadata()
    packets: list[bytes] = []
    for marker, data in jpeg_segments.walk_segments(file, start):
        if marker == 0xE1 and data.startswith(jpeg_segments.EXIF):
            found = _from_tiff(TiffReader(BytesIO(data[len(jpeg_segments.EXIF) :])))
        elif marker == 0xE1:
            packets.append(data)
        elif marker == 0xED and data.startswith(jpeg_segments.PHOTOSHOP):
            records = jpeg_segments.iptc_of_resources(data[len(jpeg_segments.PHOTOSHOP) :])
            found = dataclasses.replace(found, iptc=records or found.iptc)
    return dataclasses.replace(found, dng={}, raw={}, xmp=jpeg_segments.joined_xmp(packets) or found.xmp)


def _from_png(file: BinaryIO) -> Metadata:
    """PNG keeps its Exif in a chunk eXIf and its XMP in a chunk iTXt, not compressed."""
    found, xmp = Metadata(), b""
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if name == b"eXIf" and size <= _LARGEST_BOX:
            found = _from_tiff(TiffReader(BytesIO(file.read(size))))
        elif name == b"iTXt" and size <= _LARGEST_BOX:
            data = file.read(size)
            xmp = data[len(_PNG_XMP) :] if data.startswith(_PNG_XMP) else xmp
        else:
            file.seek(size, 1)
        file.seek(4, 1)
    return dataclasses.replace(found, dng={}, raw={}, xmp=xmp or found.xmp)


def _from_cr3(file: BinaryIO) -> Metadata:
    """CR3 keeps four small TIFFs in its `moov` box: first directory, Exif, maker's note, GPS."""
    file.seek(0, 2)
    end = file.tell()
    tiffs: dict[bytes, bytes] = {}
    xmp = b""
    for kind, start, stop in _boxes(file, 0, end):
        if kind == b"moov":
            for inner, begin, until in _boxes(file, start, stop):
                if inner == _CR3_TIFFS:
                    tiffs = {n: _content(file, a, b) for n, a, b in _boxes(file, begin, until)}
        elif kind == _CR3_XMP:
            xmp = _content(file, start, stop)
    parts = {}
    for name in (b"CMT1", b"CMT2", b"CMT4"):
        reader = TiffReader(BytesIO(tiffs.get(name, b"")))
        parts[name] = reader.directory(reader.first)
    exif = parts[b"CMT2"]
    return Metadata(
        main=_telling(parts[b"CMT1"], known.DESCRIPTIVE),
        exif=_telling(exif, exif.keys() - known.EXIF_OF_PIXELS),
        gps=parts[b"CMT4"],
        xmp=xmp.rstrip(b"\0"),
    )


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, first byte, end) of the ISO base media boxes in a range; a uuid box's kind is its uuid."""
    while start + 8 <= stop:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
            head = 16
        elif size == 0:
            size = stop - start
        if kind == b"uuid":
            kind = file.read(16)
            head += 16
        if size < head or start + size > stop:
            return
        yield kind, start + head, start + size
        start += size


def _content(file: BinaryIO, start: int, stop: int) -> bytes:
    file.seek(start)
    return file.read(min(stop - start, _LARGEST_BOX))
