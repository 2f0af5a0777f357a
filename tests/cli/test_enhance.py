"""`rawdiff enhance` as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner, Result

from rawdiff.cli.main import app
from rawdiff.color.icc import make_icc_profile
from rawdiff.raw.frame import Exposure, FrameTags
from rawdiff.raw.picture_read import read_picture
from rawdiff.raw.pictures import write_jpeg
from rawdiff.raw.png import write_png


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["enhance", *(str(argument) for argument in arguments)])


def dark(dtype: type = np.uint8, height: int = 48, width: int = 70) -> np.ndarray:
    """A dim room with a lamp."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    room = 0.12 + 0.06 * np.sin(x / 4) * np.cos(y / 5)
    room = np.where((x - 50) ** 2 + (y - 12) ** 2 < 60, 0.8, room)[..., None] * np.array([1.0, 0.8, 0.6])
    return np.rint(room * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize(("dtype", "kind"), [(np.uint8, "png"), (np.uint16, "png"), (np.uint16, "tiff")])
def test_strength_0_gives_the_picture_back(tmp_path: Path, dtype: type, kind: str) -> None:
    source = tmp_path / f"dark.{kind}"
    if kind == "png":
        write_png(source, dark(dtype))
    else:
        tifffile.imwrite(source, dark(dtype), photometric="rgb")
    result = invoke(source, "-o", tmp_path / "out", "--strength", 0, "--format", kind)
    assert result.exit_code == 0, result.output
    found = read_picture(tmp_path / "out" / ("dark.png" if kind == "png" else "dark.tif")).pixels
    # Through linear light in single precision and back: within a count of 16 bits, exact in 8.
    assert found.dtype == dtype
    assert np.abs(found.astype(np.int64) - dark(dtype)).max() <= (0 if dtype is np.uint8 else 1)


def test_a_dark_picture_comes_out_lit_with_its_metadata_and_its_record(tmp_path: Path) -> None:
    source = tmp_path / "dark.jpg"
    tags = FrameTags(orientation=6, exposure=Exposure(time_s=0.5, aperture=2.0, iso=3200, captured_at=None))
    write_jpeg(source, dark(), icc=make_icc_profile("srgb"), tags=tags, upright=False)
    result = invoke(source, "-o", tmp_path / "out", "--format", "jpeg,png", "--json")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["event"] == "summary" and events[-1]["done"] == 1
    with Image.open(tmp_path / "out" / "dark.jpg") as picture:
        assert picture.size == (48, 70) and picture.getexif()[274] == 1
        assert picture.getexif().get_ifd(0x8769)[34855] == 3200
        shown = np.array(picture)
    assert 80 < shown.mean() < 140 and dark().mean() < 40
    record = json.loads((tmp_path / "out" / "dark.json").read_text())
    assert record["enhanced"]["name"] == "local" and record["color"] == "sRGB by its profile"
    assert len(record["inputs"][0]["sha256"]) == 64


def test_another_profile_is_converted(tmp_path: Path) -> None:
    write_png(tmp_path / "wide.png", dark(), icc=make_icc_profile("display-p3"))
    write_png(tmp_path / "plain.png", dark())
    for name in ("wide", "plain"):
        result = invoke(tmp_path / f"{name}.png", "-o", tmp_path, "--strength", 0, "--format", "tiff")
        assert result.exit_code == 0, result.output
    wide, plain = (tifffile.imread(tmp_path / f"{name}.tif").astype(float) for name in ("wide", "plain"))
    assert "converted" in json.loads((tmp_path / "wide.json").read_text())["color"]
    # Display P3's red lies outside sRGB: the same numbers mean redder light there.
    assert (wide[..., 0] > plain[..., 0] + 100).mean() > 0.9
    assert np.abs(wide - plain).max() < 0.05 * 65535


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", dark())
    assert invoke(tmp_path / "a.png", "-o", tmp_path / "out").exit_code == 0
    before = (tmp_path / "out" / "a.jpg").read_bytes()
    refused = invoke(tmp_path / "a.png", "-o", tmp_path / "out", "--strength", 0)
    assert refused.exit_code == 2 and "--overwrite" in refused.output
    assert (tmp_path / "out" / "a.jpg").read_bytes() == before
    assert invoke(tmp_path / "a.png", "-o", tmp_path / "out", "--overwrite").exit_code == 0
    assert (tmp_path / "out" / "a.jpg").read_bytes() == before
    own = invoke(tmp_path / "a.png", "-o", tmp_path, "--format", "png", "--overwrite")
    assert own.exit_code == 2 and "its own input" in own.output


def test_one_bad_picture_never_stops_the_others(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", dark())
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    result = invoke(tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 6 and (tmp_path / "out" / "a.jpg").is_file()
    assert not (tmp_path / "out" / "b.jpg").exists()
    assert invoke(tmp_path / "b.png", "-o", tmp_path / "out").exit_code == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--enhance", "magic"), "there is no enhancer 'magic'"),
        (("--strength", "2"), "from 0 to 1"),
        (("--format", "gif"), "is not a format of pictures"),
        (("--denoise", "--recipe", "magic"), "there is no recipe 'magic'"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    write_png(tmp_path / "a.png", dark())
    result = invoke(tmp_path / "a.png", "-o", tmp_path / "out", *options)
    assert result.exit_code == 2 and words in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", dark())
    result = invoke(tmp_path / "a.png", "-o", tmp_path / "out", "--dry-run", "--format", "png,tiff")
    assert result.exit_code == 0 and "a.png, a.tif" in result.output and not (tmp_path / "out").exists()


def test_denoising_first_is_recorded(tmp_path: Path) -> None:
    noisy = dark(np.uint16, 64, 96).astype(float) + np.random.default_rng(0).normal(0, 1200, (64, 96, 3))
    write_png(tmp_path / "a.png", np.clip(noisy, 0, 65535).astype(np.uint16))
    arguments = (tmp_path / "a.png", "--strength", 0, "--format", "tiff", "--recipe", "wavelet-shrink")
    result = invoke(*arguments, "-o", tmp_path / "out", "--denoise")
    assert result.exit_code == 0, result.output
    clean = tifffile.imread(tmp_path / "out" / "a.tif").astype(float)
    truth = dark(np.uint16, 64, 96).astype(float)
    assert np.square(clean - truth).mean() < 0.6 * np.square(noisy - truth).mean()
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["denoised"]["recipe"] == "wavelet-shrink"
