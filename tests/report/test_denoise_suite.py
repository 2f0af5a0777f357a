"""The denoising table on one small photograph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from rawdiff.cli.evaluate import evaluate
from rawdiff.report import classical
from rawdiff.report.denoise_suite import REFERENCE, conditions, run_suite
from rawdiff.train.photographs import Photograph


@pytest.fixture
def photograph(tmp_path: Path) -> Photograph:
    coarse = np.random.default_rng(2).integers(0, 255, (6, 6, 3), np.uint8)
    Image.fromarray(coarse).resize((160, 150), Image.Resampling.BICUBIC).save(tmp_path / "soft.png")
    return Photograph(str(tmp_path / "soft.png"))


def test_the_ladder_stands_in_order(photograph: Photograph) -> None:
    pytest.importorskip("skimage")
    methods = {"noisy": classical.leave_noisy, "nlm": classical.non_local_means}
    found = run_suite([photograph], methods, conditions(["NikonD850"]), (100.0, 300.0), side=96)
    assert len(found.scores) == 2 * 2 * 2 * 2  # methods, conditions, ratios, sharpnesses
    for sharpness in ("sharp", "soft"):
        for ratio in (100.0, 300.0):
            gain = found.mean("nlm", ratio, sharpness) - found.mean("noisy", ratio, sharpness)
            assert gain > 3  # decibels; smooth scenes, twenty patches to average
    for score in found.scores:
        assert score.aligned_psnr_db > score.psnr_db - 0.2
        assert 0 < score.ssim < 1
    assert json.loads(json.dumps(found.as_json()))["seconds_per_mp"]["nlm"] > 0


def test_conditions_have_the_published_noise_without_offsets() -> None:
    reference, camera = conditions(["CanonEOS70D"], 3200.0)
    assert reference.name == REFERENCE
    assert reference.noise.gain_dn_per_e == (4.0, 4.0, 4.0)
    assert camera.noise.bias_dn == (0.0, 0.0, 0.0, 0.0)
    assert camera.noise.gain_dn_per_e[0] == pytest.approx(0.4075 * 32, rel=0.01)


def test_noisy_input_has_the_error_its_noise_predicts(photograph: Photograph) -> None:
    found = run_suite([photograph], {"noisy": classical.leave_noisy}, conditions([]), (100.0,), side=96)
    # White is 15871/100/4 = 39.7 e-, so a value v has variance (39.7 v + 1.06) / 39.7^2, and v is below 1.
    worst = -10 * np.log10((39.7 + 1.06) / 39.7**2)
    best = -10 * np.log10(1.06 / 39.7**2)
    assert worst < found.scores[0].psnr_db < best
    assert all(abs(row["bias"]) < 4 * row["standard_error"] + 0.002 for row in found.bias["noisy"])


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
    import typer

    app = typer.Typer()
    app.command()(evaluate)
    target = tmp_path / "table.json"
    asked = ["denoise", "--photos", str(tmp_path), "--methods", "noisy", "--cameras", "", "--ratios", "100"]
    result = CliRunner().invoke(app, [*asked, "--json-file", str(target)])
    assert result.exit_code == 0, result.output
    assert "x100  noisy" in result.output
    assert json.loads(target.read_text())["scores"][0]["condition"] == REFERENCE
    for bad in (["video"], ["denoise", "--methods", "magic"], ["denoise", "--ratios", "x"]):
        refused = CliRunner().invoke(app, [*bad, "--photos", str(tmp_path)])
        assert refused.exit_code == 2
