from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile

from rawdiff.raw import jpeg_segments
from rawdiff.raw.dng import write_cfa_dng, write_linear_dng
from rawdiff.raw.frame import Camera, Exposure, FrameTags, Levels
from rawdiff.raw.metadata import DNG, JPEG, MakerNote, describe
from rawdiff.raw.metadata_read import read_metadata
from rawdiff.raw.pictures import write_jpeg, write_tiff16
from rawdiff.raw.tiff_read import TiffReader
from rawdiff.raw.tiff_tree import (
    Directory,
    Entry,
    ascii_entry,
    byte_entry,
    rational_entry,
    short_entry,
    undefined_entry,
    write_tree,
)
from rawdiff.raw.xmp import carry_packet, read_provenance

Exiftool = Callable[..., list[dict[str, object]]]

XMP = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" crs:Exposure2012="+1.50" xmp:Rating="4" tiff:Orientation="6">
 <dc:creator><rdf:Seq><rdf:li>J\xc3\xbcrgen &amp; Co</rdf:li></rdf:Seq></dc:creator>
 <crs:ToneCurve><rdf:Seq><rdf:li>0, 0</rdf:li></rdf:Seq></crs:ToneCurve>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
IPTC = b"\x1c\x02\x78\x00\x07caption" + b"\x1c\x02\x50\x00\x06byline"
# A Nikon note is a small TIFF of its own; here with MakerNoteVersion alone.
NIKON = b"Nikon\0\x02\x11\0\0II*\0" + struct.pack("<IHHHI4sI", 8, 1, 1, 7, 4, b"0211", 0)
MAIN = {270: ascii_entry("a night"), 315: ascii_entry("J. D."), 33432: ascii_entry("(c) J. D.")}
EXIF = {
    33434: Entry(5, 1, struct.pack("<II", 13, 10)), 33437: rational_entry(1.4), 34855: short_entry(12800),
    36864: undefined_entry(b"0230"), 36867: ascii_entry("2023:12:31 23:59:59"),
    37380: rational_entry(-1 / 3, signed=True), 37386: rational_entry(35),
    37510: undefined_entry(b"ASCII\0\0\0hi"),
    42034: rational_entry(35, 35, 1.4, 1.4), 42036: ascii_entry("35mm F1.4"),
}  # fmt: skip
GPS = {
    0: byte_entry((2, 3, 0, 0)), 1: ascii_entry("N"), 2: rational_entry(52, 30, 12.5),
    3: ascii_entry("E"), 4: rational_entry(13, 22, 0), 5: byte_entry((0,)), 6: rational_entry(34.5),
    27: undefined_entry(b"ASCII\0\0\0GPS"),
}  # fmt: skip


