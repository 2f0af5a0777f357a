"""Bursts from files: the reference, what is left out and why, and what the record says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rawdiff.errors import ConfigurationError, InputError
from rawdiff.pipeline.burst import MergedBurst, merge_files
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.events import Event
from rawdiff.simulate.burst import BurstPlan, write_burst
from rawdiff.simulate.cameras import find
from rawdiff.simulate.dead_leaves import draw_scene
from rawdiff.simulate.scene import enlarge_scene

CAMERA = find("NikonD850")
PLAN = BurstPlan(CAMERA, iso=800, ratio=20, frames=4, shake_px=4.0, rotation_deg=0.2, seed=3)


def leaves(seed: int, height: int = 120, width: int = 132) -> torch.Tensor:
    return enlarge_scene(draw_scene(height, width, torch.Generator().manual_seed(seed), 200), 2)


def shoot(folder: Path, scene: torch.Tensor, plan: BurstPlan) -> list[Path]:
    return [path for path in write_burst(scene, folder, plan, overwrite=False) if path.suffix == ".dng"]


def merge(paths: list[Path], **choices: object) -> tuple[MergedBurst, list[Event]]:
    heard: list[Event] = []
    return merge_files(paths, ProcessConfig(**choices), "burst", heard.append), heard  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return shoot(tmp_path_factory.mktemp("burst"), leaves(1), PLAN)


def test_strangers_are_named_with_the_reason_and_change_nothing(burst: list[Path], tmp_path: Path) -> None:
    scene = leaves(1)
    single = replace(PLAN, frames=1)
    strangers = {
        "dark": (torch.zeros_like(scene), single, "something else"),
        "scene": (leaves(2), single, "something else"),
        "size": (leaves(1, 100, 100), single, "the reference"),
        "phase": (scene, replace(single, phase="BGGR"), "CFA"),
    }
    paths = list(burst)
    for name, (picture, plan, _) in strangers.items():
        made = shoot(tmp_path / name, picture, plan)[0]
        paths.append(made.rename(tmp_path / f"{name}.dng"))
    broken = tmp_path / "broken.dng"
    broken.write_bytes(burst[0].read_bytes()[:2000])
    merged, heard = merge([*paths, broken], reference=burst[2].name)
    left_out = {entry["file"]: entry["reason"] for entry in merged.record if entry["role"] == "left out"}
    assert set(left_out) == {f"{name}.dng" for name in (*strangers, "broken")}
    for name, (_, _, reason) in strangers.items():
        assert reason in left_out[f"{name}.dng"]
    assert sum(event.kind == "warning" for event in heard) == 5
    alone, _ = merge(burst, reference=burst[2].name)
    assert np.array_equal(merged.frame.mosaic_dn, alone.frame.mosaic_dn)
    assert isinstance(merged.exposure.value, torch.Tensor) and merged.exposure.mean() > 3


def test_one_readable_frame_is_itself(burst: list[Path], tmp_path: Path) -> None:
    merged, _ = merge([burst[0]])
    assert merged.exposure.mean() == 1.0 and not merged.alignments
    assert merged.record[0]["role"] == "reference" and len(merged.record[0]["sha256"]) == 64
    empty = tmp_path / "empty.dng"
    empty.touch()
    with pytest.raises(InputError):
        merge([empty, empty])


def test_the_reference_can_be_asked_for(burst: list[Path]) -> None:
    merged, _ = merge(burst, reference="frame_003")
    assert merged.frame.source.path.name == "frame_003.dng"
    roles = {entry["file"]: entry["role"] for entry in merged.record}
    assert roles == {path.name: "reference" if path.stem == "frame_003" else "merged" for path in burst}
    with pytest.raises(ConfigurationError, match="not among the frames"):
        merge(burst, reference="frame_009")


def test_the_shortest_of_a_bracket_is_the_reference(tmp_path: Path) -> None:
    plan = replace(PLAN, frames=3, brackets=(4.0, 1.0, 16.0), ratio=200, shake_px=2.0)
    merged, _ = merge(shoot(tmp_path, leaves(4), plan))
    assert merged.frame.source.path.name == "frame_001.dng"
    told = {entry["file"]: entry["relative_exposure"] for entry in merged.record}
    # What the tags say, corrected by the light itself, which noise lets be a little off.
    assert told["frame_000.dng"] == pytest.approx(4.0, rel=0.05)
    assert told["frame_002.dng"] == pytest.approx(16.0, rel=0.05)
