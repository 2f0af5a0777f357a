"""`rawdiff calibrate` from files: the figures of a known camera come out, bad frames are refused."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rawdiff_calibration
import typer
from PIL import Image
from rawdiff_calibration.profile_json import load_profile
from rawdiff_calibration.sensor import SimulatedSensor
from typer.testing import CliRunner

from rawdiff.cli.calibrate import calibrate
from rawdiff.cli.simulate import simulate

SENSOR = SimulatedSensor(shape=(256, 320), seed=7, hot=5e-4)
LEVELS = (0.02, 0.08, 0.2, 0.4, 0.6)


def _run(*arguments):
    app = typer.Typer()
    app.command()(calibrate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _save(folder, name, mosaic, iso=400.0, time=0.01, **more):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", np.asarray(mosaic).astype(np.uint16))
    notes = {"cfa": "RGGB", "black": 512, "white": 16383, "iso": iso, "time_s": time}
    notes |= {"make": "Acme", "model": "One"} | more
    lines = [f"{key} = {json.dumps(value)}" for key, value in notes.items()]
    (folder / f"{name}.npy.toml").write_text("\n".join(lines))


def _write_set(folder, iso=400.0, sensor=SENSOR, darks=6):
    for i in range(darks):
        _save(folder / "darks", f"d{i}_{iso:g}", sensor.dark(0.01, iso=iso, seed=i), iso)
    for i, level in enumerate(LEVELS):
        time = level * 15871 / sensor.gain_dn_per_e(iso)[1] / sensor.flux_e_per_s
        for j in (0, 1):
            frame = sensor.flat(iso=iso, seed=100 + 2 * i + j, exposure_s=time)
            _save(folder / "flats", f"f{i}{j}_{iso:g}", frame, iso, time)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    _write_set(folder)
    return folder


@pytest.fixture(scope="module")
def calibrated(frames, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    arguments = ["--flats", frames / "flats", "--darks", frames / "darks"]
    result = _run(*arguments, "-o", out / "acme.json", "--report", out / "acme.html", "--json")
    assert result.exit_code == 0, result.output
    return out, result


@pytest.fixture
def copied(frames, tmp_path):
    shutil.copytree(frames, tmp_path / "set")
    return tmp_path / "set"


def _calibrate(folder, *more):
    out = folder.parent / "p.json"
    result = _run("--flats", folder / "flats", "--darks", folder / "darks", "-o", out, *more)
    assert result.exit_code == 0 or not out.exists(), "no profile may appear where calibration failed"
    return result


def test_profile_holds_the_cameras_figures(calibrated):
    out, _ = calibrated
    profile = load_profile(out / "acme.json")
    truth, found = SENSOR.noise_model(400.0), profile.noise_model(400.0)
    # 80 kP, 5 pairs, 6 darks: K is known to about 0.5 %, the read noise to 0.3 %; 4 standard errors.
    assert found.gain_dn_per_e[1] == pytest.approx(truth.gain_dn_per_e[1], rel=0.02)
    assert found.read_noise_dn[1] == pytest.approx(truth.read_noise_dn[1], rel=0.02)
    assert profile.camera.make == "Acme" and len(profile.provenance["files"]) == 16


def test_arrays_lie_beside_the_profile(calibrated):
    out, _ = calibrated
    named = json.loads((out / "acme.json").read_text())["maps"]
    with np.load(out / named["file"]) as maps:
        assert {name: list(maps[name].shape) for name in maps} == named["arrays"]
        assert maps["defects"].shape == SENSOR.shape


def test_json_is_one_object_a_line_and_tells_verdicts(calibrated):
    records = [json.loads(line) for line in calibrated[1].stdout.splitlines()]
    last = records[-1]
    assert last["event"] == "calibrated" and last["iso"][0]["iso"] == 400.0
    good = [v for v in last["verdicts"] if v["grade"] == "good"]
    assert any("explains the noise" in v["text"] for v in good)
    assert any("explains the darks" in v["text"] for v in good)


def test_report_is_self_contained(calibrated):
    text = (calibrated[0] / "acme.html").read_text()
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text.count("<figure") >= 8


def test_same_frames_give_the_same_bytes(calibrated, frames, tmp_path):
    arguments = ["--flats", frames / "flats", "--darks", frames / "darks"]
    assert _run(*arguments, "-o", tmp_path / "acme.json").exit_code == 0
    assert (tmp_path / "acme.json").read_bytes() == (calibrated[0] / "acme.json").read_bytes()


def test_existing_profile_is_kept_unless_told(copied):
    out = copied.parent / "p.json"
    out.write_text("mine")
    arguments = ["--flats", copied / "flats", "--darks", copied / "darks", "-o", out]
    refused = _run(*arguments)
    assert refused.exit_code == 2 and "--overwrite" in refused.stderr and out.read_text() == "mine"
    assert _run(*arguments, "--overwrite").exit_code == 0 and load_profile(out)


def test_pattern_that_the_shell_has_expanded_is_explained(frames):
    flats = sorted((frames / "flats").glob("*.npy"))
    result = _run("--flats", flats[0], *flats[1:3], "-o", "p.json")
    assert result.exit_code == 2 and "quotes" in result.stderr


def test_check_of_the_own_profile_is_good(calibrated, frames):
    result = _run("--check", calibrated[0] / "acme.json", frames / "flats", frames / "darks")
    assert result.exit_code == 0, result.output
    assert "explains the noise" in result.output and "explains the darks" in result.output


def test_check_of_a_wrong_profile_fails_with_the_reason(calibrated, frames, tmp_path):
    record = json.loads((calibrated[0] / "acme.json").read_text())
    entry = record["iso"][0]
    entry["gain_dn_per_e"]["value"] *= 1.5
    for color in entry["gain_rgb_dn_per_e"]:
        color["value"] *= 1.5
    (tmp_path / "wrong.json").write_text(json.dumps(record))
    result = _run("--check", tmp_path / "wrong.json", frames / "flats")
    assert result.exit_code == 4 and "too much noise" in result.output


def test_check_of_tags_needs_tags(frames):
    result = _run("--check", "tag", frames / "flats" / "f00_400.npy")
    _refused(result, "no NoiseProfile tag")


def test_fits_frames_are_read(copied):
    fits = pytest.importorskip("astropy.io.fits")
    for path in list((copied / "darks").glob("*.npy")):
        unit = fits.PrimaryHDU(np.load(path).astype(np.int32))
        unit.header["ISOSPEED"], unit.header["EXPTIME"], unit.header["BAYERPAT"] = 400, 0.01, "RGGB"
        unit.header["MAKE"], unit.header["INSTRUME"] = "Acme", "One"
        unit.writeto(path.with_suffix(".fits"))
        with (
            (path.with_suffix(".fits")).open("rb") as plain,
            gzip.open(path.with_suffix(".fit.gz"), "wb") as packed,
        ):
            shutil.copyfileobj(plain, packed)
        path.with_suffix(".fits").unlink()
        path.unlink()
        (path.parent / f"{path.name}.toml").unlink()
    result = _calibrate(copied)
    assert result.exit_code == 0, result.output


def test_a_part_of_the_frame_is_enough(copied):
    result = _calibrate(copied, "--crop", "32,64,192,192")
    assert result.exit_code == 0, result.output
    named = json.loads((copied.parent / "p.json").read_text())["maps"]["arrays"]
    assert named["defects"] == [192, 192]


@pytest.mark.parametrize("crop", ["1,0,64,64", "0,0,9999,64", "0,0,64", "a,b,c,d"])
def test_crop_that_cannot_be_is_refused(frames, tmp_path, crop):
    result = _run("--flats", frames / "flats", "-o", tmp_path / "p.json", "--crop", crop)
    assert result.exit_code == 2 and "crop" in result.stderr


def test_photon_counts_give_quantum_efficiency(copied, tmp_path):
    """Green answers 30000 electrons a second in the middle, 0.95 of it on average, to 60000 photons."""
    result = _calibrate(copied, "--photons", "60000", "--json")
    assert result.exit_code == 0, result.output
    sheets = json.loads((tmp_path / "p.json").read_text())["emva_1288"]
    assert [sheet["color"] for sheet in sheets] == ["R", "G", "B"]
    # 20 kP of green in 5 pairs: K to 1 %, and QE with it.
    assert sheets[1]["quantum_efficiency"]["value"] == pytest.approx(0.475, rel=0.04)
    assert sheets[1]["threshold_p"]["value"] == pytest.approx(
        sheets[1]["threshold_e"]["value"] / 0.475, rel=0.04
    )
    assert sheets[0]["quantum_efficiency"]["value"] == pytest.approx(0.285, rel=0.04)
    told = json.loads(result.stdout.splitlines()[-1])["emva_1288"]
    assert told[1]["quantum_efficiency"] == sheets[1]["quantum_efficiency"]["value"]
    notes = [path.read_text().splitlines() for path in (copied / "flats").glob("*.toml")]
    lines = {line.split(" = ")[1] for note in notes for line in note if line.startswith("time_s")}
    table = tmp_path / "photons.csv"
    table.write_text("exposure_s,photons\n" + "".join(f"{t},{60000 * float(t)}\n" for t in sorted(lines)))
    again = _calibrate(copied, "--photons", table, "--overwrite")
    assert again.exit_code == 0 and "QE" in again.stdout, again.output
    same = json.loads((tmp_path / "p.json").read_text())["emva_1288"]
    assert same[1]["quantum_efficiency"]["value"] == pytest.approx(told[1]["quantum_efficiency"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("-5", "cannot be"),
        ("nowhere.csv", "photon counts"),
        ("file,photons\nf00_400.npy,5\n", "no photon count"),
    ],
)
def test_photon_counts_that_cannot_be_meant(copied, tmp_path, given, message):
    if "\n" in given:
        (tmp_path / "table.csv").write_text(given)
        given = tmp_path / "table.csv"
    result = _calibrate(copied, "--photons", given)
    assert result.exit_code == 2 and message in " ".join(result.stderr.split()), result.output


def test_an_odd_flat_joins_the_pair_of_its_exposure(copied):
    frames = sorted((copied / "flats").glob("f4?_400.npy"))
    time = json.loads(
        frames[0].with_name(frames[0].name + ".toml").read_text().split("time_s = ")[1].split()[0]
    )
    _save(copied / "flats", "f42_400", SENSOR.flat(iso=400.0, seed=999, exposure_s=time), 400.0, time)
    _save(
        copied / "flats", "lone", SENSOR.flat(iso=400.0, seed=998, exposure_s=0.9 * time), 400.0, 0.9 * time
    )
    result = _calibrate(copied)
    assert result.exit_code == 0 and "6 pairs of flats" in result.output, result.output
    assert "(lone.npy)" in result.output and "f42_400" not in result.output


def _stepped_chart():
    """Eight grey steps in one frame, low enough for PRNU to count little."""
    steps = np.geomspace(30, 1500, 8).astype(np.float32)
    light = np.kron(steps.reshape(2, 4), np.ones((128, 80), np.float32))
    return SENSOR.expose(light, 0.01, iso=400.0, seed=77)


def test_a_chart_stands_in_for_flats_with_its_trust_stated(copied):
    _save(copied, "chart", _stepped_chart())
    out = copied.parent / "chart.json"
    result = _run("--chart", copied / "chart.npy", "--darks", copied / "darks", "-o", out)
    assert result.exit_code == 0, result.output
    profile, truth = load_profile(out), SENSOR.noise_model(400.0)
    gain = profile.iso[0].gain_dn_per_e
    assert gain.value == pytest.approx(truth.gain_dn_per_e[1], rel=0.1)
    assert gain.covers(truth.gain_dn_per_e[1], 2)
    assert "one frame of a chart" in profile.provenance["trust"]["400"]
    assert "! chart at ISO 400: one frame of a chart" in result.stdout


def test_a_chart_beside_flats_is_refused(copied):
    _save(copied, "chart", _stepped_chart())
    _refused(_calibrate(copied, "--chart", copied / "chart.npy"), "has this chart and flats")


def _refused(result, message):
    assert result.exit_code == 4, result.output
    assert message in result.stderr and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()[-1]) < 400


def test_mixed_cameras_are_refused(copied):
    _save(copied / "flats", "other", SENSOR.flat(iso=400.0, seed=1, level_e=3000), model="Two")
    _refused(_calibrate(copied), "Acme Two")


def test_mixed_sizes_are_refused(copied):
    _save(copied / "flats", "small", np.full((128, 128), 3000))
    _refused(_calibrate(copied), "128x128")


def test_mixed_isos_are_refused(copied):
    for path in (copied / "darks").glob("*.toml"):
        path.write_text(path.read_text().replace("iso = 400.0", "iso = 800.0"))
    _refused(_calibrate(copied), "the flats are of ISO 400, the darks of ISO 800")


def test_darks_of_one_more_iso_take_their_gain_from_the_others_and_it_is_told(copied):
    for i in range(6):
        _save(copied / "darks", f"d{i}_800", SENSOR.dark(0.01, iso=800.0, seed=i), 800.0)
    result = _calibrate(copied)
    assert result.exit_code == 0 and "! darks at ISO 800: no flats at this ISO" in result.output
    gains = {entry.iso: entry.gain_dn_per_e.value for entry in load_profile(copied.parent / "p.json").iso}
    assert gains[800.0] == pytest.approx(2 * gains[400.0], rel=0.01)


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    result = _run("--flats", tmp_path / "empty", "-o", tmp_path / "p.json")
    assert result.exit_code == 2 and "holds no frames" in result.stderr


def test_file_without_iso_is_refused_unless_told(copied):
    path = copied / "darks" / "d0_400.npy.toml"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("iso")))
    _refused(_calibrate(copied), "states no ISO")
    assert _calibrate(copied, "--iso", "400").exit_code == 0


def test_clipped_flats_are_refused(copied):
    for path in (copied / "flats").glob("*.npy"):
        np.save(path, np.full(SENSOR.shape, 16383, np.uint16))
    _refused(_calibrate(copied), "white level")


def test_one_pair_lit_differently_is_left_out_and_told(copied):
    path = copied / "flats" / "f21_400.npy"
    np.save(path, (np.load(path) * 1.2).astype(np.uint16))
    result = _calibrate(copied)
    assert result.exit_code == 0 and "left out" in result.output and "f21_400.npy" in result.output


def test_light_leak_is_refused(copied):
    glow = np.linspace(0, 60, SENSOR.shape[1])[None, :]
    for path in (copied / "darks").glob("*.npy"):
        np.save(path, (np.load(path) + glow).astype(np.uint16))
    _refused(_calibrate(copied), "light leak")


def test_smoothed_frames_are_refused(copied):
    for path in (copied / "darks").glob("*.npy"):
        f = np.load(path).astype(float)
        np.save(
            path,
            np.rint((f + np.roll(f, 2, 0) + np.roll(f, 2, 1) + np.roll(f, (2, 2), (0, 1))) / 4).astype(
                np.uint16
            ),
        )
    _refused(_calibrate(copied), "smoothed")


def test_too_few_frames_are_refused(copied):
    for path in sorted((copied / "darks").glob("*.npy"))[1:]:
        path.unlink()
    _refused(_calibrate(copied), "at least two")


def test_darks_alone_are_refused(copied):
    result = _run("--darks", copied / "darks", "-o", copied.parent / "p.json")
    _refused(result, "no flats")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to calibrate with"),
        (("-o", "p.json"), "nothing to calibrate with"),
        (("--flats", "nowhere/*.npy", "-o", "p.json"), "no file matches 'nowhere/*.npy'"),
        (("--flats", "nowhere/*.npy"), "no profile to write"),
        (("--flats", "a.npy", "--check", "p.json"), "two tasks"),
        (("--check", "p.json"), "no frames to judge by"),
    ],
)
def test_requests_that_cannot_be_meant(arguments, message):
    result = _run(*arguments)
    assert result.exit_code == 2 and message in " ".join(result.stderr.split()), result.output


def test_tag_and_profile_are_judged_on_dng_frames(tmp_path):
    y, x = np.mgrid[:320, :480]
    ramp = (60 + 120 * (x / 480) + 40 * np.sin(y / 60)).astype(np.uint8)
    Image.fromarray(np.stack([ramp, ramp, ramp], axis=-1)).save(tmp_path / "scene.png")
    app = typer.Typer()
    app.command()(simulate)
    camera = ["--camera", "SonyA7S2", "--iso", "3200", "--ratio", "4", "--frames", "2"]
    made = CliRunner().invoke(app, [str(tmp_path / "scene.png"), "-o", str(tmp_path / "burst"), *camera])
    assert made.exit_code == 0, made.output
    frames = sorted((tmp_path / "burst").glob("*.dng"))
    builtin = Path(rawdiff_calibration.__file__).parent / "builtin"
    right = _run("--check", builtin / "SonyA7S2.json", *frames)
    assert right.exit_code == 0 and "1 pairs at ISO 3200" in right.output, right.output
    wrong = _run("--check", builtin / "CanonEOS5D4.json", *frames)
    assert wrong.exit_code == 4 and "too much noise" in wrong.output
    assert "stabilised variance" in _run("--check", "tag", *frames).output
