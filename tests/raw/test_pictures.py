from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from rawdiff.color.icc import make_icc_profile
from rawdiff.errors import ConfigurationError, ProcessingError
from rawdiff.raw.frame import Camera, Exposure, FrameTags
from rawdiff.raw.pictures import turn_upright, write_jpeg, write_tiff16

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# Damaged behind its header, and too long for one JPEG segment.
WIDE = ICC[:128] + bytes(200_000)


def tags(orientation: int = 1) -> FrameTags:
    return FrameTags(
        camera=Camera("Canon", "EOS 550D"), exposure=Exposure(1 / 40, 2.8, 6400), orientation=orientation
    )


def gradient(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    row, column = np.mgrid[:height, :width]
    return np.stack([row * 6, column * 4, (row + column) * 2], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_turned_as_the_orientation_says(tmp_path: Path, orientation: int) -> None:
    """Pillow turns a file with the tag as we turn the pixels."""
    tagged = Image.fromarray(gradient())
    exif = Image.Exif()
    exif[274] = orientation
    tagged.save(tmp_path / "tagged.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "tagged.png")))
    np.testing.assert_array_equal(turn_upright(gradient(), orientation), expected)

    write_jpeg(tmp_path / "a.jpg", gradient(), quality=100, tags=tags(orientation))
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.getexif()[274] == 1
        # JPEG's own loss at quality 100 with full chroma: rounding of YCbCr and of the transform.
        assert np.abs(np.asarray(picture).astype(int) - expected).max() <= 3

    deep = gradient().astype(np.uint16) * 257
    write_tiff16(tmp_path / "a.tif", deep, tags=tags(orientation))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), turn_upright(deep, orientation))


def test_pixels_may_stay_as_the_sensor_lies(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg", gradient(), tags=tags(6), upright=False)
    write_tiff16(tmp_path / "a.tif", gradient().astype(np.uint16), tags=tags(6), upright=False)
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.size == (60, 40)
        assert picture.getexif()[274] == 6
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].shape == (40, 60, 3)
        assert tiff.pages[0].tags[274].value == 6


def test_the_jpeg_carries_profile_and_exif(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg", gradient(), icc=WIDE, tags=tags())
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.info["icc_profile"] == WIDE
        exif = picture.getexif()
        assert (exif[271], exif[272]) == ("Canon", "EOS 550D")
        details = exif.get_ifd(34665)
    assert float(details[33434]) == 1 / 40
    assert details[34855] == 6400
    assert (details[40962], details[40963]) == (60, 40)
    assert details[40961] == 65535


@pytest.mark.parametrize(
    ("profile", "space"),
    [(b"", 1), (ICC, 1), (make_icc_profile("srgb"), 1), (make_icc_profile("display-p3"), 65535)],
)
def test_exif_calls_srgb_by_its_name(tmp_path: Path, profile: bytes, space: int) -> None:
    write_jpeg(tmp_path / "a.jpg", gradient(), icc=profile)
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.getexif().get_ifd(34665)[40961] == space


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("heights", [[200], [1, 63, 64, 72], [130, 70]])
def test_a_tiff_from_strips_is_the_tiff_from_the_whole(
    tmp_path: Path, compressed: bool, heights: list[int]
) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (200, 33, 3)).astype(np.uint16)
    strips = np.split(deep, np.cumsum(heights)[:-1])
    write_tiff16(tmp_path / "whole.tif", deep, icc=ICC, tags=tags(), compressed=compressed)
    write_tiff16(
        tmp_path / "strips.tif", iter(strips), size=(200, 33), icc=ICC, tags=tags(), compressed=compressed
    )
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "whole.tif"), deep)
    assert (tmp_path / "whole.tif").read_bytes() == (tmp_path / "strips.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "whole.tif") as tiff:
        assert tiff.pages[0].tags[34675].value == ICC
        assert tiff.pages[0].tags[34665].value["ExposureTime"] == (1, 40)


def test_a_jpeg_from_strips_is_the_jpeg_from_the_whole(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "whole.jpg", gradient())
    write_jpeg(tmp_path / "strips.jpg", iter([gradient()[:7], gradient()[7:]]))
    assert (tmp_path / "whole.jpg").read_bytes() == (tmp_path / "strips.jpg").read_bytes()


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    deep = gradient().astype(np.uint16)
    with pytest.raises(ValueError, match="quality"):
        write_jpeg(tmp_path / "a", gradient(), quality=0)
    with pytest.raises(ValueError, match="uint8"):
        write_jpeg(tmp_path / "a", deep)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint16"):
        write_tiff16(tmp_path / "a", gradient())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size of the whole"):
        write_tiff16(tmp_path / "a", iter([deep]))
    with pytest.raises(ValueError, match="rows came"):
        write_tiff16(tmp_path / "a", iter([deep]), size=(41, 60))
    with pytest.raises(ProcessingError, match="write a TIFF"):
        write_jpeg(tmp_path / "a", np.zeros((1, 70000, 3), np.uint8))
    assert not list(tmp_path.iterdir())
    write_jpeg(tmp_path / "a", gradient())
    with pytest.raises(ConfigurationError, match="exists already"):
        write_jpeg(tmp_path / "a", gradient())
