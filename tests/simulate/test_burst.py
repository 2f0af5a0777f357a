from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rawdiff.errors import ConfigurationError
from rawdiff.raw.frame import RawFrame
from rawdiff.raw.ingest import read_raw
from rawdiff.simulate.burst import BurstPlan, simulate_frames, write_burst
from rawdiff.simulate.cameras import find
from rawdiff.simulate.motion import Pose, draw_poses, look, reach

CAMERA = find("NikonD850")


def scene(height: int = 96, width: int = 128) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 6, height), torch.linspace(0, 8, width), indexing="ij")
    return torch.stack([0.4 + 0.3 * torch.sin(x), 0.4 + 0.3 * torch.cos(y), 0.4 + 0.2 * torch.sin(x + y)])


def test_the_files_say_what_the_camera_would_and_the_truth_is_beside_them(tmp_path: Path) -> None:
    plan = BurstPlan(CAMERA, iso=1600, ratio=100, frames=3, shake_px=3.0, rotation_deg=0.2, phase="GBRG")
    paths = list(write_burst(scene(), tmp_path, plan, overwrite=False))
    assert [p.name for p in paths] == [
        "frame_000.dng", "frame_001.dng", "frame_002.dng", "truth.npz", "simulation.json",
    ]  # fmt: skip
    frame = read_raw(paths[1])
    assert isinstance(frame, RawFrame)
    assert frame.phase == "GBRG"
    assert frame.tags.camera.model == "NIKON D850"
    assert frame.tags.exposure.iso == 1600
    assert frame.tags.exposure.time_s == pytest.approx(0.04)
    assert frame.tags.exposure.captured_at == "2026-01-01T22:00:00.200"
    span = CAMERA.white_dn - CAMERA.black_dn
    expected = CAMERA.noise_model(1600).to_dng((span,) * 3)
    assert np.allclose(frame.tags.noise_profile, expected, rtol=1e-6)
    truth = np.load(paths[3])
    assert truth["packed"].shape == (4, frame.shape[0] // 2, frame.shape[1] // 2)
    assert truth["rgb"].shape == (3, *frame.shape)
    told = json.loads(paths[4].read_text())
    assert told["truth_frame"] == 1
    assert told["frames"][1]["pose"] == {"shift_y": 0.0, "shift_x": 0.0, "rotation_deg": 0.0}


def test_the_mean_of_many_frames_is_the_truth() -> None:
    """64 still frames of K = 6.6 DN/e-: the mean is known to its noise / 8; n = 3072 pixels, 5 of those."""
    plan = BurstPlan(CAMERA, iso=1600, ratio=20, frames=64)
    noise = CAMERA.noise_model(1600)
    frames = list(simulate_frames(scene(48, 64), plan))
    span = CAMERA.white_dn - CAMERA.black_dn
    mean = np.mean([frame.mosaic_dn for frame in frames], axis=0) - CAMERA.black_dn
    clean = frames[0].clean.numpy() * span / 20
    deviation = np.sqrt((noise.gain_dn_per_e[1] * clean + max(noise.floor_variance_dn2())) / 64)
    # The published colour bias is part of the frame; rows share their noise, which does not average out in x.
    bias = max(abs(b) for b in noise.bias_dn)
    assert abs(float((mean - clean).mean())) < bias + 5 * deviation.mean() / 48**0.5
    assert float(((mean - clean) ** 2 / deviation**2).mean()) == pytest.approx(1.0, abs=0.5)


def test_the_seed_decides_and_defects_stay_where_they_are() -> None:
    plan = BurstPlan(CAMERA, iso=800, ratio=50, frames=2, defects=0.01, seed=4)
    one, two = (list(simulate_frames(scene(), plan)) for _ in range(2))
    assert all((a.mosaic_dn == b.mosaic_dn).all() for a, b in zip(one, two, strict=True))
    plain = list(simulate_frames(scene(), BurstPlan(CAMERA, iso=800, ratio=50, frames=2, seed=4)))
    stuck = [np.abs(a.mosaic_dn - b.mosaic_dn) > 300 for a, b in zip(one, plain, strict=True)]
    assert 0.7 * 123 < stuck[0].sum() < 1.3 * 123 and (stuck[0] == stuck[1]).mean() > 0.999


def test_a_pose_is_a_rotation_and_a_shift() -> None:
    """A linear ramp seen from a pose is the ramp at the pose's points, exact for a cubic spline."""
    height, width, margin = 40, 50, 10
    y, x = torch.meshgrid(torch.arange(height + 20.0), torch.arange(width + 20.0), indexing="ij")
    ramp = torch.stack([y, x, 100 + y + x]).double()
    seen = look(ramp, Pose(2.25, -1.5, 2.0), margin)
    angle = np.deg2rad(2.0)
    py, px = 17 - (height - 1) / 2, 31 - (width - 1) / 2
    expected_y = np.cos(angle) * py + np.sin(angle) * px + (height + 19) / 2 + 2.25
    expected_x = -np.sin(angle) * py + np.cos(angle) * px + (width + 19) / 2 - 1.5
    assert float(seen[0, 17, 31]) == pytest.approx(expected_y, abs=1e-3)
    assert float(seen[1, 17, 31]) == pytest.approx(expected_x, abs=1e-3)
    assert torch.equal(look(ramp, Pose(), margin), ramp[:, margin:-margin, margin:-margin])


def test_no_pose_looks_beyond_the_scene() -> None:
    poses = draw_poses(50, 25, 20.0, 0.5, torch.Generator().manual_seed(0))
    assert poses[25] == Pose()
    margin = reach(400, 600, 20.0, 0.5)
    half = np.hypot(200, 300) * np.deg2rad(0.5)
    assert all(abs(p.shift_y) <= 20 and abs(p.rotation_deg) <= 0.5 for p in poses)
    assert margin >= 20 + half + 2


def test_brackets_scale_the_light() -> None:
    frames = list(simulate_frames(scene(), BurstPlan(CAMERA, 200, 64, frames=3, brackets=(1.0, 4.0, 16.0))))
    light = [float(frame.mosaic_dn.mean()) - CAMERA.black_dn for frame in frames]
    assert light[1] / light[0] == pytest.approx(4, rel=0.05)
    assert light[2] / light[1] == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize(
    "wrong", [{"ratio": 0.5}, {"frames": 0}, {"brackets": ()}, {"brackets": (0.0,)}, {"defects": 0.9}]
)
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        BurstPlan(**{"camera": CAMERA, "iso": 100, "ratio": 10, **wrong})  # type: ignore[arg-type]


def test_too_much_shake_for_the_photograph_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leaves nothing"):
        next(simulate_frames(scene(), BurstPlan(CAMERA, 100, 10, frames=2, shake_px=60)))
