"""Raws that are no DNG: LibRaw's facts become a frame; what is no Bayer mosaic is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rawdiff.errors import DamagedFileError, UnsupportedRawError
from rawdiff.raw.frame import Camera, Exposure, FrameTags, Source
from rawdiff.raw.ingest import read_raw
from rawdiff.raw.ingest_checks import recognise
from rawdiff.raw.ingest_vendor import build_vendor_frame, read_vendor_tags
from rawdiff.raw.tiff_tree import Directory, ascii_entry, rational_entry, short_entry, write_tree

SOURCE = Source(Path("photo.nef"), "", "Nikon NEF", "libraw")


def facts(corner: list[list[int]], **changes: Any) -> dict[str, Any]:
    """What the decoder child says of a 12x16 raw image whose visible area begins at (1, 2)."""
    block = np.tile(corner, (4, 4))
    return {
        "margins": [1, 2, 10, 13],
        "flip": 6,
        "pattern": [[0, 1], [3, 2]],
        "colors": block.tolist(),
        "color_names": "RGBG",
        "black": [10.0, 11.0, 12.0, 13.0],
        "white": 4000.0,
        "white_balance": [2.0, 1.0, 1.6, 0.0],
        "matrix": [[0.9, -0.3, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6], [0, 0, 0]],
        "iso": 800.0,
        "time_s": 0.01,
        "aperture": 4.0,
        "captured_at": "2020-01-01T00:00:00",
        "lens": "50mm",
        **changes,
    }


PIXELS = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16)


@pytest.mark.parametrize(
    ("corner", "phase", "black"),
    [
        ([[0, 1], [3, 2]], "RGGB", [[10, 11], [13, 12]]),
        ([[1, 0], [2, 3]], "GRBG", [[11, 10], [12, 13]]),
        ([[3, 2], [0, 1]], "GBRG", [[13, 12], [10, 11]]),
        ([[2, 3], [1, 0]], "BGGR", [[12, 13], [11, 10]]),
    ],
)
def test_phase_levels_and_the_visible_area(
    corner: list[list[int]], phase: str, black: list[list[int]]
) -> None:
    frame = build_vendor_frame(PIXELS, facts(corner), None, SOURCE)
    assert frame.phase == phase
    assert np.array_equal(frame.mosaic_dn, PIXELS[1:11, 2:14])  # the 13th column has no whole cell
    assert frame.levels.black_dn.tolist() == black
    assert np.all(frame.levels.white_dn == 4000)


def test_the_file_counts_before_the_decoder_but_for_colour() -> None:
    own = FrameTags(camera=Camera("Nikon", "D70", "D70"), exposure=Exposure(0.02, None, 200.0, None))
    tags = build_vendor_frame(PIXELS, facts([[0, 1], [3, 2]]), own, SOURCE).tags
    assert tags.exposure == Exposure(0.02, 4.0, 200.0, "2020-01-01T00:00:00")
    assert tags.camera == Camera("Nikon", "D70", "D70", lens="50mm")
    assert tags.orientation == 6
    assert tags.color.origin == "the decoder's camera table" and tags.color.illuminants == (21,)
    assert tags.color.as_shot_neutral is not None
    np.testing.assert_allclose(tags.color.as_shot_neutral, [0.5, 1, 0.625])


def test_what_the_decoder_does_not_know_stays_unknown() -> None:
    unknown = {"time_s": 0.0, "aperture": float("inf"), "iso": float("nan"), "captured_at": None, "lens": ""}
    blank = {"white_balance": [1.0] * 4, "matrix": np.zeros((4, 3)).tolist(), "flip": 77}
    tags = build_vendor_frame(PIXELS, facts([[0, 1], [3, 2]], **unknown, **blank), None, SOURCE).tags
    assert tags.exposure == Exposure() and tags.camera == Camera() and tags.orientation == 1
    assert tags.color.color_matrices == () and tags.color.as_shot_neutral is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pattern": None}, "several colours at every pixel"),
        ({"pattern": np.ones((6, 6)).tolist()}, "X-Trans"),
        ({"pattern": np.ones((4, 4)).tolist()}, "Quad-Bayer"),
        ({"colors": np.kron([[0, 1], [3, 2]], np.ones((2, 2), int)).tolist()}, "Quad-Bayer"),
        ({"color_names": "GMCY"}, "colours GMYC"),
    ],
)
def test_what_is_no_bayer_mosaic_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedRawError, match=words):
        build_vendor_frame(PIXELS, facts([[0, 1], [3, 2]], **changes), None, SOURCE)


@pytest.mark.parametrize("changes", [{"margins": [1, 2, 12, 13]}, {"white": 5.0}, {"margins": [0, 0, 1, 1]}])
def test_figures_that_contradict_each_other(changes: dict[str, Any]) -> None:
    with pytest.raises(DamagedFileError):
        build_vendor_frame(PIXELS, facts([[0, 1], [3, 2]], **changes), None, SOURCE)


def write_exif(path: Path, head: bytes = b"", tail: bytes = b"", **exif: Any) -> None:
    codes = {
        "iso": 34855,
        "rei": 34866,
        "tv": 37377,
        "av": 37378,
        "date": 36867,
        "part": 37521,
        "zone": 36881,
    }
    inner = Directory({codes[name]: entry for name, entry in exif.items()})
    with path.open("wb") as file:
        outer = {271: ascii_entry("NIKON CORPORATION"), 272: ascii_entry("NIKON D1")}
        write_tree(file, Directory(outer, {34665: [inner]}))
    path.write_bytes(head + path.read_bytes() + tail)


EXIF = {
    "iso": short_entry(65535),
    "rei": short_entry(51200),
    "tv": rational_entry(5, signed=True),
    "av": rational_entry(3),
    "date": ascii_entry("2021:02:03 04:05:06"),
    "part": ascii_entry("789"),
    "zone": ascii_entry("+01:00"),
}


@pytest.mark.parametrize(
    ("container", "head"),
    [
        ("tiff", b""),
        ("raf", b"FUJIFILMCCD-RAW 0201".ljust(200) + b"\xff\xd8\xff\xe1\0\0Exif\0\0"),
    ],
)
def test_exif_of_apex_values_wide_iso_and_fractions(tmp_path: Path, container: Any, head: bytes) -> None:
    path = tmp_path / "photo"
    write_exif(path, head, **EXIF)
    tags = read_vendor_tags(path, container)
    assert tags is not None
    assert tags.camera.unique == "NIKON D1"
    assert tags.exposure.time_s == pytest.approx(1 / 32)
    assert tags.exposure.aperture == pytest.approx(2**1.5)
    assert tags.exposure.iso == 51200
    assert tags.exposure.captured_at == "2021-02-03T04:05:06.789+01:00"


def test_a_tiff_that_is_no_raw_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    write_exif(path, **EXIF)
    with pytest.raises(UnsupportedRawError, match="no raw format"):
        read_raw(path)


@pytest.mark.parametrize(
    ("header", "container"),
    [
        (b"II*\0", "tiff"),
        (b"MM\0*", "tiff"),
        (b"IIU\0", "tiff"),
        (b"IIRO", "tiff"),
        (b"FUJIFILMCCD-RAW ", "raf"),
        (b"\0\0\0\x18ftypcrx ", "cr3"),
        (b"II\x1a\0\0\0HEAPCCDR", "other raw"),
        (b"\0MRM", "other raw"),
        (b"\1\2\3\4", "unknown"),
    ],
)
def test_containers_are_known_by_their_first_bytes(header: bytes, container: str) -> None:
    assert recognise(Path("photo"), header.ljust(64, b"\0")) == container
