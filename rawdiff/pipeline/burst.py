"""From the files of a burst to one mosaic and its ExposureMap, one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import hypot
from pathlib import Path
from typing import Any

from torch import Tensor

from rawdiff.burst.align import CLIP, Alignment, align_frame
from rawdiff.burst.merge import Light, Merge
from rawdiff.burst.reference import TIE, choose_reference
from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.burst_crops import Crop, take_crops
from rawdiff.pipeline.burst_frames import (
    Shot,
    Survey,
    correct_exposure,
    find_mismatch,
    judge_sharpness,
    measure_grey,
    measure_light,
    read_ahead,
    read_shot,
    survey_files,
)
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.events import Event, Listener
from rawdiff.pipeline.noise_model import ChosenNoise
from rawdiff.raw.frame import Composite, FrameTags, RawFrame
from rawdiff.raw.image import ExposureMap, PackedRaw
from rawdiff.raw.packed import unpack_to_dn

UNEXPLAINED = 0.5
"""A frame that agrees with the reference in less than half of what both show shows something else and is
left out. Its misfit in units of noise would not tell: fine detail aliases differently in every frame, and
in good light that is many times the noise."""


_LONGER = 1.2
"""Exposure beyond which a frame is a bracket's longer one."""
_MOST_CLIPPED = 0.25
"""Share of clipped cells up to which a longer frame may be the base."""
_AS_SHARP = 0.8
"""Of the reference's sharpness a longer frame must have this much to be the base."""


@dataclass(frozen=True, eq=False)
class MergedBurst:
    """A burst as one photograph.

    Attributes:
        frame: the merged mosaic, DN, fractional, with the tags and levels of the reference.
        exposure: effective exposures per Bayer cell, in units of the reference frame: what the variance of
            a cell says. Interpolation correlates the noise, so there is more than the photon count where
            frames were laid between pixels; recipes do better with it than with the photon count all the same
            (by 0 to 0.3 dB, most where detail is fine), since it also says how finely they may look.
        noise: noise of one reference frame.
        record: what happened to every frame, for provenance.
        alignments: by file name, of the frames that were added.
        left_out: share of the other frames' light that was not trusted, per Bayer cell.
        crops: the frame that the others were laid on, and the merge, at telling places, for the report.
    """

    frame: RawFrame
    exposure: ExposureMap
    noise: ChosenNoise
    record: list[dict[str, Any]]
    alignments: dict[str, Alignment]
    left_out: Tensor
    crops: tuple[Crop, ...]


@dataclass(frozen=True, eq=False)
class _Base:
    """The frame that the others are laid on, as a file and as light in the reference's units."""

    shot: Shot
    light: Light


def merge_files(paths: Sequence[Path], config: ProcessConfig, subject: str, listen: Listener) -> MergedBurst:
    """Merge the frames of a burst.

    Frames that cannot be read, or that do not fit the reference, are named and left out; the burst goes on.

    Args:
        paths: the frames in order of capture.
        config: choices of the run; `reference` names a frame.
        subject: whom events concern.
        listen: told of progress and of frames left out.

    Raises:
        RawdiffError: no frame can be used, or the reference asked for is not among them.
    """
    record: list[dict[str, Any]] = []

    def leave_out(name: str, reason: str) -> None:
        listen(Event("warning", subject, f"{name} is left out: {reason}"))
        record.append({"file": name, "role": "left out", "reason": reason})

    surveys = survey_files(paths, config, subject, listen, leave_out)
    reference = read_shot(surveys[_pick_reference(surveys, config)].path, config)
    target = measure_light(reference, reference)
    brightest = max(survey.brightness for survey in surveys) / reference.brightness
    ceiling = CLIP / max(brightest, 1.0)
    base = _pick_base(surveys, reference, target, ceiling, config)
    merge, grey = Merge(target, base=base.light), measure_grey(base.light, target, ceiling)
    record.append(_tell(base.shot, "reference" if base.shot is reference else "base", 1.0, base.light))
    alignments: dict[str, Alignment] = {}
    read: list[tuple[FrameTags, bool]] = [(base.shot.frame.tags, True)]
    order = _order(surveys, base.shot, reference)
    for number, shot in enumerate(read_ahead([surveys[i].path for i in order], config)):
        listen(Event("stage", subject, "merging", {"fraction": 0.1 + 0.4 * number / max(len(order), 1)}))
        read.append((shot.frame.tags, False))
        mismatch = find_mismatch(shot, reference)
        if mismatch is not None:
            leave_out(shot.name, mismatch)
            continue
        light = measure_light(shot, reference)
        alignment = align_frame(grey, measure_grey(light, target, ceiling))
        if alignment.unexplained > UNEXPLAINED:
            share = 100 * alignment.unexplained
            leave_out(shot.name, f"it shows something else: {share:.0f} % of it disagrees with the reference")
            continue
        light = correct_exposure(light, target)
        trusted = merge.add(light, alignment.field)
        alignments[shot.name] = alignment
        read[-1] = shot.frame.tags, True
        role = "reference" if shot.path == reference.path else "merged"
        record.append(_tell(shot, role, trusted, light))
    return _finish(reference, base, merge, record, alignments, _composite(read))