@pytest.fixture
def exiftool() -> Exiftool:
    """What exiftool says about files, one dictionary each, keys as `group:name`; skips where it is absent."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")

    def ask(*arguments: str) -> list[dict[str, object]]:
        command = ["exiftool", "-json", "-G1", "-struct", "-n", *arguments]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120)
        found = json.loads(done.stdout)
        assert isinstance(found, list)
        return found

    return ask


def write_source(path: Path, note: bytes = NIKON, dng: bool = True) -> Path:
    """A small raw that carries everything a photograph can."""
    exif = Directory(EXIF | {37500: undefined_entry(note), 40962: short_entry(4000)})
    main = MAIN | {271: ascii_entry("NIKON"), 272: ascii_entry("D780"), 274: short_entry(8)}
    main |= {306: ascii_entry("2024:01:01 00:00:00"), 700: byte_entry(XMP), 33723: undefined_entry(IPTC)}
    if dng:
        main |= {50706: byte_entry((1, 4, 0, 0)), 50732: rational_entry(1.25), 50936: ascii_entry("Flat")}
        main |= {51125: rational_entry(0.1, 0, 0.9, 1), 262: short_entry(32803)}
        main |= {50972: byte_entry(bytes(16)), 51041: undefined_entry(bytes(16))}
    with path.open("wb") as file:
        write_tree(file, Directory(main, children={34665: [exif], 34853: [Directory(GPS)]}))
    return path


def write_outputs(folder: Path, source: Path, tags: FrameTags | None = None) -> dict[str, Path]:
    tags = tags or FrameTags(camera=Camera("NIKON", "D780", "Nikon D780"), orientation=8)
    paths = {name: folder / name for name in ("cfa.dng", "linear.dng", "out.jpg", "out.tif")}
    levels = Levels(np.zeros((2, 2)), np.full((2, 2), 65535.0))
    preview = np.zeros((8, 8, 3), np.uint8)
    both = {"source_file": source, "provenance": {"recipe": "wavelet-shrink"}}
    mosaic = np.ones((8, 8), np.uint16)
    write_cfa_dng(paths["cfa.dng"], mosaic, levels=levels, phase="RGGB", tags=tags, preview=preview, **both)
    write_linear_dng(paths["linear.dng"], np.ones((3, 8, 8), np.float32), tags, preview=preview, **both)
    write_jpeg(paths["out.jpg"], np.ones((8, 8, 3), np.uint8), tags=tags, **both)
    write_tiff16(paths["out.tif"], np.ones((8, 8, 3), np.uint16), tags=tags, **both)
    return paths


def test_every_tag_reaches_every_output(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.dng")
    for name, path in write_outputs(tmp_path, source).items():
        found = read_metadata(path)
        kept = {tag: entry for tag, entry in found.exif.items() if tag in EXIF}
        assert kept == EXIF, name
        assert found.gps == GPS, name
        assert found.iptc.rstrip(b"\0") == IPTC, name
        assert {tag: found.main[tag] for tag in MAIN} == MAIN, name
        assert found.main[306].text() == "2024:01:01 00:00:00", name
        assert found.maker_note is not None and found.maker_note.data == NIKON, name
        assert "Jürgen &amp; Co".encode() in found.xmp, name
        assert b'xmp:Rating="4"' in found.xmp, name
        assert json.loads(read_provenance(found.xmp) or "") == {"recipe": "wavelet-shrink"}, name


def test_dng_keeps_the_profile_and_drops_what_is_stale(tmp_path: Path) -> None:
    paths = write_outputs(tmp_path, write_source(tmp_path / "source.dng"))
    for name in ("cfa.dng", "linear.dng"):
        with tifffile.TiffFile(paths[name]) as tiff:
            tags = tiff.pages[0].tags
            assert tags[50732].value == (5, 4) and tags[50936].value == "Flat"
            assert tags[50827].value == "source.dng"
            assert tags[274].value == 8
            assert tags[50741].value == 1
            assert 50972 not in tags and 51041 not in tags
            assert tiff.pages[0].pages[0].tags[51125].value == (1, 10, 0, 1, 9, 10, 1, 1)
        assert b"crs:Exposure2012" in read_metadata(paths[name]).xmp


def test_finished_pictures_are_free_of_raw_settings(tmp_path: Path) -> None:
    """A developer that found them would apply them to the finished pixels once more."""
    paths = write_outputs(tmp_path, write_source(tmp_path / "source.dng"))
    for name in ("out.jpg", "out.tif"):
        found = read_metadata(paths[name])
        assert b"Exposure2012" not in found.xmp and b"ToneCurve" not in found.xmp
        assert b"tiff:Orientation" not in found.xmp
        assert found.main[274].numbers() == (1,)
        assert not found.dng


def test_a_note_that_would_break_goes_with_its_place(tmp_path: Path) -> None:
    note = b"Canon-like note whose offsets count from the file's start"
    source = write_source(tmp_path / "source.cr2", note, dng=False)
    stored = read_metadata(source).maker_note
    assert stored is not None and not stored.self_contained
    assert source.read_bytes()[stored.place :].startswith(note)
    for name, path in write_outputs(tmp_path, source).items():
        found = read_metadata(path)
        assert found.maker_note is None, name
        assert found.private_data == (stored.private_data() if name.endswith("dng") else b""), name


def test_private_data_of_a_dng_goes_first(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.dng", b"not self-contained")
    first = write_outputs(tmp_path, source)["cfa.dng"]
    (tmp_path / "again").mkdir()
    second = write_outputs(tmp_path / "again", first)["cfa.dng"]
    assert read_metadata(second).private_data == read_metadata(first).private_data != b""


def test_what_the_source_lacks_comes_from_the_frame(tmp_path: Path) -> None:
    source = tmp_path / "dump.raw"
    source.write_bytes(bytes(100))
    tags = FrameTags(
        camera=Camera("Maker", "Model", serial="77"),
        exposure=Exposure(1 / 60, 4.0, 102400, "2024-05-06T07:08:09Z"),
    )
    for name, path in write_outputs(tmp_path, source, tags).items():
        found = read_metadata(path)
        assert found.main[271].text() == "Maker", name
        assert found.exif[33434].numbers() == (1 / 60,), name
        assert found.exif[34855].numbers() == (65535,) and found.exif[34866].numbers() == (102400,), name
        assert found.exif[36867].text() == "2024:05:06 07:08:09", name
        assert found.exif[36881].text() == "+00:00", name
        assert found.exif[42033].text() == "77", name


def test_the_source_goes_before_the_frame(tmp_path: Path) -> None:
    """The file's own fraction of the exposure time survives, though the frame holds a rounded float."""
    source = write_source(tmp_path / "source.dng")
    paths = write_outputs(tmp_path, source, FrameTags(exposure=Exposure(1.29999, 1.4, 12800)))
    assert read_metadata(paths["cfa.dng"]).exif[33434] == EXIF[33434]


