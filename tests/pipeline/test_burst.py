"""Bursts from files: the reference, what is left out and why, and what the record says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from rawdiff.errors import ConfigurationError, InputError
from rawdiff.pipeline.burst import MergedBurst, merge_files
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.events import Event
from rawdiff.raw.frame import RawFrame
from rawdiff.raw.ingest import read_raw
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
    assert roles(merged) == {
        path.name: "reference" if path.stem == "frame_003" else "merged" for path in burst
    }
    with pytest.raises(ConfigurationError, match="not among the frames"):
        merge(burst, reference="frame_009")


BRACKET = replace(PLAN, frames=3, brackets=(4.0, 1.0, 16.0), ratio=200, shake_px=2.0)


def roles(merged: MergedBurst) -> dict[str, str]:
    return {entry["file"]: entry["role"] for entry in merged.record}


def test_a_bracket_is_counted_in_its_shortest_frame_and_laid_on_its_longest(tmp_path: Path) -> None:
    paths = shoot(tmp_path, leaves(4), BRACKET)
    merged, _ = merge(paths)
    assert merged.frame.source.path.name == "frame_001.dng"
    assert roles(merged) == {
        "frame_000.dng": "merged",
        "frame_001.dng": "reference",
        "frame_002.dng": "base",
    }
    told = {entry["file"]: entry["relative_exposure"] for entry in merged.record}
    # What the tags say, corrected by the light itself, which noise lets be a little off.
    assert told["frame_000.dng"] == pytest.approx(4.0, rel=0.05)
    assert told["frame_002.dng"] == pytest.approx(16.0, rel=0.05)
    # 21 times the reference's light, but for what interpolation and distrust take away or add.
    assert 17 < float(merged.exposure.value.mean()) < 30  # type: ignore[union-attr]
    # Laid on the longest: its own place, in the units of the shortest.
    shortest, longest = (read_raw(paths[index]) for index in (1, 2))
    assert isinstance(shortest, RawFrame) and isinstance(longest, RawFrame)
    black = np.mean(shortest.levels.black_dn)
    expected = (longest.mosaic_dn - black) / told["frame_002.dng"]
    ours = merged.frame.mosaic_dn - black
    assert float(ours.mean()) == pytest.approx(float(expected.mean()), rel=0.01)
    assert np.corrcoef(ours.ravel(), expected.ravel())[0, 1] > 0.98


def test_a_long_frame_that_is_shaken_or_of_something_else_is_not_the_base(tmp_path: Path) -> None:
    scene = leaves(4)
    sharp = shoot(tmp_path / "sharp", scene, BRACKET)
    shaken = shoot(tmp_path / "shaken", avg_pool2d(scene, 9, stride=1, padding=4), BRACKET)
    merged, _ = merge([*sharp[:2], shaken[2]])
    assert roles(merged)["frame_000.dng"] == "base" and roles(merged)["frame_002.dng"] != "base"
    other = shoot(tmp_path / "other", leaves(7), BRACKET)
    merged, _ = merge([*sharp[:2], other[2]])
    assert roles(merged)["frame_000.dng"] == "base" and roles(merged)["frame_002.dng"] == "left out"
    named, _ = merge(sharp, reference="frame_001")
    assert "base" not in roles(named).values()
