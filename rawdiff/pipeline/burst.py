"""From the files of a burst to one mosaic and its ExposureMap, one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.functional import avg_pool2d

from rawdiff.burst.align import CLIP, Alignment, Grey, align_frame, stabilised_grey
from rawdiff.burst.merge import Light, Merge
from rawdiff.burst.reference import Sharpness, choose_reference, measure_sharpness
from rawdiff.errors import ConfigurationError, InputError, UnsupportedRawError
from rawdiff.pipeline.burst_crops import Crop, take_crops
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.correct import correct_frame
from rawdiff.pipeline.denoise import normalised_noise
from rawdiff.pipeline.events import Event, Listener
from rawdiff.pipeline.noise_model import ChosenNoise, choose_noise_model
from rawdiff.pipeline.profile_maps import apply_profile_maps
from rawdiff.raw.frame import Composite, FrameTags, RawFrame
from rawdiff.raw.image import ExposureMap, PackedRaw
from rawdiff.raw.ingest import read_raw
from rawdiff.raw.packed import pack_frame, unpack_to_dn

UNEXPLAINED = 0.5
"""A frame that agrees with the reference in less than half of what both show shows something else and is
left out. Its misfit in units of noise would not tell: fine detail aliases differently in every frame, and
in good light that is many times the noise."""


@dataclass(frozen=True, eq=False)
class MergedBurst:
    """A burst as one photograph.

    Attributes:
        frame: the reference with the merged mosaic, DN, fractional.
        exposure: effective exposures per Bayer cell, in units of the reference frame: what the variance of
            a cell says. Interpolation correlates the noise, so there is more than the photon count where
            frames were laid between pixels; recipes do better with it than with the photon count all the same
            (by 0 to 0.3 dB, most where detail is fine), since it also says how finely they may look.
        noise: noise of one reference frame.
        record: what happened to every frame, for provenance.
        alignments: by file name, of the frames that were added.
        left_out: share of the other frames' light that was not trusted, per Bayer cell.
        crops: the reference and the merge at telling places, for the report.
    """

    frame: RawFrame
    exposure: ExposureMap
    noise: ChosenNoise
    record: list[dict[str, Any]]
    alignments: dict[str, Alignment]
    left_out: Tensor
    crops: tuple[Crop, ...]


@dataclass(frozen=True, eq=False)
class _Shot:
    """A frame in memory, its bad pixels repaired."""

    frame: RawFrame
    noise: ChosenNoise
    outliers: int

    @property
    def name(self) -> str:
        return self.frame.source.path.name

    @property
    def brightness(self) -> float:
        """Exposure time x ISO / aperture^2, 1 where the file does not say."""
        exposure = self.frame.tags.exposure
        aperture = exposure.aperture or 1.0
        return (exposure.time_s or 1.0) * (exposure.iso or 100.0) / 100.0 / aperture**2


@dataclass(frozen=True)
class _Survey:
    """What the first look at a frame leaves: enough to choose the reference, no pixels."""

    path: Path
    sharpness: Sharpness
    brightness: float


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

    surveys = _survey(paths, config, subject, listen, leave_out)
    index = _pick_reference(surveys, config)
    reference = _read(surveys[index].path, config)
    order = sorted((i for i in range(len(surveys)) if i != index), key=lambda i: (abs(i - index), i))
    brightest = max(survey.brightness for survey in surveys) / reference.brightness
    ceiling = CLIP / max(brightest, 1.0)
    target = _light(reference, reference)
    merge, grey = Merge(target), _grey(target, target, ceiling)
    record.append(_tell(reference, "reference", 1.0, target))
    alignments: dict[str, Alignment] = {}
    read: list[tuple[FrameTags, bool]] = [(reference.frame.tags, True)]
    for number, shot in enumerate(_read_ahead([surveys[i].path for i in order], config)):
        listen(Event("stage", subject, "merging", {"fraction": 0.1 + 0.4 * number / max(len(order), 1)}))
        read.append((shot.frame.tags, False))
        mismatch = _mismatch(shot, reference)
        if mismatch is not None:
            leave_out(shot.name, mismatch)
            continue
        light = _light(shot, reference)
        alignment = align_frame(grey, _grey(light, target, ceiling))
        if alignment.unexplained > UNEXPLAINED:
            share = 100 * alignment.unexplained
            leave_out(shot.name, f"it shows something else: {share:.0f} % of it disagrees with the reference")
            continue
        light = _measure_exposure(light, target)
        trusted = merge.add(light, alignment.field)
        alignments[shot.name] = alignment
        read[-1] = shot.frame.tags, True
        record.append(_tell(shot, "merged", trusted, light))
    return _finish(reference, merge, record, alignments, _composite(read))


def _read(path: Path, config: ProcessConfig) -> _Shot:
    frame = read_raw(path, timeout_s=config.timeout_s, sidecar=config.sidecar)
    if not isinstance(frame, RawFrame):
        raise UnsupportedRawError("demosaiced raws cannot be merged", where=path, hint="use --burst each")
    noise = choose_noise_model(frame, config.profile, None)
    frame, _ = apply_profile_maps(frame, noise)
    corrected, found = correct_frame(frame, noise.model)
    return _Shot(corrected, noise, found.outliers)


def _read_ahead(paths: Sequence[Path], config: ProcessConfig) -> Iterator[_Shot]:
    """Yield the frames in turn, reading one ahead while the last is being worked on."""
    with ThreadPoolExecutor(1) as reader:
        waiting: Future[_Shot] | None = reader.submit(_read, paths[0], config) if paths else None
        for number in range(len(paths)):
            assert waiting is not None
            shot = waiting.result()
            waiting = reader.submit(_read, paths[number + 1], config) if number + 1 < len(paths) else None
            yield shot


def _survey(
    paths: Sequence[Path],
    config: ProcessConfig,
    subject: str,
    listen: Listener,
    leave_out: Callable[[str, str], None],
) -> list[_Survey]:
    surveys: list[_Survey] = []
    for number, path in enumerate(paths):
        listen(Event("stage", subject, "looking", {"fraction": 0.1 * number / len(paths)}))
        try:
            shot = _read(path, config)
        except InputError as error:
            if len(paths) == 1:
                raise
            leave_out(path.name, error.what)
            continue
        light = _light(shot, shot)
        green = ((light.planes[1] + light.planes[2]) / 2 / shot.brightness).numpy()
        gain = float(light.gain[1]) / 2 / shot.brightness
        floor = float(light.sigma[1]) ** 2 / 2 / shot.brightness**2
        surveys.append(_Survey(path, measure_sharpness(green, gain, floor), shot.brightness))
    if not surveys:
        raise InputError("no frame of the burst can be read", where=paths[0].parent)
    return surveys


def _pick_reference(surveys: Sequence[_Survey], config: ProcessConfig) -> int:
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


def _mismatch(shot: _Shot, reference: _Shot) -> str | None:
    """Why a frame cannot be laid on the reference at all, or None."""
    if shot.frame.shape != reference.frame.shape:
        height, width = shot.frame.shape
        return f"it is {width}x{height}, the reference {reference.frame.shape[1]}x{reference.frame.shape[0]}"
    if shot.frame.phase != reference.frame.phase:
        return f"its CFA is {shot.frame.phase}, the reference's {reference.frame.phase}"
    return None


def _light(shot: _Shot, reference: _Shot) -> Light:
    """A frame as light in the reference's units, by what its tags say of the exposure."""
    planes = pack_frame(shot.frame).planes
    gain, sigma = normalised_noise(shot.noise.model, shot.frame.levels, shot.frame.phase)
    exposure = 1.0 if shot is reference else shot.brightness / reference.brightness
    return Light(planes, gain, sigma, exposure, shot.frame.phase)


