"""`rawdiff calibrate` on real sensors, beside fits made by hand (figures in the data's own notes)."""

from __future__ import annotations

import csv
import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest
import typer
from rawdiff_calibration.profile_json import load_profile
from typer.testing import CliRunner

from rawdiff.cli.calibrate import calibrate

pytestmark = pytest.mark.shared_data
pytest.importorskip("astropy.io.fits")

TAPS = ["30,60,480,1000", "30,1092,480,1000", "530,60,480,1000", "530,1092,480,1000"]
HAND_FIT_E_PER_DN = (2.51, 2.54)


def _run(*arguments):
    app = typer.Typer()
    app.command()(calibrate)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def test_nikon_series(shared_data: Path, tmp_path: Path) -> None:
    """84 crops at 23 shutter speeds, two lamps at some; FITS files say nothing of CFA and levels."""
    source, folder = shared_data / "calibration" / "nikon_d7000_ptc", tmp_path / "flats"
    folder.mkdir()
    with (source / "conditions.csv").open() as table:
        for row in csv.DictReader(table):
            name = row["crop.file.name"]
            shutil.copy(source / name, folder / name)
            time = float(Fraction(row["shutter.speed"]))
            notes = {"cfa": "GBRG", "black": 0, "white": 16383, "iso": 100, "time_s": time}
            notes |= {"make": "NIKON CORPORATION", "model": "NIKON D7000"}
            lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in notes.items())
            (folder / f"{name}.toml").write_text(lines)
    result = _run("--flats", folder, "-o", tmp_path / "d7000.json", "--report", tmp_path / "d7000.html")
    profile = load_profile(tmp_path / "d7000.json")
    gain = profile.iso[0].gain_rgb_dn_per_e[1]
    assert gain.value == pytest.approx(0.39, rel=0.02) and gain.se < 0.01 * gain.value
    assert "left out: 4 above 90% of saturation" in result.stdout  # the brightest crops, at 15000 DN
    assert "second flat of the pair is" in result.stdout  # the other lamp
    assert "<svg" in (tmp_path / "d7000.html").read_text()


@pytest.mark.parametrize("tap", [TAPS[0], *(pytest.param(tap, marks=pytest.mark.slow) for tap in TAPS[1:])])
def test_four_tap_ccd(shared_data: Path, tmp_path: Path, tap: str) -> None:
    folder = shared_data / "calibration" / "ccd_4tap"
    flats = [x for name in ("04803", "04804") for x in ("--flats", folder / f"ESIS1_{name}.fit.gz")]
    darks = [x for name in ("04860", "04861") for x in ("--darks", folder / f"ESIS1_{name}.fit.gz")]
    result = _run(*flats, *darks, "--crop", tap, "--iso", "1", "-o", tmp_path / "ccd.json")
    figures = load_profile(tmp_path / "ccd.json").iso[0]
    low, high = HAND_FIT_E_PER_DN
    assert 0.98 * low < 1 / figures.gain_dn_per_e.value < 1.02 * high
    # About 10 e- by hand, from the same darks.
    assert 9.0 < figures.read_noise_dn.value / figures.gain_dn_per_e.value < 11.0
    assert "interference" in result.stdout


def test_noise_chart_in_one_frame(shared_data: Path, tmp_path: Path) -> None:
    dump = tmp_path / "chart.raw"
    shutil.copy(shared_data / "raw" / "openisp_noise_chart_1920x1080_rggb_u16_10bit.raw", dump)
    notes = {"width": 1920, "height": 1080, "bits": 10, "packing": "u16", "cfa": "RGGB"}
    notes |= {"black": 4, "white": 1020, "iso": 100}
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in notes.items())
    (tmp_path / "chart.raw.toml").write_text(lines)
    page = tmp_path / "chart.html"
    result = _run("--chart", dump, "-o", tmp_path / "chart.json", "--report", page)
    profile = load_profile(tmp_path / "chart.json")
    for gain in profile.iso[0].gain_rgb_dn_per_e:
        assert 0.08 < gain.value < 0.15 and gain.se > 0.1 * gain.value
    assert "one frame of a chart" in result.stdout and "below the step of 4 DN" in result.stdout
    assert "one frame of a chart" in page.read_text()
    assert "one frame" in profile.provenance["trust"]["100"]
