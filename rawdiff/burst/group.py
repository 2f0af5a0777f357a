"""Which files are one burst: same camera and settings, taken one right after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from rawdiff.errors import InputError
from rawdiff.raw.frame import FrameTags

PAUSE_S = 0.8
"""Longest pause between the end of one frame and the start of the next within a burst.

Continuous drive and phone bursts stay below half a second; a person pressing the shutter again does not.
"""


@dataclass(frozen=True)
class Candidate:
    """A file as grouping sees it: its tags and its size, no pixels."""

    path: Path
    tags: FrameTags
    shape: tuple[int, int]
    kind: Literal["mosaic", "linear"]

    def start(self) -> datetime | None:
        """When the exposure began; None where the file does not say."""
        text = self.tags.exposure.captured_at
        try:
            return datetime.fromisoformat(text) if text else None
        except ValueError:
            return None

    def body(self) -> tuple[object, ...]:
        """What must be equal for frames to be merged at all."""
        camera = self.tags.camera
        return camera.make, camera.model, camera.serial, self.shape, self.tags.orientation in (5, 6, 7, 8)

    def settings(self) -> tuple[object, ...]:
        """What must be equal within a burst that is found by itself; the exposure time may bracket."""
        exposure = self.tags.exposure
        return exposure.iso, exposure.aperture, self.tags.camera.lens


@dataclass(frozen=True)
class Burst:
    """Frames in the order of capture, and those named with them that cannot belong, each with the reason."""

    frames: tuple[Candidate, ...]
    left_out: tuple[tuple[Path, str], ...] = ()


def group_by_time(candidates: Sequence[Candidate]) -> list[Burst]:
    """Split files into bursts by camera, size, settings and time; in the order of their first frames.

    A file without a capture time stands alone: nothing says what it belongs to.
    """
    bursts: list[list[Candidate]] = []
    ordered = sorted(range(len(candidates)), key=lambda i: _order(candidates[i], i))
    for index in ordered:
        candidate = candidates[index]
        last = bursts[-1][-1] if bursts else None
        if last is not None and _follows(last, candidate):
            bursts[-1].append(candidate)
        else:
            bursts.append([candidate])
    return [Burst(tuple(frames)) for frames in bursts]


def take_as_one(candidates: Sequence[Candidate]) -> Burst:
    """Take all files as one burst; those of another camera or size than most are named and left out.

    Raises:
        InputError: there is nothing to take.
    """
    if not candidates:
        raise InputError("there are no frames to merge")
    bodies = [candidate.body() for candidate in candidates]
    common = max(bodies, key=lambda body: (bodies.count(body), -bodies.index(body)))
    model = candidates[bodies.index(common)]
    ordered = sorted(range(len(candidates)), key=lambda i: _order(candidates[i], i))
    kept = tuple(candidates[i] for i in ordered if bodies[i] == common)
    left_out = tuple(
        (candidates[i].path, _difference(candidates[i], model)) for i in ordered if bodies[i] != common
    )
    return Burst(kept, left_out)


def _order(candidate: Candidate, index: int) -> tuple[str, bool, float, int]:
    start = candidate.start()
    camera = f"{candidate.tags.camera.make}/{candidate.tags.camera.model}/{candidate.tags.camera.serial}"
    return camera, start is None, 0.0 if start is None else _seconds(start), index


def _seconds(moment: datetime) -> float:
    return (moment.replace(tzinfo=None) - datetime(1970, 1, 1)).total_seconds()


def _follows(last: Candidate, candidate: Candidate) -> bool:
    """True where `candidate` began within a pause of the end of `last`, same body, same settings."""
    before, now = last.start(), candidate.start()
    if before is None or now is None or candidate.kind != "mosaic":
        return False
    if last.body() != candidate.body() or last.settings() != candidate.settings():
        return False
    whole_seconds = before.microsecond == 0 and now.microsecond == 0
    pause = _seconds(now) - _seconds(before) - (last.tags.exposure.time_s or 0.0)
    return pause <= PAUSE_S + (1.0 if whole_seconds else 0.0)


def _difference(candidate: Candidate, model: Candidate) -> str:
    """Say in words why a frame cannot be merged with the model."""
    if candidate.shape != model.shape:
        (h, w), (mh, mw) = candidate.shape, model.shape
        return f"it is {w}x{h}, the burst is {mw}x{mh}"
    if candidate.body()[:2] != model.body()[:2]:
        return f"it is from a {candidate.tags.camera.model}, the burst from a {model.tags.camera.model}"
    if candidate.tags.camera.serial != model.tags.camera.serial:
        return "it is from another body of the same model"
    return "it is turned differently from the burst"
