from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile
from numpy.typing import NDArray
from rawdiff_calibration.noise import NoiseModel

from rawdiff.errors import ConfigurationError, DamagedFileError
from rawdiff.raw.dng import LinearEncoding, write_cfa_dng, write_linear_dng
from rawdiff.raw.frame import (
    Camera,
    CfaPhase,
    ColorTags,
    Exposure,
    FrameTags,
    GainMap,
    Levels,
    LinearFrame,
    Opcode,
    RawFrame,
    Source,
)
from rawdiff.raw.ingest import read_raw

MATRIX = np.array([[0.6461, -0.1164, -0.0857], [-0.3825, 1.1597, 0.2534], [-0.0416, 0.154, 0.6039]])
TAGS = FrameTags(
    camera=Camera("Canon", "EOS 550D", "Canon EOS 550D", serial="0123", lens="EF 50mm"),
    exposure=Exposure(1 / 40, 2.8, 6400, "2024-02-29T23:59:58.25+01:00"),
    color=ColorTags(
        color_matrices=(MATRIX,), illuminants=(21,), as_shot_neutral=np.array([0.4, 1.0, 0.7]),
        baseline_exposure_ev=0.25,
    ),
    orientation=6,
    default_crop=(2, 4, 30, 44),
)  # fmt: skip
HEIGHT, WIDTH = 34, 50


def make_levels(black: float = 512.0, white: float = 16383.0) -> Levels:
    return Levels(np.full((2, 2), black), np.full((2, 2), white))


def make_frame(phase: CfaPhase = "RGGB") -> RawFrame:
    dn = np.random.default_rng(1).integers(400, 16383, (HEIGHT, WIDTH)).astype(np.float32)
    return RawFrame(dn, phase, make_levels(), TAGS, Source(Path("a.dng"), "", "test"))


def stored(path: Path) -> NDArray[np.generic]:
    """The raw image of a DNG, wherever its directory is."""
    with tifffile.TiffFile(path) as tiff:
        return raw_page(tiff).asarray()


def raw_page(tiff: tifffile.TiffFile) -> tifffile.TiffPage:
    pages = [tiff.pages[0], *(tiff.pages[0].pages or ())]
    return next(page for page in pages if page.photometric in (32803, 34892))


def value(path: Path, tag: int) -> object:
    """A tag of the first directory or of the raw one."""
    with tifffile.TiffFile(path) as tiff:
        for page in (tiff.pages[0], raw_page(tiff)):
            if tag in page.tags:
                return page.tags[tag].value
    return None


def preview() -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 255, (340, 500, 3)).astype(np.uint8)


@pytest.mark.parametrize("phase", ["RGGB", "GRBG", "GBRG", "BGGR"])
@pytest.mark.parametrize("with_preview", [True, False])
def test_a_mosaic_comes_back_bit_for_bit(tmp_path: Path, phase: CfaPhase, with_preview: bool) -> None:
    frame = make_frame(phase)
    path = tmp_path / "a.dng"
    write_cfa_dng(path, frame.mosaic_dn, frame, preview=preview() if with_preview else None)
    np.testing.assert_array_equal(stored(path), frame.mosaic_dn)
    with rawpy.imread(str(path)) as raw:
        np.testing.assert_array_equal(raw.raw_image, frame.mosaic_dn)
        colors = "".join("RGBG"[raw.raw_color(row, column)] for row in (0, 1) for column in (0, 1))
        assert colors == phase
        assert raw.black_level_per_channel == [512] * 4
        assert raw.white_level == 16383


def test_full_range_keeps_fractions_and_negatives(tmp_path: Path) -> None:
    frame = make_frame()
    signal = np.random.default_rng(3).uniform(-0.03, 1.0, (HEIGHT, WIDTH))
    mosaic = (512 + signal * (16383 - 512)).astype(np.float32)
    path = tmp_path / "a.dng"
    write_cfa_dng(path, mosaic, frame, full_range=True)
    black, white = np.asarray(value(path, 50714)), value(path, 50717)
    assert white == 65535 and black.min() == black.max() == 2048
    back = (stored(path).astype(float) - black.min()) / (65535 - black.min())
    # Half a step of rounding, and float32 arithmetic on values up to 65535.
    assert np.abs(back - signal).max() <= (0.5 + 0.02) / (65535 - 2048)


