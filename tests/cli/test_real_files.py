"""Every real raw file at hand is processed, or refused with exit code 3 and a line that is right about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rawdiff.cli.main import app

DONE = ("colorchart.dng", "RAW_KODAK_DC50.KDC", "DSC8695.dng", "sample_1mp.dng", "sample_1mp_rotated.dng")
HEADERLESS = (
    "openisp_noise_chart_1920x1080_rggb_u16_10bit.raw",
    "nikon_768x512_rggb_u16_14bit.raw",
    "Indoor1_2592x1536_8bit_GRBG.raw",
    "Outdoor1_2592x1536_8bit_GRBG.raw",
    "Outdoor3_2592x1536_8bit_GRBG.raw",
)
SIDECARS = {
    HEADERLESS[0]: 'width = 1920\nheight = 1080\nbits = 10\npacking = "u16"\ncfa = "RGGB"\nblack = 0\n',
    HEADERLESS[1]: 'width = 768\nheight = 512\nbits = 14\npacking = "u16"\ncfa = "RGGB"\nblack = 600\n',
    HEADERLESS[2]: 'width = 2592\nheight = 1536\nbits = 8\npacking = "u8"\ncfa = "GRBG"\nblack = 0\n',
}


def process(path: Path, out: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["process", str(path), "-o", str(out), *options])
    assert "Traceback" not in result.output
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.shared_data
@pytest.mark.parametrize("name", DONE)
def test_a_real_raw_becomes_a_picture(shared_data: Path, tmp_path: Path, name: str) -> None:
    code, output = process(shared_data / "raw" / name, tmp_path)
    assert code == 0, output
    assert (tmp_path / f"{Path(name).stem}.jpg").stat().st_size > 1000


@pytest.mark.shared_data
def test_a_file_with_a_preview_is_read_by_its_raw(shared_data: Path, tmp_path: Path) -> None:
    """It either becomes a picture or is refused in one line; which depends on what its raw image is."""
    code, output = process(shared_data / "raw" / "dng_with_preview.dng", tmp_path)
    assert code in (0, 3), output
    assert (tmp_path / "dng_with_preview.jpg").exists() == (code == 0)


@pytest.mark.shared_data
@pytest.mark.parametrize("name", HEADERLESS)
def test_a_headerless_dump_asks_for_its_sidecar(shared_data: Path, tmp_path: Path, name: str) -> None:
    code, output = process(shared_data / "raw" / name, tmp_path)
    assert code == 3 and "sidecar" in output
    assert not list(tmp_path.glob("*.jpg"))


@pytest.mark.shared_data
@pytest.mark.parametrize("name", sorted(SIDECARS))
def test_a_headerless_dump_with_its_sidecar(shared_data: Path, tmp_path: Path, name: str) -> None:
    sidecar = tmp_path / "sidecar.toml"
    sidecar.write_text(SIDECARS[name])
    code, output = process(shared_data / "raw" / name, tmp_path / "out", "--sidecar", str(sidecar))
    assert code == 0, output


@pytest.mark.shared_data
def test_the_chart_in_every_format(shared_data: Path, tmp_path: Path) -> None:
    code, output = process(
        shared_data / "raw" / "colorchart.dng", tmp_path, "--format", "jpeg,tiff,dng,linear-dng"
    )
    assert code == 0, output
    names = {path.name for path in tmp_path.glob("colorchart*")}
    suffixes = (".jpg", ".tif", ".dng", "-linear.dng", ".json")
    assert names == {f"colorchart{suffix}" for suffix in suffixes}