def test_what_says_nothing_is_left_behind(tmp_path: Path) -> None:
    with (tmp_path / "a.dng").open("wb") as file:
        exif = {
            33434: rational_entry(0),
            34855: short_entry(0),
            36867: ascii_entry("   "),
            37386: rational_entry(0),
        }
        write_tree(file, Directory({306: ascii_entry("")}, children={34665: [Directory(exif)]}))
    found = read_metadata(tmp_path / "a.dng")
    assert not found.main and set(found.exif) == {37386}


def test_both_byte_orders_read_the_same(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4), np.uint16)
    extra = [
        (33434, 5, 1, (13, 10), True), (34855, 3, 1, 800, True), (37380, 10, 1, (-1, 3), True),
        (33432, 2, None, "(c)", True), (37121, 7, 4, b"\1\2\3\0", True), (41486, 12, 1, 2.5, True),
    ]  # fmt: skip
    found = []
    for order in "<>":
        path = tmp_path / f"{order == '<'}.tif"
        tifffile.imwrite(path, pixels, byteorder=order, extratags=extra, metadata=None)
        found.append(read_metadata(path))
    assert found[0] == found[1]
    assert found[0].exif[33434].numbers() == (1.3,)
    assert found[0].exif[41486].numbers() == (2.5,)
    assert 37121 not in found[0].exif


def test_raf_and_cr3_are_read_where_they_keep_their_metadata(tmp_path: Path) -> None:
    write_source(tmp_path / "source.dng")
    jpeg = tmp_path / "inner.jpg"
    write_jpeg(jpeg, np.zeros((8, 8, 3), np.uint8), source_file=tmp_path / "source.dng")
    raf = b"FUJIFILMCCD-RAW ".ljust(84, b"\0") + struct.pack(">II", 200, jpeg.stat().st_size)
    (tmp_path / "a.raf").write_bytes(raf.ljust(200, b"\0") + jpeg.read_bytes())
    assert read_metadata(tmp_path / "a.raf") == read_metadata(jpeg)

    def tree(entries: dict[int, Entry]) -> bytes:
        buffer = BytesIO()
        write_tree(buffer, Directory(entries))
        return buffer.getvalue()

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    packet = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    tiffs = box(b"CMT1", tree(MAIN)) + box(b"CMT2", tree(EXIF)) + box(b"CMT4", tree(GPS))
    cr3 = box(b"ftyp", b"crx \0\0\0\1") + box(b"moov", box(b"uuid", canon + tiffs))
    (tmp_path / "a.cr3").write_bytes(cr3 + box(b"uuid", packet + XMP) + box(b"mdat", bytes(9)))
    found = read_metadata(tmp_path / "a.cr3")
    assert (found.main, found.exif, found.gps, found.xmp) == (MAIN, EXIF, GPS, XMP)


@pytest.mark.parametrize("name", ["source.dng", "source.jpg", "source.cr3", "source.raf"])
def test_damaged_metadata_never_stop_a_photograph(tmp_path: Path, name: str) -> None:
    """Bit flips and truncations give what can be had; what is had can always be written again."""
    write_source(tmp_path / "source.dng")
    write_jpeg(tmp_path / "source.jpg", np.zeros((8, 8, 3), np.uint8), source_file=tmp_path / "source.dng")
    test_raf_and_cr3_are_read_where_they_keep_their_metadata(tmp_path)
    (tmp_path / "a.raf").rename(tmp_path / "source.raf")
    (tmp_path / "a.cr3").rename(tmp_path / "source.cr3")
    whole = (tmp_path / name).read_bytes()
    random = np.random.default_rng(7)
    broken = tmp_path / "broken"
    for _ in range(150):
        data = bytearray(whole[: random.integers(0, len(whole))] if random.random() < 0.3 else whole)
        for place in random.integers(0, min(len(data), 1500) or 1, 6):
            if data:
                data[place] = random.integers(0, 256)
        broken.write_bytes(data)
        for kind in (DNG, JPEG):
            root = Directory()
            describe(root, kind, read_metadata(broken), None, {"seed": 7})
            assert jpeg_segments.exif_segment(root).startswith(b"\xff\xe1")


