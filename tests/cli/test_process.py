"""`rawdiff process` as its user meets it: files, exit codes, one line on errors, resume after a kill."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from rawdiff.cli.main import app
from rawdiff.raw.frame import RawFrame
from rawdiff.raw.ingest import read_raw
from rawdiff.simulate.burst import BurstPlan, write_burst
from rawdiff.simulate.cameras import find


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small dark frames of a scene, as DNG files, minutes apart so that each is a photograph."""
    folder = tmp_path_factory.mktemp("shots")
    y, x = torch.meshgrid(torch.linspace(0, 9, 160), torch.linspace(0, 12, 240), indexing="ij")
    scene = torch.stack([0.4 + 0.3 * torch.sin(x), 0.4 + 0.3 * torch.cos(y), 0.4 + 0.2 * torch.sin(x * y)])
    plan = BurstPlan(find("SonyA7S2"), iso=3200, ratio=50, frames=4)
    list(write_burst(scene, folder, plan, overwrite=False))
    return folder


def test_every_format_comes_out_whole_with_its_provenance(shots: Path, tmp_path: Path) -> None:
    frame = shots / "frame_001.dng"
    result = invoke("process", frame, "-o", tmp_path, "--format", "jpeg,tiff,dng,linear-dng", "--json")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1] == {"event": "summary", "done": 1, "skipped": 0, "failed": 0, "folder": str(tmp_path)}
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    stems = ("frame_001.jpg", "frame_001.tif", "frame_001.dng", "frame_001-linear.dng", "frame_001.json")
    assert names == set(stems)
    with Image.open(tmp_path / "frame_001.jpg") as picture:
        assert picture.size == (240, 160)
    record = json.loads((tmp_path / "frame_001.json").read_text())
    assert record["configuration"]["recipe"] == "auto"
    assert record["recipe"]["name"] == "exposure" and "electrons" in record["recipe"]["reason"]
    assert record["inputs"][0]["file"] == "frame_001.dng" and len(record["inputs"][0]["sha256"]) == 64
    clean, dark = read_raw(tmp_path / "frame_001.dng"), read_raw(frame)
    assert isinstance(clean, RawFrame) and isinstance(dark, RawFrame)
    assert clean.phase == dark.phase and clean.shape == dark.shape
    light = [
        (f.mosaic_dn - f.levels.black_dn[0, 0]).mean() / f.levels.range_dn()[0, 0] for f in (clean, dark)
    ]
    assert light[0] == pytest.approx(light[1], rel=0.005)
    assert max(clean.tags.noise_profile)[0] < 0.5 * max(dark.tags.noise_profile)[0]


def test_uncertainty_is_written_in_electrons_and_display_values(shots: Path, tmp_path: Path) -> None:
    frame = shots / "frame_001.dng"
    result = invoke("process", frame, "-o", tmp_path, "--uncertainty")
    assert result.exit_code == 0, result.output
    with tifffile.TiffFile(tmp_path / "frame_001-uncertainty.tif") as file:
        deviation_e, display = (page.asarray() for page in file.pages)
        assert "electrons" in file.pages[0].description and "display" in file.pages[1].description
    assert deviation_e.shape == display.shape == (160, 240)
    assert deviation_e.dtype == display.dtype == np.float32
    dark = read_raw(frame)
    assert isinstance(dark, RawFrame)
    noise = json.loads((tmp_path / "frame_001.json").read_text())["noise"]["model"]
    gain = noise["gain_dn_per_e"][1]
    light_e = np.clip((dark.mosaic_dn - dark.levels.black_dn[0, 0]) / gain, 0, None)
    spread_e = (light_e.mean() + (noise["read_noise_dn"][1] / gain) ** 2) ** 0.5
    # Surer than the photograph was, and not sure beyond reason: the scene is smooth.
    assert 0.01 * spread_e < np.median(deviation_e) < 0.6 * spread_e
    assert 0 < np.median(display) < 0.1
    again = invoke("process", frame, "-o", tmp_path, "--uncertainty", "--format", "tiff")
    assert again.exit_code == 2 and "exists already" in again.stderr


def test_only_what_a_recipe_has_may_be_asked_of_it(shots: Path, tmp_path: Path) -> None:
    frame = shots / "frame_001.dng"
    for recipe, option in (
        ("mmse", ("--samples", 2)),
        ("mmse", ("--steps", 2)),
        ("sigma-map", "--uncertainty"),
        ("auto", ("--samples", 2)),
    ):
        extra = option if isinstance(option, tuple) else (option,)
        result = invoke("process", frame, "-o", tmp_path, "--recipe", recipe, *extra)
        assert result.exit_code == 2, result.output
        assert "done" not in result.output  # said once, before a file is begun
    walk = ("--recipe", "sigma-map", "--steps", 2, "--samples", 2, "--seed", 3)
    assert invoke("process", frame, "-o", tmp_path, *walk).exit_code == 0


def test_the_same_command_gives_the_same_bytes_whatever_the_tiles(shots: Path, tmp_path: Path) -> None:
    outputs = []
    for number, tile in enumerate((None, None, 64, 128)):
        out = tmp_path / str(number)
        extra = () if tile is None else ("--tile", tile)
        recipe = ("--recipe", "wavelet-shrink")
        options = ("--format", "jpeg,dng", *recipe, *extra)
        assert invoke("process", shots / "frame_000.dng", "-o", out, *options).exit_code == 0
        outputs.append([(out / f"frame_000{suffix}").read_bytes() for suffix in (".jpg", ".dng")])
    assert all(output == outputs[0] for output in outputs[1:])


