from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rawdiff.burst.group import Candidate, group_by_time, take_as_one
from rawdiff.errors import InputError
from rawdiff.raw.frame import Camera, Exposure, FrameTags


def candidate(
    name: str,
    at: str | None,
    *,
    model: str = "D850",
    iso: float = 800,
    time_s: float = 0.1,
    shape: tuple[int, int] = (100, 200),
    orientation: int = 1,
) -> Candidate:
    captured = None if at is None else f"2026-01-01T20:00:{at}"
    tags = FrameTags(Camera("Nikon", model), Exposure(time_s, 2.0, iso, captured), orientation=orientation)
    return Candidate(Path(name), tags, shape, "mosaic")


def names(frames: object) -> list[str]:
    return [frame.path.name for frame in frames]  # type: ignore[attr-defined]


def test_a_pause_ends_a_burst_whatever_the_order_of_the_files() -> None:
    files = [
        candidate("d", "05.000"),
        candidate("b", "00.300"),
        candidate("a", "00.100"),
        candidate("c", "00.9"),
    ]
    assert [names(burst.frames) for burst in group_by_time(files)] == [["a", "b", "c"], ["d"]]


def test_the_exposure_itself_is_no_pause() -> None:
    files = [candidate("a", "00.000", time_s=4.0), candidate("b", "04.200", time_s=4.0)]
    assert [names(burst.frames) for burst in group_by_time(files)] == [["a", "b"]]


def test_clocks_of_whole_seconds_are_given_a_second() -> None:
    files = [candidate("a", "00"), candidate("b", "01"), candidate("c", "03")]
    assert [names(burst.frames) for burst in group_by_time(files)] == [["a", "b"], ["c"]]


@pytest.mark.parametrize("other", [{"iso": 1600}, {"model": "Z8"}, {"shape": (100, 202)}, {"orientation": 6}])
def test_other_settings_or_cameras_are_other_bursts(other: dict[str, object]) -> None:
    files = [candidate("a", "00.0"), candidate("b", "00.2", **other)]  # type: ignore[arg-type]
    assert sorted(len(burst.frames) for burst in group_by_time(files)) == [1, 1]


def test_brackets_of_exposure_time_stay_together() -> None:
    files = [candidate("a", "00.0", time_s=0.1), candidate("b", "00.2", time_s=0.4), candidate("c", "00.7")]
    assert [names(burst.frames) for burst in group_by_time(files)] == [["a", "b", "c"]]


def test_a_file_without_a_time_stands_alone() -> None:
    files = [candidate("a", None), candidate("b", None), candidate("c", "00.0")]
    assert [names(burst.frames) for burst in group_by_time(files)] == [["c"], ["a"], ["b"]]


def test_demosaiced_raws_are_not_grouped() -> None:
    files = [replace(candidate(name, at), kind="linear") for name, at in (("a", "00.0"), ("b", "00.1"))]
    assert [names(burst.frames) for burst in group_by_time(files)] == [["a"], ["b"]]


def test_one_burst_names_what_cannot_belong() -> None:
    files = [
        candidate("a", "00.0"),
        candidate("small", "00.2", shape=(50, 50)),
        candidate("b", "09.0", iso=100),
        candidate("other", "00.4", model="Z8"),
    ]
    burst = take_as_one(files)
    assert names(burst.frames) == ["a", "b"]
    reasons = {path.name: reason for path, reason in burst.left_out}
    assert "50x50" in reasons["small"] and "Z8" in reasons["other"]
    with pytest.raises(InputError, match="no frames"):
        take_as_one([])