def test_levels_that_differ_by_site_are_stored_to_one_white(tmp_path: Path) -> None:
    frame = make_frame()
    levels = Levels(np.array([[512.0, 513.25], [511.5, 512.0]]), np.array([[16383, 16000], [15900, 16383.0]]))
    signal = np.random.default_rng(3).uniform(0, 1.0, (HEIGHT, WIDTH))
    site_black = np.tile(levels.black_dn, (HEIGHT // 2, WIDTH // 2))
    span = np.tile(levels.range_dn(), (HEIGHT // 2, WIDTH // 2))
    write_cfa_dng(tmp_path / "a.dng", (site_black + signal * span).astype(np.float32), frame, levels=levels)
    pairs = np.reshape(value(tmp_path / "a.dng", 50714), (4, 2))
    np.testing.assert_array_equal(pairs[:, 0] / pairs[:, 1], levels.black_dn.ravel())
    assert value(tmp_path / "a.dng", 50717) == 16383
    back = (stored(tmp_path / "a.dng") - site_black) / (16383 - site_black)
    assert np.abs(back - signal).max() <= 0.51 / (16383 - 514)


def test_jpeg_xl_keeps_the_mosaic(tmp_path: Path) -> None:
    dn = np.random.default_rng(1).integers(0, 65536, (600, 530)).astype(np.uint16)
    write_cfa_dng(
        tmp_path / "a.dng", dn, levels=make_levels(0, 65535), phase="RGGB", tags=FrameTags(),
        preview=preview(), compression="jxl",
    )  # fmt: skip
    np.testing.assert_array_equal(stored(tmp_path / "a.dng"), dn)
    assert value(tmp_path / "a.dng", 50707) == b"\x01\x07\x00\x00"


@pytest.mark.parametrize(
    ("encoding", "step"), [("u16", 0.51 / 59577), ("jxl", 0.51 / 59577), ("f16-deflate", 0)]
)
def test_a_linear_image_comes_back(tmp_path: Path, encoding: str, step: float) -> None:
    rgb = np.random.default_rng(4).uniform(-0.1, 1.0, (3, 300, 290)).astype(np.float32)
    rgb[0, 0, 0] = -0.1
    path = tmp_path / "a.dng"
    write_linear_dng(path, rgb, FrameTags(), preview=preview(), encoding=encoding)
    pixels = np.moveaxis(stored(path), 2, 0).astype(float)
    if encoding == "f16-deflate":
        np.testing.assert_array_equal(pixels, rgb.astype(np.float16))
        return
    black, white = np.asarray(value(path, 50714)), np.asarray(value(path, 50717))
    # The least pedestal that holds the deepest negative: p / (65535 - p) = 0.1.
    assert black.tolist() == [5958] * 3 and white.tolist() == [65535] * 3
    assert np.abs((pixels - 5958) / (65535 - 5958) - rgb).max() <= step


def test_negatives_are_kept_wherever_they_carry_light(tmp_path: Path) -> None:
    """In the dark the mean survives storing; a few stray values do not lift the whole image's black."""
    random = np.random.default_rng(8)
    dark = random.normal(0.002, 0.004, (3, 200, 150)).astype(np.float32)
    write_linear_dng(tmp_path / "dark.dng", dark, FrameTags())
    black = np.asarray(value(tmp_path / "dark.dng", 50714))
    assert black[0] >= 65535 * -dark.min() / (1 - dark.min())
    back = (np.moveaxis(stored(tmp_path / "dark.dng"), 2, 0) - black[0]) / (65535 - black[0])
    np.testing.assert_allclose(back.mean((1, 2)), dark.mean((1, 2)), rtol=1e-4)

    bright = random.uniform(0.1, 0.9, (3, 200, 150)).astype(np.float32)
    bright[:, ::50, ::50] = -0.02
    write_linear_dng(tmp_path / "bright.dng", bright, FrameTags())
    assert value(tmp_path / "bright.dng", 50714) == (0, 0, 0)
    # One colour whose negatives are 0.2 % of its light: 1 in 5 pixels at -0.005 against a mean of 0.5.
    bright[1, ::5] = -0.005
    write_linear_dng(tmp_path / "green.dng", bright, FrameTags())
    assert np.asarray(value(tmp_path / "green.dng", 50714)).min() > 0


def test_a_linear_image_without_negatives_has_no_pedestal(tmp_path: Path) -> None:
    write_linear_dng(tmp_path / "a.dng", np.full((3, 8, 8), 0.5, np.float32), FrameTags())
    assert value(tmp_path / "a.dng", 50714) == (0, 0, 0)
    write_linear_dng(tmp_path / "b.dng", np.full((3, 8, 8), 0.5, np.float32), FrameTags(), pedestal=4096)
    assert value(tmp_path / "b.dng", 50714) == (4096,) * 3
    np.testing.assert_array_equal(stored(tmp_path / "b.dng"), round(4096 + 0.5 * (65535 - 4096)))


def test_the_noise_profile_is_that_of_the_stored_values(tmp_path: Path) -> None:
    """A flat field is drawn from the model, written, read back, and its variance is what the tag predicts."""
    model = NoiseModel.uniform(4.0, 6.0, quantisation_dn=0.0)
    random = np.random.default_rng(5)
    count = 400
    for electrons in (5.0, 400.0):
        light = random.poisson(electrons, (count, count)) * 4.0 + random.normal(0, 6.0, (count, count))
        path = tmp_path / "a.dng"
        frame = make_frame()
        mosaic = (512 + light).astype(np.float32)
        write_cfa_dng(path, mosaic, frame, noise=model, full_range=True, overwrite=True)
        profile = np.reshape(value(path, 51041), (3, 2))
        np.testing.assert_array_equal(profile[0], profile[1])
        signal = (stored(path).astype(float) - 2048) / (65535 - 2048)
        predicted = profile[0, 0] * signal.mean() + profile[0, 1]
        # n = 160000 samples: the relative standard error of a variance is sqrt((2 + excess kurtosis) / n),
        # excess at most 1/5 of Poisson(5); four of them are 1.5 %.
        assert signal.var() == pytest.approx(predicted, rel=0.015)


def test_no_noise_model_gives_no_noise_profile(tmp_path: Path) -> None:
    write_cfa_dng(tmp_path / "a.dng", make_frame().mosaic_dn, make_frame())
    assert value(tmp_path / "a.dng", 51041) is None


def test_the_tags_say_what_the_frame_says(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    frame = make_frame()
    write_cfa_dng(path, frame.mosaic_dn, frame, preview=preview(), noise_reduction_applied=0.75)
    expected = {
        50708: "Canon EOS 550D", 271: "Canon", 272: "EOS 550D", 274: 6, 50778: 21, 50728: (2, 5, 1, 1, 7, 10),
        50730: (1, 4), 50719: (4, 2), 50720: (40, 28), 50829: (0, 0, HEIGHT, WIDTH), 50935: (3, 4),
        50735: "0123",
    }  # fmt: skip
    assert {tag: value(path, tag) for tag in expected} == expected
    with tifffile.TiffFile(path) as tiff:
        exif = tiff.pages[0].tags[34665].value
    assert exif["ExposureTime"] == (1, 40)
    assert exif["FNumber"] == (14, 5)
    assert exif["DateTimeOriginal"] == "2024:02:29 23:59:58"
    assert exif["SubsecTimeOriginal"] == "25"
    assert exif["LensModel"] == "EF 50mm"


def test_pending_opcodes_are_handed_on(tmp_path: Path) -> None:
    gains = np.linspace(1, 3, 12, dtype=np.float32).reshape(3, 4, 1)
    gain_map = GainMap(0, 1, HEIGHT, WIDTH, 0, 1, 2, 2, (0.5, 1 / 3), (0.0, 0.0), gains)
    warp = Opcode(1, (1, 3, 0, 0), 1, bytes(range(60)))
    tags = FrameTags(gain_maps=(gain_map,), pending_opcodes=(warp,), applied_opcodes=("FixBadPixelsList",))
    frame = make_frame()
    write_cfa_dng(tmp_path / "a.dng", frame.mosaic_dn, frame, tags=tags)
    second, third = value(tmp_path / "a.dng", 51009), value(tmp_path / "a.dng", 51022)
    assert isinstance(second, bytes) and isinstance(third, bytes)
    assert second[:8] == bytes([0, 0, 0, 1, 0, 0, 0, 9])
    assert second[-4:] == np.array(3, ">f4").tobytes()
    assert len(second) == 4 + 16 + 76 + 4 * 12
    assert third == bytes([0, 0, 0, 1, 0, 0, 0, 1, 1, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 60]) + bytes(range(60))
    assert value(tmp_path / "a.dng", 51008) is None
    assert value(tmp_path / "a.dng", 50707) == b"\x01\x03\x00\x00"
    with pytest.raises(ValueError, match="gain maps"):
        write_linear_dng(tmp_path / "b.dng", np.zeros((3, HEIGHT, WIDTH), np.float32), tags)


def test_equal_runs_write_equal_bytes(tmp_path: Path) -> None:
    frame = make_frame()
    for name in ("a.dng", "b.dng"):
        write_cfa_dng(tmp_path / name, frame.mosaic_dn, frame, preview=preview(), provenance={"seed": 1})
    assert (tmp_path / "a.dng").read_bytes() == (tmp_path / "b.dng").read_bytes()


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    frame = make_frame()
    path = tmp_path / "a.dng"
    with pytest.raises(ValueError, match="2x2 cells"):
        write_cfa_dng(path, frame.mosaic_dn[:-1], frame)
    with pytest.raises(ValueError, match="levels, phase and tags"):
        write_cfa_dng(path, frame.mosaic_dn, levels=make_levels())
    with pytest.raises(ValueError, match="16 bits"):
        write_cfa_dng(path, frame.mosaic_dn, frame, levels=make_levels(512, 70000))
    with pytest.raises(ValueError, match="preview"):
        write_cfa_dng(path, frame.mosaic_dn, frame, preview=np.zeros((3, 4), np.uint8))
    with pytest.raises(ValueError, match="crop"):
        write_cfa_dng(path, frame.mosaic_dn, frame, tags=FrameTags(default_crop=(0, 0, 99, 99)))
    with pytest.raises(ValueError, match="3, H, W"):
        write_linear_dng(path, np.zeros((4, 4, 3), np.float32), TAGS)
    absurd = replace(TAGS.color, color_matrices=(MATRIX * 1e13,))
    with pytest.raises(DamagedFileError, match="colour calibration"):
        write_cfa_dng(path, frame.mosaic_dn, frame, tags=replace(TAGS, color=absurd))
    assert not list(tmp_path.iterdir())
    write_cfa_dng(path, frame.mosaic_dn, frame)
    with pytest.raises(ConfigurationError, match="own input"):
        write_cfa_dng(path, frame.mosaic_dn, frame, source_file=path, overwrite=True)


@pytest.mark.parametrize("full_range", [False, True])
def test_a_frame_survives_writing_and_reading(tmp_path: Path, full_range: bool) -> None:
    """What ingest reads from our file is what was written: pixels, levels, tags, opcodes."""
    gains = np.linspace(1, 3, 12, dtype=np.float32).reshape(3, 4, 1)
    tags = replace(
        TAGS,
        gain_maps=(GainMap(0, 1, HEIGHT, WIDTH, 0, 1, 2, 2, (0.5, 1 / 3), (0.0, 0.0), gains),),
        pending_opcodes=(Opcode(1, (1, 3, 0, 0), 1, bytes(range(60))),),
    )
    frame = make_frame("GBRG")
    model = NoiseModel.uniform(4.0, 6.0)
    path = tmp_path / "a.dng"
    write_cfa_dng(path, frame.mosaic_dn, frame, tags=tags, noise=model, full_range=full_range)
    back = read_raw(path)
    assert isinstance(back, RawFrame)
    assert back.phase == "GBRG"
    assert back.tags.color.illuminants == (21,)
    np.testing.assert_allclose(back.tags.color.color_matrices[0], MATRIX, atol=1e-9)
    np.testing.assert_allclose(back.tags.color.as_shot_neutral, [0.4, 1.0, 0.7], atol=1e-9)
    assert back.tags.color.baseline_exposure_ev == 0.25
    assert back.tags.exposure.time_s == pytest.approx(1 / 40) and back.tags.exposure.iso == 6400
    assert (back.tags.orientation, back.tags.default_crop) == (6, (2, 4, 30, 44))
    assert back.tags.pending_opcodes == tags.pending_opcodes
    (found,), (given,) = back.tags.gain_maps, tags.gain_maps
    np.testing.assert_array_equal(found.gains, given.gains)
    assert replace(found, gains=given.gains) == given
    signal = (back.mosaic_dn - back.levels.black_dn[0, 0]) / back.levels.range_dn()[0, 0]
    given_signal = (frame.mosaic_dn - 512) / (16383 - 512)
    assert np.abs(signal - given_signal).max() <= (0.52 / (65535 - 2048) if full_range else 1e-6)
    spans = tuple(back.levels.range_dn()[site] for site in ((0, 0), (0, 1), (1, 1)))
    read = NoiseModel.from_dng(back.tags.noise_profile, spans, quantisation_dn=0.0)
    scale = spans[0] / (16383 - 512)
    np.testing.assert_allclose(read.gain_dn_per_e, np.multiply(scale, model.gain_dn_per_e), rtol=1e-6)
    # The rounding to stored values adds 1/12 of its squared step at full range; the model holds its own.
    floors = np.add(np.multiply(scale**2, model.floor_variance_dn2()), 1 / 12 if full_range else 0)
    np.testing.assert_allclose(read.floor_variance_dn2(), floors, rtol=1e-6)


@pytest.mark.parametrize("encoding", ["u16", "f16-deflate", "jxl"])
def test_a_linear_image_survives_writing_and_reading(tmp_path: Path, encoding: LinearEncoding) -> None:
    rgb = np.random.default_rng(4).uniform(-0.1, 1.0, (3, HEIGHT, WIDTH)).astype(np.float32)
    vignette = GainMap(
        0, 0, HEIGHT, WIDTH, 0, 4, 1, 1, (1.0, 1.0), (0.0, 0.0), np.full((2, 2, 1), 1.5, np.float32)
    )
    pairs = ((1e-4, 1e-6), (2e-4, 2e-6), (3e-4, 3e-6))
    tags = replace(TAGS, gain_maps=(vignette,))
    write_linear_dng(tmp_path / "a.dng", rgb, tags, noise=pairs, encoding=encoding, preview=preview())
    back = read_raw(tmp_path / "a.dng")
    assert isinstance(back, LinearFrame)
    span = (back.white_dn - back.black_dn)[:, None, None]
    signal = (back.rgb_dn - back.black_dn[:, None, None]) / span
    # Half a step of 16 bits over a pedestal of at most 5958; half floats have 11 bits.
    bound = 2**-12 if encoding == "f16-deflate" else 0.52 / (65535 - 5958)
    assert np.abs(signal - rgb).max() <= bound
    np.testing.assert_allclose(back.tags.noise_profile, pairs, rtol=1e-4)
    (found,) = back.tags.gain_maps
    assert found.planes == 3 and found.gains.tolist() == vignette.gains.tolist()
