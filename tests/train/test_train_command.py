"""`rawdiff train` from outside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from rawdiff.cli.train import train
from rawdiff.train import tasks
from rawdiff.train.plan import TrainingPlan

TINY = TrainingPlan(
    batch=2, side=16, warmup=2, widths=(6, 8), blocks=(1, 1), reductions=(1,), leaves=0, leaves_share=0.0
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    small = replace(tasks.TASKS["mmse"], plan=TINY)
    monkeypatch.setitem(tasks.TASKS, "mmse", small)
    program = typer.Typer()
    program.command()(train)
    return program


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    coarse = np.random.default_rng(4).integers(0, 255, (12, 12, 3), np.uint8)
    Image.fromarray(coarse).resize((180, 170), Image.Resampling.BICUBIC).save(folder / "one.png")
    return folder


def test_a_run_is_trained_resumed_and_finished(app: typer.Typer, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    threads = str(torch.get_num_threads())
    asked = ["mmse", "--photos", str(photos), "-o", str(out), "--threads", threads]
    first = CliRunner().invoke(app, [*asked, "--cooldown", "3", "--json"])
    assert first.exit_code == 0, first.output
    assert json.loads(first.output.splitlines()[-1])["step"] == 3
    assert {"mmse.safetensors", "mmse.md", "log.jsonl", "curves.svg", "state.pt"} <= {
        p.name for p in out.iterdir()
    }
    assert "rawdiff train mmse --photos photos" in (out / "mmse.md").read_text()
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 2
    again = CliRunner().invoke(app, [*asked, "--resume", "--hours", "0.0001"])
    assert again.exit_code == 0, again.output
    grown = ["mmse", "--photos", str(photos), "-o", str(tmp_path / "grown"), "--blocks", "2,1", "--threads"]
    grown += [threads, "--cooldown", "2", "--start-from", str(out / "mmse.safetensors")]
    assert CliRunner().invoke(app, grown).exit_code == 0
    card = (tmp_path / "grown" / "mmse.md").read_text()
    assert "--blocks 2,1 --start-from mmse.safetensors" in card
    assert "- started from: mmse.safetensors sha256" in card


def test_requests_that_cannot_be_meant_are_refused(app: typer.Typer, photos: Path, tmp_path: Path) -> None:
    base = ["--photos", str(photos), "-o", str(tmp_path / "run")]
    assert CliRunner().invoke(app, ["magic", *base]).exit_code == 2
    assert CliRunner().invoke(app, ["mmse", *base, "--hours", "0"]).exit_code == 2
    assert CliRunner().invoke(app, ["mmse", *base, "--resume"]).exit_code == 2
    assert CliRunner().invoke(app, ["mmse", *base, "--option", "steps"]).exit_code == 2
    assert CliRunner().invoke(app, ["mmse", *base, "--leave-out", "a box"]).exit_code == 2
    for blocks in ("3", "1,0", "1,x"):
        assert CliRunner().invoke(app, ["mmse", *base, "--blocks", blocks]).exit_code == 2
    assert CliRunner().invoke(app, ["mmse", *base, "--resume", "--start-from", "x"]).exit_code == 2
    assert not (tmp_path / "run").exists()
    absent = ["mmse", "--photos", str(tmp_path / "none"), "-o", str(tmp_path / "run")]
    assert CliRunner().invoke(app, absent).exit_code == 3
