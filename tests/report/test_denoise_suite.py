"""The denoising table on one small photograph."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from rawdiff.cli.evaluate import evaluate
from rawdiff.errors import ConfigurationError
from rawdiff.report import classical
from rawdiff.report.denoise_cases import REFERENCE, conditions, cut_quarter, draw_cases
from rawdiff.report.denoise_suite import SuiteResult, run_suite
from rawdiff.report.denoise_table import ladder, write_tables
from rawdiff.report.peers import KeptFigures, Peer
from rawdiff.train.photographs import Photograph

ECHO = """
import sys
import numpy as np
for line in sys.stdin:
    source, target = line.split()
    with np.load(source) as frame:
        np.savez(target, planes=frame["planes"])
    print(0.5, flush=True)
"""


@pytest.fixture
def photograph(tmp_path: Path) -> Photograph:
    coarse = np.random.default_rng(2).integers(0, 255, (6, 6, 3), np.uint8)
    Image.fromarray(coarse).resize((160, 150), Image.Resampling.BICUBIC).save(tmp_path / "soft.png")
    return Photograph(str(tmp_path / "soft.png"))


def test_the_ladder_stands_in_order(photograph: Photograph) -> None:
    pytest.importorskip("skimage")
    methods = {"nlm": classical.non_local_means, "noisy": classical.leave_noisy}
    found = run_suite([photograph], methods, conditions(["NikonD850"]), (100.0, 300.0), side=96)
    assert len(found.rows) == 2 * 2 * 2  # methods, ratios, sharpnesses
    assert found.methods() == ["noisy", "nlm"]
    for sharpness in ("sharp", "soft"):
        for ratio in (100.0, 300.0):
            gain, _ = found.gain("nlm", "noisy", ratio, sharpness)
            assert gain > 3  # decibels; smooth scenes, twenty patches to average
            better, worse = (found.mean(name, ratio, sharpness) for name in ("nlm", "noisy"))
            assert gain == pytest.approx(better - worse)
    for row in found.rows:
        assert row.figures.aligned_psnr_db > row.figures.psnr_db - 0.2
        assert 0 < row.figures.ssim < 1
    assert found.mean("nlm", 100.0, "soft", "delta_e") < found.mean("noisy", 100.0, "soft", "delta_e")
    assert json.loads(json.dumps(found.as_json()))["cpu_s_per_mp"]["nlm"] > 0


def test_conditions_have_the_published_noise_without_offsets() -> None:
    reference = conditions([])[0]
    camera = conditions(["CanonEOS70D"], 3200.0)[0]
    assert reference.name == REFERENCE
    assert reference.noise.gain_dn_per_e == (4.0, 4.0, 4.0)
    assert camera.noise.bias_dn == (0.0, 0.0, 0.0, 0.0)
    assert camera.noise.gain_dn_per_e[0] == pytest.approx(0.4075 * 32, rel=0.01)


def test_noisy_input_has_the_error_its_noise_predicts(photograph: Photograph) -> None:
    found = run_suite([photograph], {"noisy": classical.leave_noisy}, conditions([]), (100.0,), side=96)
    # White is 15871/100/4 = 39.7 e-, so a value v has variance (39.7 v + 1.06) / 39.7^2, and v is below 1.
    worst = -10 * np.log10((39.7 + 1.06) / 39.7**2)
    best = -10 * np.log10(1.06 / 39.7**2)
    assert worst < found.rows[0].figures.psnr_db < best
    assert all(abs(row["bias"]) < 4 * row["standard_error"] + 0.002 for row in found.bias["noisy"])


def test_a_frame_is_the_same_whatever_else_is_in_the_table(photograph: Photograph, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.new("RGB", (160, 150), (90, 80, 70)).save(other)
    alone = [frame.digest() for frame in draw_cases([photograph], conditions(["NikonD850"]), (300.0,), 64)]
    where = conditions(["NikonD850"])
    both = draw_cases([Photograph(str(other)), photograph], where, (100.0, 300.0), 64)
    assert set(alone) < {frame.digest() for frame in both}


def test_cameras_see_the_quarters_of_the_centre_in_turn() -> None:
    scene = torch.arange(600 * 700, dtype=torch.float32).reshape(1, 600, 700)
    corners = [cut_quarter(scene, quarter, 256) for quarter in range(4)]
    assert all(corner.shape == (1, 256, 256) for corner in corners)
    # The centre of 512 begins 44 down and 94 across, so its quarters begin 256 pixels apart.
    starts = [int(corner[0, 0, 0]) for corner in corners]
    assert starts == [44 * 700 + 94, 44 * 700 + 350, 300 * 700 + 94, 300 * 700 + 350]
    assert cut_quarter(scene[:, :101, :90], 3, 256).shape == (1, 100, 90)


def test_peers_run_once_and_are_remembered(photograph: Photograph, tmp_path: Path) -> None:
    program = tmp_path / "echo.py"
    program.write_text(ECHO, encoding="utf-8")
    kept, where = tmp_path / "kept.json", conditions([])
    ours = {"noisy": classical.leave_noisy}
    with Peer("echo", [sys.executable, str(program)]) as peer:
        first = run_suite([photograph], ours, where, (100.0,), 64, peers=[peer], kept=KeptFigures(kept))
    assert first.gain("echo", "noisy", 100.0, "sharp")[0] == 0.0
    again = run_suite([photograph], ours, where, (100.0,), 64, kept=KeptFigures(kept))
    assert again.mean("echo", 100.0, "soft") == pytest.approx(first.mean("echo", 100.0, "soft"), rel=1e-5)
    assert again.cpu_s_per_mp("echo") == pytest.approx(0.5 / (64 * 64 / 1e6))
    with pytest.raises(ConfigurationError, match="never ran"):
        run_suite([photograph], ours, where, (300.0,), 64, kept=KeptFigures(kept))


def test_tables_say_what_the_rows_hold(photograph: Photograph) -> None:
    ours = {"noisy": classical.leave_noisy, "same": classical.leave_noisy}
    found = run_suite([photograph], ours, conditions(["NikonD850"]), (100.0,), 64)
    assert f"| sharp, ratio 100 | {found.mean('noisy', 100.0, 'sharp'):.2f} |" in ladder(found)
    text = write_tables(found, versus="noisy")
    assert "| +0.00 +- nan | +0.00 +- nan |" in text  # one photograph has no spread
    assert "NikonD850 ISO 1600" in text
    two = SuiteResult(found.rows + [replace(row, photograph="other") for row in found.rows])
    assert "| +0.00 +- 0.00 |" in write_tables(two, versus="noisy")


def test_merged_frames_keep_their_light_in_classical_denoisers() -> None:
    pytest.importorskip("skimage")
    gain, sigma = torch.full((4,), 1e-3), torch.full((4,), 2e-3)
    exposure = torch.full((24, 24), 9.0)
    exposure[:, 12:] = 1.0
    flat = torch.full((4, 24, 24), 0.05)
    clean = classical.non_local_means(flat, gain, sigma, exposure, 1.0)
    # The unbiased inverse of a noise-free transform is up to a quarter electron away, divided by n.
    assert float((clean - flat).abs().max()) < 0.3e-3


def test_the_command_writes_what_it_measures(photograph: Photograph, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(evaluate)
    target = tmp_path / "table.json"
    asked = ["denoise", "--photos", str(tmp_path), "--methods", "noisy", "--cameras", "", "--ratios", "100"]
    result = CliRunner().invoke(app, [*asked, "--json-file", str(target)])
    assert result.exit_code == 0, result.output
    assert "| sharp, ratio 100 |" in result.output
    assert json.loads(target.read_text())["rows"][0]["condition"] == REFERENCE
    assert "Flat grey" in result.output
    for bad in (["video"], ["denoise", "--methods", "magic"], ["denoise", "--ratios", "x"]):
        refused = CliRunner().invoke(app, [*bad, "--photos", str(tmp_path)])
        assert refused.exit_code == 2
    for option, value in (("--side", "16"), ("--peer", "bm3d")):
        refused = CliRunner().invoke(app, [*asked, option, value])
        assert refused.exit_code == 2
