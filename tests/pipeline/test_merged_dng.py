"""The DNG of a merged burst: other programs open it, and it says of how many frames it is."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rawpy
import torch
from typer.testing import CliRunner

from rawdiff.cli.main import app
from rawdiff.raw.frame import RawFrame
from rawdiff.raw.ingest import read_raw
from rawdiff.simulate.burst import BurstPlan, write_burst
from rawdiff.simulate.cameras import find
from rawdiff.simulate.dead_leaves import draw_scene
from rawdiff.simulate.scene import enlarge_scene

FRAMES = 4


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `process --burst one --report`, the sources in `in` beside its outputs."""
    folder = tmp_path_factory.mktemp("merged")
    scene = enlarge_scene(draw_scene(120, 132, torch.Generator().manual_seed(1), 200), 2)
    plan = BurstPlan(find("NikonD850"), iso=800, ratio=20, frames=FRAMES, shake_px=3.0, seed=3)
    list(write_burst(scene, folder / "in", plan, overwrite=False))
    command = ["process", str(folder / "in"), "-o", str(folder), "--burst", "one", "--report"]
    command += ["--recipe", "wavelet-shrink", "--reference", "frame_002", "--format", "jpeg,dng,linear-dng"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return folder


def test_all_outputs_go_under_the_reference(outputs: Path) -> None:
    made = {path.name for path in outputs.iterdir() if path.is_file() and not path.name.startswith(".")}
    suffixes = (".jpg", ".dng", "-linear.dng", ".html", ".json")
    assert {f"frame_002{suffix}" for suffix in suffixes} <= made


def test_it_is_the_reference_with_more_light(outputs: Path) -> None:
    merged, source = read_raw(outputs / "frame_002.dng"), read_raw(outputs / "in" / "frame_002.dng")
    assert isinstance(merged, RawFrame) and isinstance(source, RawFrame)
    assert (merged.shape, merged.phase) == (source.shape, source.phase)
    assert merged.tags.camera.model == source.tags.camera.model
    assert merged.tags.exposure == source.tags.exposure
    np.testing.assert_allclose(
        merged.tags.color.as_shot_neutral,
        source.tags.color.as_shot_neutral,
        rtol=1e-3,  # type: ignore[arg-type]
    )
    # The whole 16 bits over a pedestal, and the same light: n = 10^4 cells of noise below 0.05 of white.
    assert float(merged.levels.white_dn.max()) > 60000
    ours, theirs = (
        float(((f.mosaic_dn - f.levels.black_dn.mean()) / f.levels.range_dn().mean()).mean())
        for f in (merged, source)
    )
    assert ours == pytest.approx(theirs, rel=0.01)
    slope = [pair[0] for pair in merged.tags.noise_profile or ()]
    assert slope and max(slope) < min(pair[0] for pair in source.tags.noise_profile or ())
    with rawpy.imread(str(outputs / "frame_002.dng")) as raw:
        assert raw.raw_image_visible.shape == source.shape
        assert raw.postprocess(use_camera_wb=True).std() > 5


def test_it_says_of_how_many_frames_and_how_much_light(outputs: Path) -> None:
    exiftool = shutil.which("exiftool")
    if exiftool is None:
        pytest.skip("exiftool is not installed")
    for name in ("frame_002.dng", "frame_002-linear.dng", "frame_002.jpg"):
        told = subprocess.run(
            [exiftool, "-json", "-n", "-validate", "-warning", "-CompositeImage", "-CompositeImageCount",
             "-CompositeImageExposureTimes", "-ExposureTime", str(outputs / name)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        tags = json.loads(told.stdout)[0]
        assert tags["CompositeImage"] == 2
        assert tags["CompositeImageCount"] == f"{FRAMES} {FRAMES}"
        times = [float(word) for word in str(tags["CompositeImageExposureTimes"]).split()]
        one = float(tags["ExposureTime"])
        assert times[1:3] == pytest.approx([FRAMES * one] * 2, rel=1e-3)
        assert times[7:9] == [1, FRAMES] and times[9:] == pytest.approx([one] * FRAMES, rel=1e-3)
        assert "Warning" not in tags, tags
    record = json.loads((outputs / "frame_002.json").read_text())
    assert len(record["inputs"]) == FRAMES and record["applied"]["effective_exposures"] > 3


def test_a_dry_run_lists_the_plan_and_writes_nothing(outputs: Path, tmp_path: Path) -> None:
    command = ["process", str(outputs / "in"), "-o", str(tmp_path / "none"), "--dry-run", "--burst"]
    one = CliRunner().invoke(app, [*command, "one"])
    assert one.exit_code == 0 and not (tmp_path / "none").exists()
    assert "frame_000.dng, frame_001.dng, frame_002.dng, frame_003.dng -> " in " ".join(one.output.split())
    each = CliRunner().invoke(app, [*command, "each", "--json"])
    plans = [json.loads(line) for line in each.output.splitlines()]
    assert [len(plan["frames"]) for plan in plans if plan["event"] == "plan"] == [1] * FRAMES
