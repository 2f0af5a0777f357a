"""`rawdiff calibrate --blind`, `--import`, `--export`: other ways to a profile, and out of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rawdiff_calibration
import typer
from PIL import Image
from rawdiff_calibration.profile_json import load_profile
from typer.testing import CliRunner

from rawdiff.cli.calibrate import calibrate
from rawdiff.cli.simulate import simulate
from rawdiff.raw.ingest import read_raw, read_tags

BUILTIN = Path(rawdiff_calibration.__file__).parent / "builtin"


def _run(*arguments):
    app = typer.Typer()
    app.command()(calibrate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def burst(tmp_path_factory):
    """Four dark DNG frames of one still scene, with the Sony's published noise at ISO 3200."""
    folder = tmp_path_factory.mktemp("burst")
    y, x = np.mgrid[:320, :480]
    ramp = (60 + 120 * (x / 480) + 40 * np.sin(y / 60)).astype(np.uint8)
    Image.fromarray(np.stack([ramp, ramp, ramp], axis=-1)).save(folder / "scene.png")
    app = typer.Typer()
    app.command()(simulate)
    camera = ["--camera", "SonyA7S2", "--iso", "3200", "--ratio", "4", "--frames", "4"]
    made = CliRunner().invoke(app, [str(folder / "scene.png"), "-o", str(folder / "dng"), *camera])
    assert made.exit_code == 0, made.output
    return sorted((folder / "dng").glob("*.dng"))


@pytest.fixture(scope="module")
def truth():
    return load_profile(BUILTIN / "SonyA7S2.json").noise_model(3200.0)


def _usage(result, message):
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split()) and "Traceback" not in result.stderr


def test_a_burst_gives_the_noise_blindly(burst, truth, tmp_path):
    result = _run("--blind", *burst, "-o", tmp_path / "blind.json", "--json")
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["iso"]
    assert found["iso"] == 3200 and len(found["frames"]) == 4 and found["confidence"] > 0.5
    # 0.15 MP, two pairs: the gain is known to about 2 %; heavy tails make the read noise a few percent low.
    assert found["gain_dn_per_e"]["value"] == pytest.approx(truth.gain_dn_per_e[1], rel=0.1)
    assert found["read_noise_dn"]["value"] == pytest.approx(truth.read_noise_dn[1], rel=0.15)
    profile = load_profile(tmp_path / "blind.json")
    assert profile.provenance["method"] == "blind estimate" and len(profile.provenance["files"]) == 4
    assert profile.iso[0].other["confidence"].value == found["confidence"]
    assert _run("--check", tmp_path / "blind.json", *burst).exit_code == 0


def test_one_photograph_gives_the_noise_with_less_confidence(burst, truth):
    result = _run("--blind", burst[0])
    assert result.exit_code == 0 and "confidence" in result.stdout and "frame_000.dng" in result.stdout
    one = json.loads(_run("--blind", burst[0], "--json").stdout)["iso"][0]
    assert one["gain_dn_per_e"]["value"] == pytest.approx(truth.gain_dn_per_e[1], rel=0.2)


def test_blind_needs_frames():
    _usage(_run("--blind"), "no frames to estimate from")


def test_noise_profile_tags_are_imported(burst, tmp_path):
    result = _run("--import", burst[0], burst[1], "-o", tmp_path / "tag.json")
    assert result.exit_code == 0, result.output
    profile, (tags, _, _) = load_profile(tmp_path / "tag.json"), read_tags(burst[0])
    frame = read_raw(burst[0])
    black, white = frame.levels.per_plane(frame.phase)
    again = profile.noise_model(3200.0).to_dng((white[0] - black[0],) * 3)
    assert np.allclose(again, tags.noise_profile, rtol=1e-6)
    assert profile.camera.model == tags.camera.model
    assert profile.levels.white_dn.value == white[0]


def test_files_without_a_tag_cannot_be_imported(tmp_path):
    np.save(tmp_path / "a.npy", np.full((64, 64), 600, np.uint16))
    (tmp_path / "a.npy.toml").write_text('cfa = "RGGB"\nblack = 512\nwhite = 4095\niso = 100\n')
    result = _run("--import", tmp_path / "a.npy", "-o", tmp_path / "p.json")
    assert result.exit_code == 4 and "no NoiseProfile" in result.stderr and not (tmp_path / "p.json").exists()


