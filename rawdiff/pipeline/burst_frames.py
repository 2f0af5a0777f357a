"""The frames of a burst: read one at a time, looked over, and turned into light in common units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from torch.nn.functional import avg_pool2d

from rawdiff.burst.align import CLIP, Grey, stabilised_grey
from rawdiff.burst.merge import Light
from rawdiff.burst.reference import Sharpness, measure_sharpness
from rawdiff.errors import InputError, UnsupportedRawError
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.correct import correct_frame
from rawdiff.pipeline.denoise import normalised_noise
from rawdiff.pipeline.events import Event, Listener
from rawdiff.pipeline.noise_model import ChosenNoise, choose_noise_model
from rawdiff.pipeline.profile_maps import apply_profile_maps
from rawdiff.raw.frame import RawFrame
from rawdiff.raw.ingest import read_raw
from rawdiff.raw.packed import pack_frame


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame in memory, its bad pixels repaired."""

    frame: RawFrame
    noise: ChosenNoise
    outliers: int

    @property
    def path(self) -> Path:
        """Its file."""
        return self.frame.source.path

    @property
    def name(self) -> str:
        """Its file's name, by which it is reported."""
        return self.path.name

    @property
    def brightness(self) -> float:
        """Exposure time x ISO / aperture^2, 1 where the file does not say."""
        exposure = self.frame.tags.exposure
        aperture = exposure.aperture or 1.0
        return (exposure.time_s or 1.0) * (exposure.iso or 100.0) / 100.0 / aperture**2


@dataclass(frozen=True)
class Survey:
    """What the first look at a frame leaves: enough to choose the reference, no pixels."""

    path: Path
    sharpness: Sharpness
    brightness: float


def read_shot(path: Path, config: ProcessConfig) -> Shot:
    """Read a frame, choose its noise model, and repair its bad pixels.

    Raises:
        InputError: it cannot be read, or is no mosaic.
        CalibrationError: no noise model serves it.
    """
    frame = read_raw(path, timeout_s=config.timeout_s, sidecar=config.sidecar)
    if not isinstance(frame, RawFrame):
        raise UnsupportedRawError("demosaiced raws cannot be merged", where=path, hint="use --burst each")
    noise = choose_noise_model(frame, config.profile, None)
    frame, _ = apply_profile_maps(frame, noise)
    corrected, found = correct_frame(frame, noise.model)
    return Shot(corrected, noise, found.outliers)


def read_ahead(paths: Sequence[Path], config: ProcessConfig) -> Iterator[Shot]:
    """Yield the frames in turn, reading one ahead while the last is being worked on."""
    with ThreadPoolExecutor(1) as reader:
        waiting: Future[Shot] | None = reader.submit(read_shot, paths[0], config) if paths else None
        for number in range(len(paths)):
            assert waiting is not None
            shot = waiting.result()
            waiting = reader.submit(read_shot, paths[number + 1], config) if number + 1 < len(paths) else None
            yield shot


def survey_files(
    paths: Sequence[Path],
    config: ProcessConfig,
    subject: str,
    listen: Listener,
    leave_out: Callable[[str, str], None],
) -> list[Survey]:
    """Look at every frame once; those that cannot be read are named to `leave_out`.

    Raises:
        InputError: none can be read.
    """
    surveys: list[Survey] = []
    for number, path in enumerate(paths):
        listen(Event("stage", subject, "looking", {"fraction": 0.1 * number / len(paths)}))
        try:
            shot = read_shot(path, config)
        except InputError as error:
            if len(paths) == 1:
                raise
            leave_out(path.name, error.what)
            continue
        light = replace(measure_light(shot, shot), exposure=shot.brightness)
        surveys.append(Survey(path, judge_sharpness(light), shot.brightness))
    if not surveys:
        raise InputError("no frame of the burst can be read", where=paths[0].parent)
    return surveys


def judge_sharpness(light: Light, ceiling: float = float("inf")) -> Sharpness:
    """Sharpness of the mean green at exposure 1, below a `ceiling` in the same unit."""
    green = ((light.planes[1] + light.planes[2]) / 2 / light.exposure).numpy()
    gain, floor = float(light.gain[1]) / light.exposure, (float(light.sigma[1]) / light.exposure) ** 2
    return measure_sharpness(green, gain / 2, floor / 2, ceiling)


def find_mismatch(shot: Shot, reference: Shot) -> str | None:
    """Why a frame cannot be laid on the reference at all, or None."""
    if shot.frame.shape != reference.frame.shape:
        height, width = shot.frame.shape
        return f"it is {width}x{height}, the reference {reference.frame.shape[1]}x{reference.frame.shape[0]}"
    if shot.frame.phase != reference.frame.phase:
        return f"its CFA is {shot.frame.phase}, the reference's {reference.frame.phase}"
    return None


def measure_light(shot: Shot, reference: Shot) -> Light:
    """A frame as light in the reference's units, by what its tags say of the exposure."""
    planes = pack_frame(shot.frame).planes
    gain, sigma = normalised_noise(shot.noise.model, shot.frame.levels, shot.frame.phase)
    exposure = 1.0 if shot is reference else shot.brightness / reference.brightness
    return Light(planes, gain, sigma, exposure, shot.frame.phase)


def measure_grey(light: Light, target: Light, ceiling: float) -> Grey:
    """The stabilised grey by which a frame is laid on others, in the noise of the reference `target`."""
    planes = light.planes / light.exposure
    return stabilised_grey(planes, target.gain, target.sigma, light.exposure, ceiling)


_BLOCK = 16
_NOMINAL = 0.25
"""An exposure that measures further off than this is no exposure but another light."""
_TOLD = 0.02
"""Standard error that a measured exposure may have."""


def correct_exposure(light: Light, target: Light) -> Light:
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
