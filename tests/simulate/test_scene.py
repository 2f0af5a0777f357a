"""Photographs become light on a sensor."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rawdiff.errors import ConfigurationError, DamagedFileError, InputError, UnsupportedRawError
from rawdiff.raw.frame import plane_sites
from rawdiff.simulate.cameras import find
from rawdiff.simulate.dead_leaves import draw_scene
from rawdiff.simulate.scene import even_crop, load_photograph, mosaic, pack, srgb_to_linear, to_camera_rgb


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    values = np.zeros((6, 8, 3), np.uint8)
    values[::2, ::2] = 255
    Image.fromarray(values).save(tmp_path / "grid.png")
    return tmp_path / "grid.png"


def test_srgb_decoding_meets_published_values() -> None:
    # IEC 61966-2-1: mid grey 0.5 is 0.214041 of white; the two pieces meet at 0.04045.
    decoded = srgb_to_linear(torch.tensor([0.0, 0.04045, 0.5, 1.0], dtype=torch.float64))
    assert decoded.tolist() == pytest.approx([0.0, 0.0031308, 0.2140411, 1.0], abs=1e-6)


def test_reduction_averages_light_not_code_values(picture: Path) -> None:
    linear = load_photograph(picture, reduce=2)
    assert linear.shape == (3, 3, 4)
    assert torch.allclose(linear, torch.full_like(linear, 0.25))


def test_enlarging_keeps_the_mean_and_the_range(picture: Path) -> None:
    linear = load_photograph(picture, enlarge=2)
    assert linear.shape == (3, 12, 16)
    assert 0.0 <= float(linear.min()) <= float(linear.max()) <= 1.0


@pytest.mark.parametrize("phase", ["RGGB", "GRBG", "GBRG", "BGGR"])
def test_each_site_sees_its_colour_and_packing_gathers_it(phase: str) -> None:
    rgb = torch.stack([torch.full((4, 6), value) for value in (0.1, 0.2, 0.3)])
    values = mosaic(rgb, phase)  # type: ignore[arg-type]
    planes = pack(values, phase)  # type: ignore[arg-type]
    assert planes[:, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.2, 0.3])
    row, column = plane_sites(phase)[0]  # type: ignore[arg-type]
    assert float(values[row, column]) == pytest.approx(0.1)


def test_white_fills_the_green_channel_first() -> None:
    white = to_camera_rgb(torch.ones(3, 2, 2), find("nikond850"))
    assert float(white[1, 0, 0]) == pytest.approx(1.0)
    assert float(white[0, 0, 0]) < 1.0 > float(white[2, 0, 0])


def test_odd_pictures_are_cut_or_refused() -> None:
    assert even_crop(torch.zeros(3, 7, 9)).shape == (3, 6, 8)
    assert even_crop(torch.zeros(3, 40, 90), (16, 16)).shape == (3, 16, 16)
    with pytest.raises(ValueError, match="2x2"):
        mosaic(torch.zeros(3, 7, 8))


def test_unusable_pictures_are_named(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(InputError, match="no such"):
        load_photograph(tmp_path / "absent.jpg")
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(UnsupportedRawError):
        load_photograph(tmp_path / "text.jpg")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:6000])
    with pytest.raises(DamagedFileError):
        load_photograph(tmp_path / "half.png")
    with pytest.raises(InputError, match="smaller"):
        load_photograph(picture, reduce=20)
    with pytest.raises(ConfigurationError, match="SonyA7S2"):
        find("box camera")


def test_dead_leaves_are_repeatable_and_have_structure_at_every_scale() -> None:
    first, second = (draw_scene(96, 96, torch.Generator().manual_seed(5), leaves=400) for _ in range(2))
    assert torch.equal(first, second)
    assert 0.0 <= float(first.min()) <= float(first.max()) <= 1.0
    spectrum = torch.fft.rfft2(first[1] - first[1].mean()).abs() ** 2
    # Natural images fall about as frequency^-2: each octave band loses a factor of about four per sample.
    bands = [float(spectrum[low : 2 * low, low : 2 * low].mean()) for low in (3, 6, 12, 24)]
    assert all(coarse > fine > 0 for coarse, fine in pairwise(bands))