def test_an_enhanced_picture_is_normally_lit_and_its_dng_is_not(shots: Path, tmp_path: Path) -> None:
    frame, quick = shots / "frame_001.dng", ("--recipe", "wavelet-shrink", "--format", "tiff,dng")
    for name, extra in (("plain", ()), ("lit", ("--enhance", "local", "--tile", 64))):
        result = invoke("process", frame, "-o", tmp_path / name, *quick, *extra)
        assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "lit" / "frame_001.json").read_text())
    assert record["applied"]["enhanced"]["name"] == record["configuration"]["enhance"] == "local"
    pixels = [tifffile.imread(tmp_path / name / "frame_001.tif") / 65535 for name in ("plain", "lit")]
    assert 0.35 < pixels[1].mean() < 0.5 and np.abs(pixels[0] - pixels[1]).mean() > 0.01
    clean = [read_raw(tmp_path / name / "frame_001.dng") for name in ("plain", "lit")]
    assert np.array_equal(*(frame.mosaic_dn for frame in clean if isinstance(frame, RawFrame)))


def test_done_work_is_not_done_again_and_nothing_is_overwritten(shots: Path, tmp_path: Path) -> None:
    command = ("process", shots / "frame_000.dng", "-o", tmp_path)
    assert invoke(*command).exit_code == 0
    stamp = (tmp_path / "frame_000.jpg").stat().st_mtime_ns
    again = invoke(*command)
    assert again.exit_code == 0 and "already done" in again.output
    assert (tmp_path / "frame_000.jpg").stat().st_mtime_ns == stamp
    other = invoke(*command, "--strength", "0.5")
    assert other.exit_code == 2 and "--overwrite" in other.output
    # The refusal leaves no trace that would make the file ours at the next try.
    assert invoke(*command, "--strength", "0.5").exit_code == 2
    assert (tmp_path / "frame_000.jpg").stat().st_mtime_ns == stamp
    assert invoke(*command, "--strength", "0.5", "--overwrite").exit_code == 0


def test_one_bad_file_never_stops_the_others(shots: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.dng"
    bad.write_bytes((shots / "frame_000.dng").read_bytes()[:5000])
    out = tmp_path / "out"
    result = invoke("process", bad, shots / "frame_001.dng", "-o", out, "--burst", "each")
    assert result.exit_code == 6
    assert (out / "frame_001.jpg").exists() and not (out / "bad.jpg").exists()
    alone = invoke("process", bad, "-o", out)
    assert alone.exit_code == 3
    assert "Traceback" not in alone.output


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--strength", "2"), 2, "strength is from 0 to 1"),
        (("--recipe", "magic"), 2, "there is no recipe 'magic'"),
        (("--format", "png"), 2, "is not an output format"),
        (("--white-balance", "blue"), 2, "no white balance"),
        (("--device", "cuda"), 2, "no CUDA device"),
        (("--max-memory", "lots"), 2, "is not a size"),
        (("--max-memory", "100MB"), 2, "needs about 0.7 GB"),
        (("--recipe", "wavelet-shrink", "--steps", "3"), 2, "takes no steps"),
        (("--enhance", "magic"), 2, "there is no enhancer 'magic'"),
        (("--enhance", "local", "--enhance-strength", "2"), 2, "strength of an enhancement"),
        (("--enhance", "local", "--format", "dng"), 2, "DNGs keep the light"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(
    shots: Path, tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    result = invoke("process", shots / "frame_000.dng", "-o", tmp_path / "out", *options)
    assert result.exit_code == code
    assert words in " ".join(result.output.split())
    assert not list((tmp_path / "out").glob("frame*")) if (tmp_path / "out").exists() else True


def test_a_missing_file_is_exit_3(tmp_path: Path) -> None:
    result = invoke("process", tmp_path / "none.dng", "-o", tmp_path / "out")
    assert result.exit_code == 3 and "no such file" in result.output


def test_a_dry_run_says_and_does_nothing(shots: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = invoke("process", shots / "frame_000.dng", "-o", out, "--dry-run", "--format", "jpeg,dng")
    assert result.exit_code == 0 and "frame_000.jpg, frame_000.dng" in result.output
    assert not out.exists()


def run_until_killed(command: list[str], after_s: float) -> None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [1.5, 3.0, 4.0, 5.0, 7.0])
def test_after_a_kill_the_same_command_finishes_the_work(shots: Path, tmp_path: Path, after_s: float) -> None:
    program = shutil.which("rawdiff", path=str(Path(sys.executable).parent))
    assert program is not None
    frames = [str(shots / f"frame_{number:03d}.dng") for number in range(4)]
    command = [program, "process", *frames, "-o", str(tmp_path), "--burst", "each", "--format", "jpeg,dng"]
    run_until_killed(command, after_s)
    standing = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("frame_*")}
    for name in standing:
        check_whole(tmp_path / name)
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".rawdiff")}
    expected = {f"frame_{n:03d}{suffix}" for n in range(4) for suffix in (".jpg", ".dng", ".json")}
    assert names == expected
    for name in names:
        check_whole(tmp_path / name)


def check_whole(path: Path) -> None:
    if path.suffix == ".jpg":
        with Image.open(path) as picture:
            picture.load()
    elif path.suffix == ".dng":
        assert np.isfinite(read_raw(path).mosaic_dn).all()  # type: ignore[union-attr]
    else:
        json.loads(path.read_text())