def _grey(light: Light, target: Light, ceiling: float) -> Grey:
    planes = light.planes / light.exposure
    return stabilised_grey(planes, target.gain, target.sigma, light.exposure, ceiling)


_BLOCK = 16
_NOMINAL = 0.25
"""An exposure that measures further off than this is no exposure but another light."""
_TOLD = 0.02
"""Standard error that a measured exposure may have."""


def _measure_exposure(light: Light, target: Light) -> Light:
    """Correct a bracket's nominal exposure by the light itself: shutters and their labels differ by percents.

    The brighter half of the blocks is held against the darker half (Wald 1940), so that what the sensor adds
    to every frame does not count as light. Frames of equal settings are left as they are: their photons add
    as they come.
    """
    if abs(light.exposure - 1) < 0.05:
        return light
    ours, theirs = (avg_pool2d(planes, _BLOCK) for planes in (light.planes / light.exposure, target.planes))
    # Blocks are sorted by the frame with more photons: sorting by noise would make its own contrast.
    middle = ours if light.exposure > 1 else theirs
    usable = middle < 0.8 * CLIP / max(light.exposure, 1.0)
    if int(usable.sum()) < 64:
        return light
    bright = usable & (middle > middle[usable].median())
    dark = usable & ~bright
    rise = float(theirs[bright].mean() - theirs[dark].mean())
    variance = float((target.gain.mean() * middle[usable].mean().clamp(min=0)) + (target.sigma**2).mean())
    error = (4 * variance / int(usable.sum())) ** 0.5 / _BLOCK
    if not rise > error / _TOLD:
        return light
    factor = float(ours[bright].mean() - ours[dark].mean()) / rise
    return light if abs(factor - 1) > _NOMINAL else replace(light, exposure=light.exposure * factor)


def _tell(shot: _Shot, role: str, trusted: float, light: Light) -> dict[str, Any]:
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
    reference: _Shot,
    merge: Merge,
    record: list[dict[str, Any]],
    alignments: dict[str, Alignment],
    composite: Composite | None,
) -> MergedBurst:
    planes, exposure = merge.result()
    left_out = merge.left_out()
    packed = PackedRaw(planes, reference.frame.phase)
    mosaic_dn = unpack_to_dn(packed, reference.frame.levels)
    tags = replace(reference.frame.tags, composite=composite)
    frame = replace(reference.frame, mosaic_dn=mosaic_dn, tags=tags, defects=None)
    noise = replace(reference.noise, origin=f"{reference.noise.origin}, {len(alignments) + 1} frames merged")
    crops = take_crops(reference.frame, frame, left_out) if alignments else ()
    return MergedBurst(frame, ExposureMap(exposure), noise, record, alignments, left_out, crops)
