"""Opcode lists: each opcode against its closed form, the order of application, what is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from rawdiff.errors import DamagedFileError, UnsupportedRawError
from rawdiff.raw.bad_pixels import fill_bad_pixels
from rawdiff.raw.frame import GainMap, LinearFrame, Opcode, RawFrame, plane_sites
from rawdiff.raw.gain_maps import apply_gain_maps, crop_map, gain_field, parse_gain_map, vignette_map
from rawdiff.raw.ingest import read_raw
from rawdiff.raw.opcodes import parse_list, plan_opcodes
from rawdiff.raw.tiff_tree import long_entry, undefined_entry

MakeDng = Callable[..., Path]
LIST_1, LIST_2, LIST_3 = 51008, 51009, 51022


def pack_list(opcodes: Sequence[Opcode]) -> bytes:
    """An opcode list as DNG stores it."""
    parts = [struct.pack(">I", len(opcodes))]
    for op in opcodes:
        parts.append(struct.pack(">I4sII", op.number, bytes(op.version), op.flags, len(op.data)) + op.data)
    return b"".join(parts)


def opcode(number: int, data: bytes, flags: int = 0) -> Opcode:
    return Opcode(number, (1, 3, 0, 0), flags, data)


def area(
    top: int, left: int, bottom: int, right: int, planes: int = 1, pitch: int = 1, plane: int = 0
) -> bytes:
    return struct.pack(">8I", top, left, bottom, right, plane, planes, pitch, pitch)


def gain_data(where: bytes, gains: np.ndarray, spacing: Sequence[float], origin: Sequence[float]) -> bytes:
    rows, columns, planes = gains.shape
    geometry = struct.pack(">IIddddI", rows, columns, *spacing, *origin, planes)
    return where + geometry + gains.astype(">f4").tobytes()


def read_with(make_dng: MakeDng, image: np.ndarray, lists: dict[int, list[Opcode]]) -> RawFrame:
    entries = {code: undefined_entry(pack_list(opcodes)) for code, opcodes in lists.items()}
    frame = read_raw(make_dng(image, tags={**entries, 50714: long_entry(100), 50717: long_entry(4100)}))
    assert isinstance(frame, RawFrame)
    return frame


def test_a_list_survives_packing_and_parsing() -> None:
    opcodes = (opcode(9, b"gain"), opcode(99, b"", 1))
    assert parse_list(pack_list(opcodes)) == opcodes
    assert parse_list(b"") == ()


@pytest.mark.parametrize("cut", [2, 10, 21])
def test_a_list_that_ends_early_is_damaged(cut: int) -> None:
    with pytest.raises(DamagedFileError, match="damaged"):
        parse_list(pack_list([opcode(9, b"12345678")])[:cut])


@pytest.mark.parametrize(
    ("number", "which", "name"),
    [
        (6, 0, "TrimBounds"),
        (10, 1, "DeltaPerRow"),
        (1, 0, "WarpRectilinear"),
        (77, 2, "opcode 77"),
        (8, 2, "MapPoly"),
    ],
)
def test_mandatory_opcodes_that_are_not_applied_are_refused_by_name(
    number: int, which: int, name: str
) -> None:
    lists: list[list[Opcode]] = [[], [], []]
    lists[which] = [opcode(number, b"")]
    with pytest.raises(UnsupportedRawError, match=f"OpcodeList{which + 1} demands {name}"):
        plan_opcodes(lists)
    lists[which] = [opcode(number, b"", flags=1)]
    assert plan_opcodes(lists).applied_names == ()


def test_warps_of_list_3_are_handed_on() -> None:
    warp = opcode(1, b"warp")
    assert plan_opcodes([[], [], [warp]]).pending == (warp,)


def test_polynomial_maps_linear_values(make_dng: MakeDng) -> None:
    """y = 0.1 + 0.5 x + 0.3 x^3 above black; odd around 0.1 below it."""
    image = np.arange(48, dtype=np.uint16).reshape(6, 8) * 80
    data = area(0, 0, 6, 8) + struct.pack(">I4d", 3, 0.1, 0.5, 0.0, 0.3)
    frame = read_with(make_dng, image, {LIST_2: [opcode(8, data)]})
    x = (image.astype(np.float64) - 100) / 4000
    y = 0.1 + 0.5 * x + 0.3 * np.abs(x) ** 2 * x
    # float32 at up to 4100: 2^-12 per rounding, a dozen roundings.
    np.testing.assert_allclose(frame.mosaic_dn, 100 + 4000 * y, atol=12 * 2.0**-12)
    assert frame.tags.applied_opcodes == ("MapPolynomial",)


def test_table_and_line_scales(make_dng: MakeDng) -> None:
    image = np.full((4, 6), 1100, np.uint16)
    table = np.minimum(np.arange(65536) * 2, 65535)
    mapped = area(0, 0, 2, 6) + struct.pack(">I", 65536) + table.astype(">u2").tobytes()
    scaled = area(2, 0, 4, 6) + struct.pack(">I2f", 2, 0.5, 3.0)
    across = area(0, 0, 2, 6, pitch=2) + struct.pack(">I3f", 3, 1.0, 0.5, 2.0)
    frame = read_with(make_dng, image, {LIST_2: [opcode(7, mapped), opcode(12, scaled), opcode(13, across)]})
    light = frame.mosaic_dn - 100  # 1000 of 4000 before
    np.testing.assert_allclose(light[2], 500, atol=0.01)
    np.testing.assert_allclose(light[3], 3000, atol=0.01)
    # The table's step is 1/65535 of 4000 DN.
    np.testing.assert_allclose(light[1], 2000, atol=0.1)
    np.testing.assert_allclose(light[0], [2000, 2000, 1000, 2000, 4000, 2000], atol=0.2)


def bilinear_map(height: int, width: int, planes: int = 1) -> tuple[GainMap, np.ndarray]:
    """A map of g = 1 + y + 2 x on a coarse grid: bilinear interpolation gives it exactly."""
    steps_y, steps_x = np.linspace(0, 1, 5), np.linspace(0, 1, 9)
    gains = (1 + steps_y[:, None] + 2 * steps_x[None, :])[..., None].repeat(planes, 2)
    data = gain_data(area(0, 0, height, width, planes), gains, (1 / 4, 1 / 8), (0, 0))
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    return parse_gain_map(data), 1 + y[:, None] + 2 * x[None, :]


def test_gain_maps_interpolate_between_their_points() -> None:
    gain, expected = bilinear_map(11, 17)
    np.testing.assert_allclose(gain_field([gain], (1, 11, 17))[0], expected, rtol=1e-6)


def test_gain_maps_hold_beyond_their_points() -> None:
    gains = np.array([[2.0, 4.0]])[..., None]
    gain = parse_gain_map(gain_data(area(0, 0, 4, 10), gains, (1, 0.2), (0, 0.4)))
    field = gain_field([gain], (1, 4, 10))[0]
    assert np.all(field[:, :4] == 2) and np.all(field[:, 6:] == 4)


def test_a_cropped_map_means_the_same_pixels() -> None:
    gain, expected = bilinear_map(11, 17)
    cropped = crop_map(gain, (11, 17), (10, 16))
    np.testing.assert_allclose(gain_field([cropped], (1, 10, 16))[0], expected[:10, :16], rtol=1e-6)


def test_vignette_is_its_polynomial() -> None:
    k, height, width = (0.4, 0.2, 0.1, -0.05, 0.03), 40, 60
    gain = vignette_map(struct.pack(">7d", *k, 0.4, 0.55), (height, width))
    y, x = np.mgrid[:height, :width] + 0.5
    r2 = (y - 0.55 * height) ** 2 + (x - 0.4 * width) ** 2
    r2 /= (0.55 * height) ** 2 + (0.6 * width) ** 2
    expected = 1 + sum(c * r2 ** (n + 1) for n, c in enumerate(k))
    # |g''| below 8 in units of the image: 2 axes * 8 / 128^2 / 8 = 1.2e-4.
    np.testing.assert_allclose(gain_field([gain], (1, height, width))[0], expected, atol=1.2e-4)


def test_gains_of_four_sites_wait_and_fall_on_their_sites(make_dng: MakeDng) -> None:
    image = np.full((8, 10), 1100, np.uint16)
    opcodes = []
    for row, column in np.ndindex(2, 2):
        gains = np.full((1, 1, 1), 1.5 + row + 2 * column)
        opcodes.append(opcode(9, gain_data(area(row, column, 8, 10, pitch=2), gains, (1, 1), (0, 0))))
    frame = read_with(make_dng, image, {LIST_2: opcodes})
    assert np.all(frame.mosaic_dn == 1100) and len(frame.tags.gain_maps) == 4
    light = torch.ones(8, 10)
    field = apply_gain_maps(light, frame.tags.gain_maps).numpy()
    assert [field[r, c] for r in range(2) for c in range(2)] == [1.5, 3.5, 2.5, 4.5]
    packed = apply_gain_maps(torch.ones(4, 4, 5), frame.tags.gain_maps, frame.phase).numpy()
    for plane, (row, column) in enumerate(plane_sites(frame.phase)):
        assert np.array_equal(packed[plane], field[row::2, column::2])


def test_gains_before_a_nonlinear_map_are_applied_at_once(make_dng: MakeDng) -> None:
    image = np.full((4, 4), 1100, np.uint16)
    twice = opcode(9, gain_data(area(0, 0, 4, 4), np.full((1, 1, 1), 2.0), (1, 1), (0, 0)))
    square = opcode(8, area(0, 0, 4, 4) + struct.pack(">I3d", 2, 0, 0, 1))
    frame = read_with(make_dng, image, {LIST_2: [twice, square, twice]})
    np.testing.assert_allclose(frame.mosaic_dn, 100 + 4000 * 0.5**2, rtol=1e-6)
    assert len(frame.tags.gain_maps) == 1
    assert frame.tags.applied_opcodes == ("GainMap", "MapPolynomial")


def test_gains_of_list_3_fall_on_the_sites_of_their_colour(make_dng: MakeDng) -> None:
    gains = np.array([2.0, 3.0, 5.0]).reshape(1, 1, 3)
    listed = opcode(9, gain_data(area(0, 0, 8, 8, planes=3), gains, (1, 1), (0, 0)))
    frame = read_with(make_dng, np.full((8, 8), 1100, np.uint16), {LIST_3: [listed]})
    field = apply_gain_maps(torch.ones(8, 8), frame.tags.gain_maps).numpy()
    assert field[:2, :2].tolist() == [[2, 3], [3, 5]]


def test_gains_of_a_linear_raw(make_dng: MakeDng) -> None:
    gains = np.array([2.0, 3.0, 5.0]).reshape(1, 1, 3)
    listed = opcode(9, gain_data(area(0, 0, 8, 8, planes=3), gains, (1, 1), (0, 0)))
    image = np.full((8, 8, 3), 1000, np.uint16)
    frame = read_raw(make_dng(image, tags={LIST_2: undefined_entry(pack_list([listed]))}))
    assert isinstance(frame, LinearFrame)
    light = apply_gain_maps(torch.ones(3, 8, 8), frame.tags.gain_maps)
    assert light[:, 4, 4].tolist() == [2, 3, 5]
    with pytest.raises(ValueError, match="no gain maps"):
        apply_gain_maps(torch.ones(4, 4, 4), frame.tags.gain_maps)


def test_bad_pixels_of_list_1_are_marked_and_filled(make_dng: MakeDng) -> None:
    rng = np.random.default_rng(7)
    image = np.full((12, 14), 900, np.uint16) + rng.integers(1, 5, (12, 14)).astype(np.uint16)
    image[5, 7] = image[0, 0] = 0
    image[8:10, 2:4] = 4000
    lists = opcode(5, struct.pack(">3I", 0, 1, 1) + struct.pack(">6I", 5, 7, 8, 2, 10, 4))
    frame = read_with(make_dng, image, {LIST_1: [opcode(4, struct.pack(">II", 0, 0)), lists]})
    expected = np.zeros((12, 14), bool)
    expected[5, 7] = expected[0, 0] = True
    expected[8:10, 2:4] = True
    assert frame.defects is not None and np.array_equal(frame.defects, expected)
    assert frame.mosaic_dn[expected].min() > 900 and frame.mosaic_dn[expected].max() < 905
    assert frame.mosaic_dn[5, 7] == image[[3, 7, 5, 5], [7, 7, 5, 9]].astype(np.float64).mean()


def test_bad_pixels_of_list_2_are_marked_only(make_dng: MakeDng) -> None:
    image = np.full((8, 8), 900, np.uint16)
    image[2, 3] = 4000
    frame = read_with(make_dng, image, {LIST_2: [opcode(5, struct.pack(">5I", 0, 1, 0, 2, 3))]})
    assert frame.defects is not None and np.argwhere(frame.defects).tolist() == [[2, 3]]
    assert frame.mosaic_dn[2, 3] == pytest.approx(4000, abs=0.01)


def test_a_lonely_bad_pixel_takes_the_median_of_its_site() -> None:
    mosaic = np.full((16, 16), 5.0, np.float32)
    mask = np.zeros((16, 16), bool)
    mask[:12, :12] = True
    mosaic[mask] = 99
    fill_bad_pixels(mosaic, mask)
    assert np.all(mosaic == 5)


DAMAGED = [
    (8, area(0, 0, 4, 4) + struct.pack(">I", 9)),
    (8, area(0, 0, 4, 4) + struct.pack(">I2d", 1, float("nan"), 1)),
    (9, gain_data(area(0, 0, 4, 4), np.full((1, 1, 1), np.nan), (1, 1), (0, 0))),
    (9, gain_data(area(0, 0, 4, 4), np.ones((2, 2, 1)), (1, 1), (0, 0))[:-4]),
    (9, gain_data(area(4, 0, 4, 4), np.ones((2, 2, 1)), (1, 1), (0, 0))),
    (12, area(0, 0, 4, 4) + struct.pack(">If", 1, 1.0)),
    (5, struct.pack(">3I", 0, 1 << 30, 0)),
    (3, struct.pack(">7d", 0, 0, 0, 0, 0, 5, 5)),
]


@pytest.mark.parametrize(("number", "data"), DAMAGED)
def test_damaged_opcodes_are_named(make_dng: MakeDng, number: int, data: bytes) -> None:
    with pytest.raises(DamagedFileError, match="opcode is damaged"):
        read_with(make_dng, np.full((4, 4), 900, np.uint16), {LIST_2: [opcode(number, data)]})