def _pick_reference(surveys: Sequence[Survey], config: ProcessConfig) -> int:
    """The frame asked for; otherwise the sharpest of the shortest exposures, which clip least."""
    if config.reference is not None:
        names = [survey.path.name for survey in surveys]
        stems = [survey.path.stem for survey in surveys]
        for known in (names, stems):
            if config.reference in known:
                return known.index(config.reference)
        raise ConfigurationError(
            f"the reference '{config.reference}' is not among the frames", hint=f"one of {', '.join(names)}"
        )
    shortest = min(survey.brightness for survey in surveys)
    short = [i for i, survey in enumerate(surveys) if survey.brightness <= 1.2 * shortest]
    return short[choose_reference([surveys[i].sharpness for i in short])]


def _pick_base(
    surveys: Sequence[Survey], reference: Shot, target: Light, ceiling: float, config: ProcessConfig
) -> _Base:
    """The frame that the others are laid on: of a bracket the longest that is sharp and little clipped.

    It has the most photons by far, and what lies on its own pixels is not interpolated. A reference that was
    asked for stays in its place.
    """
    longer = [survey for survey in surveys if survey.brightness > _LONGER * reference.brightness]
    if config.reference is not None:
        longer = []
    grey = measure_grey(target, target, ceiling)
    for survey in sorted(longer, key=lambda survey: -survey.brightness):
        shot = read_shot(survey.path, config)
        if find_mismatch(shot, reference) is not None:
            continue
        light = correct_exposure(measure_light(shot, reference), target)
        clipped = float(light.usable()[0].isnan().float().mean())
        if clipped > _MOST_CLIPPED or not _is_as_sharp(light, target):
            continue
        if align_frame(measure_grey(light, target, ceiling), grey).unexplained <= UNEXPLAINED:
            return _Base(shot, light)
    return _Base(reference, target)


def _is_as_sharp(light: Light, target: Light) -> bool:
    """Whether a longer frame shows the reference's detail, as far as both can be judged."""
    top = CLIP / light.exposure
    long, short = judge_sharpness(light, top), judge_sharpness(target, top)
    return long.value >= _AS_SHARP * short.value - TIE * hypot(long.se, short.se)


def _order(surveys: Sequence[Survey], base: Shot, reference: Shot) -> list[int]:
    """The other frames, nearest in time first, after the reference, which sees what the base clips."""
    at = next(i for i, survey in enumerate(surveys) if survey.path == base.path)
    others = [i for i, survey in enumerate(surveys) if survey.path != base.path]
    return sorted(others, key=lambda i: (surveys[i].path != reference.path, abs(i - at), i))


def _tell(shot: Shot, role: str, trusted: float, light: Light) -> dict[str, Any]:
    return {
        "file": shot.name,
        "sha256": shot.frame.source.sha256,
        "role": role,
        "trusted": round(trusted, 4),
        "relative_exposure": round(light.exposure, 4),
        "outliers_replaced": shot.outliers,
    }


def _composite(read: Sequence[tuple[FrameTags, bool]]) -> Composite | None:
    """The exposure times of all frames and of those used; None for one frame, or where one is not known."""
    times = [(tags.exposure.time_s, used) for tags, used in read]
    if sum(used for _, used in times) < 2 or any(time_s is None for time_s, _ in times):
        return None
    taken = tuple(float(time_s or 0) for time_s, _ in times)
    used = tuple(time_s for time_s, (_, was_used) in zip(taken, times, strict=True) if was_used)
    period_s = sum(taken)
    starts = [tags.exposure.captured_at for tags, _ in read]
    if all(starts):
        moments = [datetime.fromisoformat(str(start)).replace(tzinfo=None) for start in starts]
        first = min(moments)
        ends = [(m - first).total_seconds() + time_s for m, time_s in zip(moments, taken, strict=True)]
        period_s = max(ends)
    return Composite(taken, used, period_s)


def _finish(
    reference: Shot,
    base: _Base,
    merge: Merge,
    record: list[dict[str, Any]],
    alignments: dict[str, Alignment],
    composite: Composite | None,
) -> MergedBurst:
    """The merged planes as a frame with the reference's levels and tags."""

    def to_frame(planes: Tensor) -> RawFrame:
        mosaic_dn = unpack_to_dn(PackedRaw(planes, reference.frame.phase), reference.frame.levels)
        return replace(reference.frame, mosaic_dn=mosaic_dn)

    planes, exposure = merge.result()
    left_out = merge.left_out()
    frame = replace(to_frame(planes), tags=replace(reference.frame.tags, composite=composite), defects=None)
    noise = replace(reference.noise, origin=f"{reference.noise.origin}, {len(alignments) + 1} frames merged")
    single = to_frame(base.light.planes / base.light.exposure)
    crops = take_crops(single, frame, left_out) if alignments else ()
    return MergedBurst(frame, ExposureMap(exposure), noise, record, alignments, left_out, crops)
