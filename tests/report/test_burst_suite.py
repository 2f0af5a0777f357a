"""The burst tables on one small photograph."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from rawdiff.cli.main import app
from rawdiff.report.burst_cases import highlight_error, shoot
from rawdiff.report.burst_suite import FRAMES, BurstResult, Row, run_suite
from rawdiff.train.photographs import Photograph


def leave(
    planes: torch.Tensor, gain: torch.Tensor, sigma: torch.Tensor, exposure: object, strength: float
) -> torch.Tensor:
    return planes


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Photograph:
    path = tmp_path_factory.mktemp("photographs") / "soft.png"
    coarse = np.random.default_rng(2).integers(0, 255, (14, 14, 3), np.uint8)
    Image.fromarray(coarse).resize((200, 200), Image.Resampling.BICUBIC).save(path)
    return Photograph(str(path))


@pytest.mark.slow
def test_the_tables_have_the_shape_that_photons_give_them(photograph: Photograph) -> None:
    found = run_suite([photograph], {"left": leave}, side=200)
    rows = {(row.case, row.sharpness, row.white_e, row.frames): row.figures for row in found.means()}
    assert len(rows) == 2 * (2 * (len(FRAMES) + 1) + 2)
    for white_e in (400.0, 60.0):
        still = [rows["still", "soft", white_e, frames] for frames in FRAMES]
        for frames, figures in zip(FRAMES, still, strict=True):
            # The mean of N frames: 10 log10 N, on a few thousand cells, known to 0.1 dB.
            assert figures["ideal"] - figures["single"] == pytest.approx(10 * math.log10(frames), abs=0.4)
            assert figures["left on merge"] == pytest.approx(figures["merge"], abs=1e-6)
        merged = [figures["merge"] for figures in still]
        assert merged == sorted(merged)
        assert rows["moving", "soft", white_e, 8]["merge in box"] > 0
    tripod = rows["brackets, tripod", "soft", 1000.0, 3]
    # The frames align themselves: of 21 exposures a few hundredths of a pixel take a part, never add one.
    assert 6 < tripod["shadow gain dB"] < tripod["promised by photons dB"] + 0.5
    assert set(found.seconds_per_mp) == {"align", "merge"} and min(found.seconds_per_mp.values()) > 0
    assert json.loads(json.dumps(found.as_json()))["means"]


def test_a_ghost_is_seen_by_its_figure() -> None:
    """A merge that holds a share of the object where it stood elsewhere correlates with that change."""
    scene = torch.linspace(0.2, 0.4, 200).expand(3, 160, 200).contiguous()
    with_object = shoot(scene, 400.0, "SonyA7S2", 3200.0, frames=3, motion="object")
    plain = shoot(scene, 400.0, "SonyA7S2", 3200.0, frames=3)
    truth, elsewhere = with_object.seen_from(1), with_object.seen_from(0)
    assert with_object.ghost(0.8 * truth + 0.2 * elsewhere, plain) > 0.5
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    assert abs(with_object.ghost(truth + 1e-3 * noise, plain)) < 0.1
    with pytest.raises(ValueError, match="nothing moves"):
        plain.object_box()


def test_tinted_highlights_are_told() -> None:
    scene = torch.full((3, 128, 128), 0.7)
    shots = shoot(scene, 1000.0, "SonyA7S2", 3200.0, frames=2, brackets=(1.0, 16.0))
    truth = shots.seen_from(0)
    assert highlight_error(truth, truth, shots) == 0
    magenta = truth * torch.tensor([1.1, 1.0, 1.0, 1.1]).view(4, 1, 1)
    assert highlight_error(magenta, truth, shots) > 3
    assert math.isnan(highlight_error(truth * 0, truth * 0, shots))


def test_means_leave_out_what_a_scene_does_not_have() -> None:
    rows = [
        Row("brackets", name, "soft", 1.0, 3, {"x": value}) for name, value in (("a", 2.0), ("b", math.nan))
    ]
    assert BurstResult(rows).means()[0].figures == {"x": 2.0}


def test_an_unknown_suite_is_named(photograph: Photograph) -> None:
    result = CliRunner().invoke(app, ["evaluate", "nothing", "--photos", str(Path(photograph.path).parent)])
    assert result.exit_code == 2 and "denoise, burst or enhance" in result.output
