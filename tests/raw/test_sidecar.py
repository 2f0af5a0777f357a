"""Headerless dumps: every packing, the real ones, and what a wrong sidecar is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rawdiff.errors import DamagedFileError, InputError, UnsupportedRawError
from rawdiff.raw.frame import RawFrame
from rawdiff.raw.ingest import read_raw, read_tags

FIELDS = {"width": 12, "height": 6, "bits": 10, "packing": '"u16"', "cfa": '"GBRG"', "black": 64}


def write_sidecar(path: Path, **fields: object) -> Path:
    path.write_text("".join(f"{name} = {value}\n" for name, value in fields.items()))
    return path


def pack_raw10(image: np.ndarray) -> bytes:
    """MIPI CSI-2 RAW10: four bytes of high bits, then one of the four pairs of low bits."""
    groups = image.reshape(-1, 4).astype(np.uint16)
    low = sum((groups[:, i] & 3) << (2 * i) for i in range(4))
    return np.column_stack([groups >> 2, low]).astype(np.uint8).tobytes()


@pytest.mark.parametrize("packing", ["u8", "u16", "u16be", "mipi-raw10"])
def test_every_packing_returns_its_samples(tmp_path: Path, packing: str) -> None:
    bits = 8 if packing == "u8" else 10
    image = np.random.default_rng(1).integers(0, 2**bits, (6, 12)).astype(np.uint16)
    data = {
        "u8": image.astype(np.uint8).tobytes(),
        "u16": image.astype("<u2").tobytes(),
        "u16be": image.astype(">u2").tobytes(),
        "mipi-raw10": pack_raw10(image),
    }[packing]
    dump = tmp_path / "dump.raw"
    dump.write_bytes(data)
    write_sidecar(tmp_path / "dump.raw.toml", **{**FIELDS, "bits": bits, "packing": f'"{packing}"'})
    frame = read_raw(dump)
    assert isinstance(frame, RawFrame)
    assert np.array_equal(frame.mosaic_dn, image)
    assert frame.phase == "GBRG" and frame.source.kind == "sensor dump"
    assert np.all(frame.levels.black_dn == 64) and np.all(frame.levels.white_dn == 2**bits - 1)


def test_stride_offset_levels_and_tags(tmp_path: Path) -> None:
    image = np.random.default_rng(2).integers(0, 1024, (7, 13)).astype("<u2")
    rows = b"".join(row.tobytes() + b"pad" for row in image)
    dump = tmp_path / "dump.bin"
    dump.write_bytes(b"head" + rows[:-3])
    described = write_sidecar(
        tmp_path / "elsewhere.toml",
        **{**FIELDS, "width": 13, "height": 7, "black": [60, 61, 62, 63], "white": 1000},
        **{"stride": 29, "offset": 4, "iso": 400, "time_s": 0.01, "captured_at": "2024-01-02T03:04:05"},
        **{"make": '"ISP"', "model": '"Lab"', "neutral": [0.4, 0.8, 0.5], "orientation": 3},
        color_matrix=[1, 0, 0, 0, 1, 0, 0, 0, 1],
    )
    frame = read_raw(dump, sidecar=described)
    assert isinstance(frame, RawFrame)
    assert np.array_equal(frame.mosaic_dn, image[:6, :12])
    assert frame.levels.black_dn.tolist() == [[62, 63], [60, 61]]  # sites of GBRG: Gb B, R Gr
    black, white = frame.levels.per_plane(frame.phase)
    assert black.tolist() == [60, 61, 62, 63] and white.tolist() == [1000] * 4
    assert (frame.tags.exposure.iso, frame.tags.exposure.time_s) == (400, 0.01)
    assert frame.tags.exposure.captured_at == "2024-01-02T03:04:05"
    assert frame.tags.camera.unique == "ISP Lab" and frame.tags.orientation == 3
    assert frame.tags.color.illuminants == (21,) and frame.tags.color.origin == "the sidecar"
    tags, shape, kind = read_tags(dump, sidecar=described)
    assert (tags.exposure, shape, kind) == (frame.tags.exposure, (6, 12), "mosaic")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": None}, "lacks width"),
        ({"colour": 1}, "unknown field colour"),
        ({"packing": '"raw12"'}, "packing is one of"),
        ({"cfa": '"RGBG"'}, "cfa is one of"),
        ({"bits": 17}, "bits is a whole number"),
        ({"width": 0}, "width is a whole number"),
        ({"width": 99999}, "width is a whole number"),
        ({"black": 2000}, "does not exceed"),
        ({"black": [1, 2]}, "1 or 4 figures"),
        ({"packing": '"mipi-raw10"', "width": 10}, "four pixels in five bytes"),
        ({"stride": 3}, "stride is a whole number"),
        ({"iso": -1}, "iso is positive"),
        ({"neutral": [1, 0, 1]}, "positive"),
        ({"width": "= ="}, "cannot be read"),
    ],
)
def test_a_wrong_sidecar_is_told_what_is_wrong(tmp_path: Path, change: dict[str, object], words: str) -> None:
    (tmp_path / "d.raw").write_bytes(bytes(144))
    fields = {name: value for name, value in {**FIELDS, **change}.items() if value is not None}
    write_sidecar(tmp_path / "d.toml", **fields)
    with pytest.raises(InputError, match=words) as caught:
        read_raw(tmp_path / "d.raw")
    assert "\n" not in str(caught.value)


def test_a_dump_shorter_than_described_or_beyond_its_bits(tmp_path: Path) -> None:
    dump, side = tmp_path / "d.raw", tmp_path / "d.toml"
    write_sidecar(side, **FIELDS)
    dump.write_bytes(bytes(143))
    with pytest.raises(DamagedFileError, match="144 bytes, the file has 143"):
        read_raw(dump)
    dump.write_bytes(b"\xff" * 144)
    with pytest.raises(DamagedFileError, match="beyond 10 bits"):
        read_raw(dump)


REAL = {
    "Indoor1_2592x1536_8bit_GRBG.raw": (2592, 1536, 8, "u8", "GRBG", 0),
    "Outdoor1_2592x1536_8bit_GRBG.raw": (2592, 1536, 8, "u8", "GRBG", 0),
    "Outdoor3_2592x1536_8bit_GRBG.raw": (2592, 1536, 8, "u8", "GRBG", 0),
    "nikon_768x512_rggb_u16_14bit.raw": (768, 512, 14, "u16", "RGGB", 600),
    "openisp_noise_chart_1920x1080_rggb_u16_10bit.raw": (1920, 1080, 10, "u16", "RGGB", 64),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", REAL)
def test_real_dumps_read_with_a_sidecar_and_ask_for_one(shared_data: Path, tmp_path: Path, name: str) -> None:
    dump = shared_data / "raw" / name
    with pytest.raises(UnsupportedRawError, match=f"needs a sidecar '{name}.toml'") as caught:
        read_raw(dump)
    assert "packing" in str(caught.value) and "\n" not in str(caught.value)
    width, height, bits, packing, cfa, black = REAL[name]
    side = write_sidecar(
        tmp_path / "s.toml",
        **{"width": width, "height": height, "bits": bits, "packing": f'"{packing}"'},
        **{"cfa": f'"{cfa}"', "black": black},
    )
    frame = read_raw(dump, sidecar=side)
    assert isinstance(frame, RawFrame) and frame.shape == (height, width)
    stored = np.fromfile(dump, np.uint8 if packing == "u8" else "<u2").reshape(height, width)
    assert np.array_equal(frame.mosaic_dn, stored)
    # A natural image: the two greens of a cell are closer to each other than to red and blue.
    black_dn, _ = frame.levels.per_plane(frame.phase)
    sites = {"GRBG": "1032", "RGGB": "0123"}[cfa]
    planes = [stored[int(s) // 2 :: 2, int(s) % 2 :: 2].astype(float) - black_dn[0] for s in sites]
    greens = abs(planes[1].mean() - planes[2].mean())
    assert greens < abs(planes[0].mean() - planes[1].mean()) and greens < abs(
        planes[3].mean() - planes[1].mean()
    )