def test_a_profile_goes_into_copies_of_dngs_and_nothing_else_changes(burst, tmp_path):
    profile = BUILTIN / "CanonEOS5D4.json"
    result = _run("--export", "dng", profile, *burst[:2], "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    copy = tmp_path / "out" / burst[0].name
    before, after = read_raw(burst[0]), read_raw(copy)
    assert np.array_equal(before.mosaic_dn, after.mosaic_dn)
    span = float(np.mean(before.levels.range_dn()))
    found = load_profile(profile).noise_model(3200.0, float(before.levels.white_dn.max()))
    assert np.allclose(after.tags.noise_profile, found.to_dng((span,) * 3), rtol=1e-9)
    assert before.tags.noise_profile != after.tags.noise_profile
    assert (before.tags.camera, before.tags.exposure) == (after.tags.camera, after.tags.exposure)
    again = _run("--export", "dng", profile, *burst[:2], "-o", tmp_path / "out")
    assert again.exit_code == 2 and "--overwrite" in again.stderr


def test_another_program_reads_the_tag(burst, tmp_path):
    exiftool = shutil.which("exiftool")
    if exiftool is None:
        pytest.skip("exiftool is not installed")
    assert _run("--export", "dng", BUILTIN / "CanonEOS5D4.json", burst[0], "-o", tmp_path).exit_code == 0
    copy = tmp_path / burst[0].name
    command = [exiftool, "-j", "-n", "-a", "-G1", "-NoiseProfile", "-warning", str(copy)]
    (told,) = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    values = {key: value for key, value in told.items() if key.endswith("NoiseProfile")}
    assert len(values) == 1 and not [key for key in told if key.endswith("Warning")], told
    seen = [float(part) for part in next(iter(values.values())).split()]
    assert np.allclose(seen, np.ravel(read_tags(copy)[0].noise_profile), rtol=1e-4)


def test_only_a_dng_holds_the_tag(tmp_path):
    np.save(tmp_path / "a.npy", np.full((64, 64), 600, np.uint16))
    (tmp_path / "a.npy.toml").write_text('cfa = "RGGB"\nblack = 512\nwhite = 4095\niso = 100\n')
    result = _run("--export", "dng", BUILTIN / "SonyA7S2.json", tmp_path / "a.npy", "-o", tmp_path / "out")
    assert result.exit_code == 3 and "not a DNG" in result.stderr
    assert not list((tmp_path / "out").glob("*"))


def test_darktables_format_goes_out_and_comes_back(burst, truth, tmp_path):
    table, profile = tmp_path / "noiseprofiles.json", tmp_path / "p.json"
    out = _run("--export", "darktable", BUILTIN / "SonyA7S2.json", "--levels", "512,16383", "-o", table)
    assert out.exit_code == 0, out.output
    named = ["--make", "Sony", "--model", "ILCE-7SM2"]
    result = _run("--import", table, *named, "--levels", "512,16383", "-o", profile)
    assert result.exit_code == 0 and "demosaiced" in result.output, result.output
    back = load_profile(profile).noise_model(3200.0)
    assert back.gain_dn_per_e == pytest.approx(truth.gain_dn_per_e)
    # Floors hold row noise and the rounding too; only the rounding is known apart again.
    expected = [np.hypot(read, truth.row_noise_dn) for read in truth.read_noise_dn]
    assert back.read_noise_dn == pytest.approx(expected)
    with_raw = _run("--import", table, burst[0], *named, "-o", tmp_path / "q.json")
    assert with_raw.exit_code == 0, with_raw.output


def test_the_installed_darktable_is_found(tmp_path):
    if shutil.which("darktable-cli") is None:
        pytest.skip("darktable is not installed")
    camera = ["--make", "NIKON CORPORATION", "--model", "NIKON D850", "--levels", "400,16383"]
    result = _run("--import", "darktable", *camera, "-o", tmp_path / "d850.json")
    assert result.exit_code == 0, result.output
    assert len(load_profile(tmp_path / "d850.json").iso) > 10


def test_a_published_table_is_imported(tmp_path):
    (tmp_path / "t.csv").write_text("iso,K,gauss_std_dn\n100,0.0956,1.007\n800,0.765,3.548\n")
    named = ["--make", "Sony", "--model", "ILCE-7SM2"]
    result = _run("--import", tmp_path / "t.csv", *named, "-o", tmp_path / "p.json", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["iso"][1]["gain_dn_per_e"] == {"value": 0.765, "se": None}
    assert load_profile(tmp_path / "p.json").noise_model(800.0).read_noise_dn[1] == 3.548


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--import", "nowhere.csv", "-o", "p.json"), "no such file"),
        (("--import", "darktable", "-o", "p.json"), "which camera is meant"),
        (("--import", "x.csv"), "-o PROFILE.json"),
        (("--import", "a.csv", "--import", "b.csv", "-o", "p.json"), "one table at a time"),
        (("--export", "lightroom", "p.json", "-o", "x"), "darktable or dng"),
        (("--export", "darktable", "-o", "x"), "no profile to export"),
        (("--export", "darktable", "nowhere.json", "-o", "x"), "cannot read the profile"),
        (("--export", "dng", "p.json"), "nowhere to write to"),
        (("--blind", "--check", "p.json"), "are two tasks"),
        (
            ("--levels", "5", "--import", "darktable", "--make", "A", "--model", "B", "-o", "p.json"),
            "BLACK,WHITE",
        ),
    ],
)
def test_requests_that_cannot_be_meant(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _usage(_run(*arguments), message)
