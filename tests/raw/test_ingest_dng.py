"""DNGs of every kind that the reader takes, and the laws their levels obey."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rawpy
import tifffile
from numpy.typing import NDArray

from rawdiff.errors import DamagedFileError, UnsupportedRawError
from rawdiff.raw.frame import LinearFrame, RawFrame, plane_sites
from rawdiff.raw.ingest import read_raw, read_tags
from rawdiff.raw.tiff_tree import (
    Entry,
    ascii_entry,
    byte_entry,
    double_entry,
    long_entry,
    rational_entry,
    short_entry,
)

MakeDng = Callable[..., Path]


def random_mosaic(height: int, width: int, bits: int = 14, seed: int = 0) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(height), np.arange(width)) * (2**bits // (2 * (height + width)))
    return (ramp + rng.integers(0, 2 ** (bits - 2), (height, width))).astype(np.uint16)


def read_mosaic(path: Path) -> RawFrame:
    frame = read_raw(path)
    assert isinstance(frame, RawFrame)
    return frame


@pytest.mark.parametrize("phase", ["RGGB", "GRBG", "GBRG", "BGGR"])
@pytest.mark.parametrize("corner", [(0, 0), (3, 2), (1, 5)])
def test_the_pattern_counts_from_the_active_area(
    make_dng: MakeDng, phase: str, corner: tuple[int, int]
) -> None:
    image = random_mosaic(25, 35)
    top, left = corner
    path = make_dng(image, phase, {50829: long_entry(top, left, 25, 35)})
    frame = read_mosaic(path)
    height, width = (25 - top) // 2 * 2, (35 - left) // 2 * 2
    assert frame.shape == (height, width) == read_tags(path)[1]
    assert frame.phase == phase
    assert np.array_equal(frame.mosaic_dn, image[top : top + height, left : left + width])
    assert plane_sites(frame.phase)[0] == divmod(phase.index("R"), 2)


@pytest.mark.parametrize(
    ("compression", "bits"), [(1, 8), (1, 10), (1, 12), (1, 14), (1, 16), (7, 16), (8, 16), (52546, 16)]
)
def test_every_compression_gives_the_stored_values(make_dng: MakeDng, compression: int, bits: int) -> None:
    image = random_mosaic(24, 36, min(bits, 14))  # LibRaw takes nothing smaller than 22 pixels
    stored = image.astype(np.uint8) if bits == 8 else image
    frame = read_mosaic(make_dng(stored, compression=compression, bits=bits))
    assert np.array_equal(frame.mosaic_dn, stored)
    assert np.array_equal(frame.levels.white_dn, np.full((2, 2), 2.0**bits - 1))
    assert frame.source.decoder == ("libraw" if compression == 7 else "tifffile")


@pytest.mark.parametrize("compression", [1, 7])
@pytest.mark.parametrize("table", [False, True])
def test_libraw_agrees_with_the_stored_values(make_dng: MakeDng, compression: int, table: bool) -> None:
    """LibRaw subtracts nothing on unpacking and applies exactly the linearisation table."""
    image = random_mosaic(24, 36, 12)
    curve = (np.arange(4096) ** 2 // 300).astype(np.uint16)
    tags: dict[int, Entry] = {50714: long_entry(100), 50717: long_entry(16000)}
    if table:
        tags[50712] = short_entry(*curve.tolist())
    path = make_dng(image, tags=tags, compression=compression)
    expected = curve[image] if table else image
    assert np.array_equal(read_mosaic(path).mosaic_dn, expected)
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image, expected)


def test_a_table_holds_its_last_entry_beyond_its_end(make_dng: MakeDng) -> None:
    image = random_mosaic(8, 8, 12)
    curve = np.arange(1000, dtype=np.uint16) * 3
    frame = read_mosaic(make_dng(image, tags={50712: short_entry(*curve.tolist())}))
    assert np.array_equal(frame.mosaic_dn, curve[np.minimum(image, 999)])


@pytest.mark.parametrize("compression", [1, 7, 8, 52546])
def test_linear_raw_in_three_planes(make_dng: MakeDng, compression: int) -> None:
    rng = np.random.default_rng(4)
    image = rng.integers(0, 60000, (25, 31, 3)).astype(np.uint16)
    tags = {50714: rational_entry(100.5, 101.25, 99), 50717: long_entry(60000, 61000, 62000)}
    frame = read_raw(make_dng(image, tags=tags, compression=compression))
    assert isinstance(frame, LinearFrame)
    assert np.array_equal(frame.rgb_dn, image.transpose(2, 0, 1))
    assert frame.black_dn.tolist() == [100.5, 101.25, 99.0]
    assert frame.white_dn.tolist() == [60000, 61000, 62000]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_floating_point_has_white_at_one(make_dng: MakeDng, dtype: str) -> None:
    image = np.random.default_rng(5).normal(0.2, 0.3, (8, 10)).astype(dtype)
    frame = read_mosaic(make_dng(image, compression=8))
    assert np.array_equal(frame.mosaic_dn, image)
    assert frame.mosaic_dn.min() < 0
    assert np.array_equal(frame.levels.white_dn, np.ones((2, 2)))
    image[3, 3] = np.nan
    with pytest.raises(DamagedFileError, match="no numbers"):
        read_raw(make_dng(image, compression=8))


@pytest.mark.parametrize("repeat", [(1, 1), (2, 2), (1, 2), (4, 4), (3, 5)])
def test_light_is_the_stored_value_less_the_whole_black_model(
    make_dng: MakeDng, repeat: tuple[int, int]
) -> None:
    """mosaic - levels = stored - (pattern + DeltaH + DeltaV), whatever is folded where."""
    image = random_mosaic(12, 21)
    rng = np.random.default_rng(6)
    pattern = rng.integers(4000, 8000, repeat) / 64
    delta_h, delta_v = rng.integers(-99, 99, 16) / 32, rng.integers(-99, 99, 11) / 32
    tags = {
        50829: long_entry(1, 5, 12, 21),
        50713: short_entry(*repeat),
        50714: rational_entry(*pattern.ravel().tolist()),
        50715: rational_entry(*delta_h.tolist(), signed=True),
        50716: rational_entry(*delta_v.tolist(), signed=True),
        50717: long_entry(16000),
    }
    frame = read_mosaic(make_dng(image, tags=tags))
    rows, columns = np.arange(10), np.arange(16)
    black = pattern[np.ix_(rows % repeat[0], columns % repeat[1])] + delta_h[None, :] + delta_v[:10, None]
    light = frame.mosaic_dn - frame.levels.black_dn[np.ix_(rows % 2, columns % 2)]
    # Two float32 subtractions from numbers below 2^14: at most 2^-11 each.
    np.testing.assert_allclose(light, image[1:11, 5:21] - black, atol=2 * 2.0**-11)


def test_fractional_black_of_one_cell_leaves_the_mosaic_untouched(make_dng: MakeDng) -> None:
    image = random_mosaic(8, 8)
    tags = {50713: short_entry(2, 2), 50714: rational_entry(64.25, 65.5, 66.75, 67)}
    frame = read_mosaic(make_dng(image, tags=tags))
    assert np.array_equal(frame.mosaic_dn, image)
    assert frame.levels.black_dn.tolist() == [[64.25, 65.5], [66.75, 67.0]]


def test_masked_areas_come_as_stored(make_dng: MakeDng) -> None:
    image = random_mosaic(12, 16)
    tags = {50829: long_entry(2, 4, 12, 16), 50830: long_entry(0, 0, 12, 4, 0, 4, 2, 16)}
    frame = read_mosaic(make_dng(image, tags=tags))
    assert [area.shape for area in frame.masked_dn] == [(12, 4), (2, 12)]
    assert np.array_equal(frame.masked_dn[0], image[:, :4])


def test_interleaved_fields_are_undone(make_dng: MakeDng) -> None:
    image = random_mosaic(11, 14)
    fields = np.concatenate([image[0::2], image[1::2]])
    fields = np.concatenate([fields[:, 0::2], fields[:, 1::2]], axis=1)
    path = make_dng(fields, tags={50975: long_entry(2), 52547: long_entry(2)}, compression=52546)
    assert np.array_equal(read_mosaic(path).mosaic_dn, image[:10])


def test_planes_stored_one_after_another(tmp_path: Path) -> None:
    image = np.random.default_rng(10).integers(0, 60000, (3, 20, 30)).astype(np.uint16)
    path = tmp_path / "planes.dng"
    tags = [(50706, 1, 4, b"\1\4\0\0", True)]
    written = {"photometric": 34892, "planarconfig": "separate", "extratags": tags, "metadata": None}
    tifffile.imwrite(path, image, rowsperstrip=6, **written)
    frame = read_raw(path)
    assert isinstance(frame, LinearFrame)
    assert np.array_equal(frame.rgb_dn, image)


def test_tags_of_the_photograph(make_dng: MakeDng) -> None:
    tags = {
        274: short_entry(6),
        306: ascii_entry("2024:05:06 07:08:09"),
        33434: rational_entry(0.25),
        33437: rational_entry(2.8),
        34855: short_entry(3200),
        50719: rational_entry(2, 4),
        50720: rational_entry(6, 8),
        50730: rational_entry(-0.75, signed=True),
        50731: rational_entry(1.5),
        50735: ascii_entry("SN42"),
        50778: short_entry(17),
        50935: rational_entry(0.5),
        51041: double_entry(1e-4, 1e-8),
    }
    frame = read_mosaic(make_dng(random_mosaic(16, 20), tags=tags))
    said = frame.tags
    assert (said.exposure.time_s, said.exposure.aperture, said.exposure.iso) == (0.25, 2.8, 3200)
    assert said.exposure.captured_at == "2024-05-06T07:08:09"
    assert said.orientation == 6
    assert said.default_crop == (4, 2, 12, 8)
    assert said.color.baseline_exposure_ev == -0.75
    assert said.color.illuminants == (17,)
    assert said.color.as_shot_neutral is not None
    np.testing.assert_allclose(said.color.as_shot_neutral, [0.5, 1, 0.6])
    assert said.noise_profile == ((1e-4, 1e-8),)
    assert (said.baseline_noise, said.noise_reduction_applied) == (1.5, 0.5)
    assert said.camera.unique == "Maker Model One" and said.camera.serial == "SN42"
    assert frame.source.kind == "CFA DNG 1.4" and len(frame.source.sha256) == 64


REFUSALS: list[tuple[dict[int, Entry], str]] = [
    ({33421: short_entry(6, 6), 33422: byte_entry([1] * 36)}, "X-Trans"),
    ({33421: short_entry(4, 4), 33422: byte_entry([0] * 16)}, "Quad-Bayer"),
    ({33422: byte_entry((0, 1, 3, 2))}, "colour pattern"),
    ({50711: short_entry(2)}, "staggered"),
    ({262: short_entry(34892)}, "monochrome"),
    ({262: short_entry(2)}, "without a raw image"),
    ({259: short_entry(34713)}, "compression 34713"),
]


@pytest.mark.parametrize(("tags", "words"), REFUSALS)
def test_what_is_no_bayer_mosaic_is_named(make_dng: MakeDng, tags: dict[int, Entry], words: str) -> None:
    with pytest.raises(UnsupportedRawError, match=words):
        read_raw(make_dng(random_mosaic(12, 12), tags=tags))


DAMAGES: list[tuple[dict[int, Entry], str]] = [
    ({256: long_entry(1 << 31), 257: long_entry(1 << 31)}, "absurd"),
    ({257: long_entry(1000), 278: long_entry(1000)}, "too short"),
    ({257: long_entry(1000), 278: long_entry(1)}, "needs 1000 strips"),
    ({50829: long_entry(0, 0, 13, 12)}, "active area"),
    ({50829: long_entry(5, 0, 6, 12)}, "active area"),
    ({50714: long_entry(5000), 50717: long_entry(4000)}, "does not exceed"),
    ({50713: short_entry(9999, 9999)}, "black level pattern"),
    ({50715: rational_entry(1, 2, 3, signed=True)}, "3 black levels for 12 columns"),
]


@pytest.mark.parametrize(("tags", "words"), DAMAGES)
def test_tags_that_contradict_themselves_are_refused(
    make_dng: MakeDng, tags: dict[int, Entry], words: str
) -> None:
    with pytest.raises(DamagedFileError, match=words) as caught:
        read_raw(make_dng(random_mosaic(12, 12), tags=tags))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", [1, 7, 8, 52546])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
def test_truncated_files_are_noticed(make_dng: MakeDng, compression: int, share: float) -> None:
    path = make_dng(random_mosaic(40, 40), compression=compression)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises((DamagedFileError, UnsupportedRawError)):
        read_raw(path)


def test_a_lossless_jpeg_that_ends_early_is_noticed(make_dng: MakeDng) -> None:
    path = make_dng(random_mosaic(40, 40), compression=7)
    data = bytearray(path.read_bytes())
    data[-600:-598] = b"\xff\xd9"  # end of image
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match="cannot be decoded"):
        read_raw(path)


def test_reading_leaves_the_file_and_its_time_alone(make_dng: MakeDng) -> None:
    path = make_dng(random_mosaic(12, 12))
    before: tuple[Any, ...] = (path.read_bytes(), path.stat().st_mtime_ns)
    path.chmod(0o444)
    read_raw(path)
    assert before == (path.read_bytes(), path.stat().st_mtime_ns)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}, {"compression": 8}])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_byte_order_strips_and_tiles(tmp_path: Path, order: str, layout: dict[str, Any], dtype: str) -> None:
    image = random_mosaic(40, 60).astype(dtype)
    path = tmp_path / "frame.dng"
    gain = struct.pack(">8I", 0, 0, 40, 60, 0, 1, 1, 1) + struct.pack(">IIddddIf", 1, 1, 1, 1, 0, 0, 1, 2.0)
    listed = struct.pack(">IIIII", 1, 9, 0x01030000, 0, len(gain)) + gain
    tags = [
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, b"\1\0\2\1", True),
        (50706, 1, 4, b"\1\4\0\0", True),
        (50717, 4, 1, 20000, True),
        (51009, 7, len(listed), listed, True),
    ]
    tifffile.imwrite(path, image, byteorder=order, photometric="CFA", extratags=tags, metadata=None, **layout)
    frame = read_mosaic(path)
    assert np.array_equal(frame.mosaic_dn, image) and frame.phase == "GRBG"
    assert frame.tags.gain_maps[0].gains.tolist() == [[[2.0]]]