def test_a_directory_that_points_to_itself_ends(tmp_path: Path) -> None:
    data = struct.pack("<2sHIH", b"II", 42, 8, 2) + struct.pack("<HHII", 34665, 4, 1, 8)
    data += struct.pack("<HHII", 330, 4, 2**31, 8) + bytes(4)
    reader = TiffReader(BytesIO(data))
    main = reader.directory(reader.first)
    assert set(main) == {34665}
    assert reader.pointed(main, 34665) == main


def test_xmp_that_is_no_xmp_is_left_behind() -> None:
    bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]>" + XMP
    for packet in (b"", b"junk", XMP[:-200], bomb, b"<a/>"):
        assert carry_packet(packet, "image/jpeg") == b""
        assert read_provenance(carry_packet(packet, "image/jpeg", {"a": 1})) == '{"a": 1}'
    twice = carry_packet(carry_packet(XMP, "image/dng", {"a": 1}), "image/jpeg", {"b": 2})
    assert twice.count(b"Provenance=") == 1 and read_provenance(twice) == '{"b": 2}'
    padded = XMP.replace(b'<?xpacket end="w"?>', b" " * 2000 + b'\n<?xpacket end="w"?>\0')
    assert b"creator" in carry_packet(padded, "image/jpeg")


def test_a_long_packet_goes_as_extended_xmp(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.dng")
    provenance = {"notes": ["long " * 20] * 1500}
    write_jpeg(tmp_path / "a.jpg", np.zeros((8, 8, 3), np.uint8), source_file=source, provenance=provenance)
    assert (tmp_path / "a.jpg").stat().st_size > 150_000
    packet = read_metadata(tmp_path / "a.jpg").xmp
    assert json.loads(read_provenance(packet) or "") == provenance
    assert b"creator" in packet


def test_exif_too_large_for_a_jpeg_loses_its_largest_value_only(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source.dng", b"Nikon\0\x02" + bytes(70_000))
    write_jpeg(tmp_path / "a.jpg", np.zeros((8, 8, 3), np.uint8), source_file=source)
    found = read_metadata(tmp_path / "a.jpg")
    assert found.maker_note is None
    assert {tag: entry for tag, entry in found.exif.items() if tag in EXIF} == EXIF


def test_iptc_is_found_among_other_resources() -> None:
    other = b"8BIM" + struct.pack(">H", 1005) + b"\x03abc" + struct.pack(">I", 3) + b"xyz\0"
    block = b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(IPTC)) + IPTC
    assert jpeg_segments.iptc_of_resources(other + block) == IPTC
    assert jpeg_segments.iptc_of_resources(other) == b""


def test_exiftool_finds_nothing_wrong(tmp_path: Path, exiftool: Exiftool) -> None:
    paths = write_outputs(tmp_path, write_source(tmp_path / "source.dng"))
    for name, path in paths.items():
        (found,) = exiftool("-validate", "-warning", "-error", "-a", str(path))
        if name == "out.tif":
            # Deflate is no baseline TIFF 6 compression; every reader of 16-bit files knows it.
            assert found.pop("ExifTool:Warning") == "Invalid value for IFD0 tag 0x0103 Compression"
            assert found["ExifTool:Validate"] == "0 1 0"
        else:
            assert found["ExifTool:Validate"] == "0 0 0", (name, found)


def test_exiftool_reads_a_moved_canon_note(tmp_path: Path, exiftool: Exiftool) -> None:
    """Canon's note points to values by offsets from the file's start: in DNGPrivateData they are followed."""
    source = tmp_path / "source.cr2"

    def note_at(place: int) -> bytes:
        value = b"Canon EOS R5 Mark IV\0"
        entry = struct.pack("<HHHII", 1, 6, 2, len(value), place + 18)
        return entry + struct.pack("<I", 0) + value

    write_source(source, note_at(0), dng=False)
    stored = read_metadata(source).maker_note
    assert stored is not None
    data = source.read_bytes().replace(note_at(0), note_at(stored.place))
    source.write_bytes(data.replace(b"NIKON\0", b"Canon\0"))
    paths = write_outputs(tmp_path, source, FrameTags(camera=Camera("Canon", "EOS R5")))
    for found in exiftool("-Canon:all", str(source), str(paths["cfa.dng"])):
        assert found["Canon:CanonImageType"] == "Canon EOS R5 Mark IV", found


def test_private_data_states_the_place_big_endian() -> None:
    for order in (b"II", b"MM"):
        data = MakerNote(b"xyz", order, 258).private_data()
        assert data == b"Adobe\0MakN" + b"\0\0\0\x09" + order + b"\0\0\x01\x02xyz" + b"\0"
