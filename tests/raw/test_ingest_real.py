"""The real raw files: each reads right, against a decoder that is not ours where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile

from rawdiff.errors import DamagedFileError
from rawdiff.raw.frame import LinearFrame, RawFrame
from rawdiff.raw.ingest import read_raw, read_tags

pytestmark = pytest.mark.shared_data


def test_colorchart_is_its_stored_values_in_its_own_active_area(shared_data: Path) -> None:
    path = shared_data / "raw" / "colorchart.dng"
    frame = read_raw(path)
    assert isinstance(frame, RawFrame)
    stored = tifffile.imread(path)[26:1182, 152:1886]
    assert np.array_equal(frame.mosaic_dn, stored.astype(np.float32))
    assert frame.phase == "RGGB"
    assert np.array_equal(frame.levels.black_dn, np.full((2, 2), 2056.0))
    assert np.array_equal(frame.levels.white_dn, np.full((2, 2), 15000.0))
    assert frame.mosaic_dn.min() < 2056  # true negatives after black survive
    neutral = frame.tags.color.as_shot_neutral
    assert neutral is not None
    np.testing.assert_allclose(neutral, np.array([1.0, 2.477, 1.462]) / 2.477)
    np.testing.assert_allclose(frame.tags.color.color_matrices[0][0], [0.6461, -0.1164, -0.0857])
    assert frame.tags.default_crop == (0, 0, 1156, 1734)
    assert frame.tags.color.baseline_exposure_ev == 0  # stored as 0/0
    assert read_tags(path)[1:] == (frame.shape, "mosaic")


def test_linear_dngs_are_linear_frames(shared_data: Path) -> None:
    upright = read_raw(shared_data / "raw" / "sample_1mp.dng")
    rotated = read_raw(shared_data / "raw" / "sample_1mp_rotated.dng")
    assert isinstance(upright, LinearFrame) and isinstance(rotated, LinearFrame)
    assert upright.shape == (338, 600)
    assert np.array_equal(upright.rgb_dn, rotated.rgb_dn)
    assert upright.tags.orientation == 1 and rotated.tags.orientation != 1
    assert upright.tags.applied_opcodes == ("MapPolynomial",)


def test_lossy_linear_dng_is_its_polynomials_of_the_stored_bytes(shared_data: Path) -> None:
    """LibRaw applies the same polynomials, in 16 bits: they agree within its rounding."""
    path = shared_data / "raw" / "sample_1mp.dng"
    frame = read_raw(path)
    assert isinstance(frame, LinearFrame)
    with rawpy.imread(str(path)) as raw:
        libraw = raw.raw_image[:, :, :3].astype(np.float64).transpose(2, 0, 1) / 65535
    light = (frame.rgb_dn - frame.black_dn[:, None, None]) / (frame.white_dn - frame.black_dn)[:, None, None]
    # LibRaw rounds to 1/65535; ours is float32 on a scale of 255.
    np.testing.assert_allclose(light, libraw, atol=1.01 / 65535)


def test_a_companded_black_keeps_the_noise_below_it(shared_data: Path) -> None:
    """DSC8695: black 51 of 255 before a cubic map; almost black, half of its noise is negative."""
    frame = read_raw(shared_data / "raw" / "DSC8695.dng")
    assert isinstance(frame, LinearFrame)
    light = (frame.rgb_dn - frame.black_dn[:, None, None]) / (frame.white_dn - frame.black_dn)[:, None, None]
    assert frame.black_dn.tolist() == [51.0, 51.0, 51.0]
    assert light.min() < 0 and 0 < light.mean() < 1e-3 and light.max() < 1e-2
    with tifffile.TiffFile(shared_data / "raw" / "DSC8695.dng") as tiff:
        stored = tiff.pages[0].pages[0].asarray().astype(np.float64)
    x = (stored[..., 1] - 51) / 204
    y = 0.00011551232653572652 * x + 0.014670065470037267 * np.abs(x) ** 2 * x
    np.testing.assert_allclose(light[1], y, atol=2 * 2.0**-18 / 204 * 64)  # float32 around 51 DN
    assert len(frame.tags.noise_profile) == 3
    assert frame.tags.camera.serial == "2055816"
    assert frame.tags.exposure.time_s == pytest.approx(1 / 1600)
    assert frame.tags.exposure.iso == 400
    captured = frame.tags.exposure.captured_at
    assert captured is not None and captured.startswith("2026-07-20T22:20:59")
    assert len(frame.tags.color.forward_matrices) == 2 and frame.tags.color.illuminants == (17, 21)


def test_kodak_raw_without_exif(shared_data: Path) -> None:
    path = shared_data / "raw" / "RAW_KODAK_DC50.KDC"
    frame = read_raw(path)
    assert isinstance(frame, RawFrame)
    assert frame.shape == (512, 768) and frame.phase == "GRBG"
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(frame.mosaic_dn, raw.raw_image_visible)
    assert frame.tags.exposure.time_s == pytest.approx(0.00435)
    assert frame.tags.exposure.captured_at == "1997-04-23T08:00:47"
    assert frame.tags.camera.make == "Eastman Kodak Company"
    assert frame.tags.color.color_matrices == () and frame.tags.color.as_shot_neutral is None
    assert frame.tags.color.origin == "no calibration"
    tags, shape, kind = read_tags(path)
    assert (shape, kind, tags.exposure) == (frame.shape, "mosaic", frame.tags.exposure)


@pytest.mark.parametrize("name", ["RAW_KODAK_DC50.KDC", "colorchart.dng", "sample_1mp.dng", "DSC8695.dng"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_truncated_real_files_end_early(shared_data: Path, tmp_path: Path, name: str, share: float) -> None:
    data = (shared_data / "raw" / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DamagedFileError, match=r"ends early|cannot be read"):
        read_raw(path)
