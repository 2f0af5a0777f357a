from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from rawdiff.color.icc import make_icc_profile
from rawdiff.errors import ConfigurationError, DamagedFileError, InputError, UnsupportedRawError
from rawdiff.raw.frame import Exposure, FrameTags
from rawdiff.raw.metadata_read import read_metadata
from rawdiff.raw.picture_read import read_picture
from rawdiff.raw.png import write_png


def values(dtype: type, height: int = 9, width: int = 13) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(0, top, (height, width, 3), endpoint=True).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_as_png_is_read_again(tmp_path: Path, dtype: type) -> None:
    path, pixels, icc = tmp_path / "a.png", values(dtype), make_icc_profile("display-p3")
    tags = FrameTags(exposure=Exposure(time_s=0.01, aperture=2.8, iso=400, captured_at=None))
    write_png(path, pixels, icc=icc, tags=tags, provenance={"made": "here"})
    found = read_picture(path)
    assert np.array_equal(found.pixels, pixels) and found.depth == 8 * np.dtype(dtype).itemsize
    assert found.icc == icc and found.orientation == 1
    with Image.open(path) as picture:
        picture.load()
        assert picture.getexif().get_ifd(0x8769)[34855] == 400
    assert b"here" in read_metadata(path).xmp


def test_a_png_carries_on_what_a_png_says(tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    tags = FrameTags(exposure=Exposure(time_s=0.25, aperture=None, iso=800, captured_at=None))
    write_png(first, values(np.uint8), tags=tags)
    write_png(second, values(np.uint8), source_file=first)
    assert read_metadata(second).exif[34855].numbers() == (800,)
    with pytest.raises(ConfigurationError, match="exists already"):
        write_png(second, values(np.uint8))


def test_orientations_turn_what_is_written(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", values(np.uint8), tags=FrameTags(orientation=6))
    assert np.array_equal(read_picture(tmp_path / "a.png").pixels, np.rot90(values(np.uint8), -1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiffs(tmp_path: Path, dtype: type, planar: str) -> None:
    path, pixels = tmp_path / "a.tif", values(dtype)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(path, stored, photometric="rgb", planarconfig=planar, extratags=[(274, 3, 1, 8, True)])
    found = read_picture(path)
    assert np.array_equal(found.pixels, pixels) and found.orientation == 8


def test_grey_and_palette_pictures_become_rgb(tmp_path: Path) -> None:
    grey = Image.fromarray(values(np.uint8)[..., 0])
    grey.save(tmp_path / "grey.png")
    assert np.array_equal(read_picture(tmp_path / "grey.png").pixels[..., 2], np.array(grey))
    indexed = Image.fromarray(values(np.uint8)).quantize(16)
    indexed.save(tmp_path / "p.png")
    assert np.array_equal(read_picture(tmp_path / "p.png").pixels, np.array(indexed.convert("RGB")))
    grey.save(tmp_path / "grey.jpg", quality=95)
    assert read_picture(tmp_path / "grey.jpg").pixels.shape == (9, 13, 3)


def test_what_is_no_picture_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(tmp_path / "none.png")
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(UnsupportedRawError, match="not a picture"):
        read_picture(tmp_path / "a.txt")
    Image.fromarray(values(np.uint8)).convert("CMYK").save(tmp_path / "c.jpg")
    with pytest.raises(UnsupportedRawError, match="CMYK"):
        read_picture(tmp_path / "c.jpg")
    tifffile.imwrite(tmp_path / "f.tif", values(np.uint8).astype(np.float32), photometric="rgb")
    with pytest.raises(UnsupportedRawError, match="float32"):
        read_picture(tmp_path / "f.tif")


def test_transparent_parts_are_refused_and_opaque_alpha_is_dropped(tmp_path: Path) -> None:
    pixels = np.dstack([values(np.uint8), np.full((9, 13), 255, np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png").pixels, pixels[..., :3])
    pixels[2, 3, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="transparent"):
        read_picture(tmp_path / "b.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_file_that_ends_early_is_damaged(tmp_path: Path, kind: str) -> None:
    buffer = BytesIO()
    Image.fromarray(values(np.uint8, 200, 300)).save(buffer, kind)
    for share in (0.02, 0.5):
        path = tmp_path / f"{kind}-{share}"
        path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * share)])
        with pytest.raises(DamagedFileError):
            read_picture(path)
