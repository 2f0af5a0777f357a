"""From files of flats and darks to a sensor profile, with a verdict on every set of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rawdiff_calibration.camera import assemble_camera, join_defects
from rawdiff_calibration.dark_fitness import judge_darks
from rawdiff_calibration.errors import CalibrationError
from rawdiff_calibration.fitness import Fitness, judge_frame, judge_pairs
from rawdiff_calibration.mosaic import plane_slices
from rawdiff_calibration.noise import NoiseModel
from rawdiff_calibration.profile import ProfileCamera, SensorProfile
from rawdiff_calibration.refusals import crop_centre
from rawdiff_calibration.session import IsoResult

from rawdiff import __version__
from rawdiff.errors import CalibrationFramesError
from rawdiff.pipeline.calibration_frames import FrameFacts, hash_frames, read_frame
from rawdiff.pipeline.calibration_photons import PhotonCounts
from rawdiff.pipeline.calibration_sets import Gathering, IsoFrames, Pair, pair_name, sort_out
from rawdiff.pipeline.calibration_verdicts import IsoOutcome, Verdict, describe_iso
from rawdiff.pipeline.events import Listener
from rawdiff.pipeline.noise_model import hash_serial

_JUDGED_PAIRS, _JUDGED_DARKS = 5, 6


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated camera: profile, arrays that go beside it, and what the report shows."""

    profile: SensorProfile
    maps: dict[str, NDArray[np.generic]]
    isos: tuple[IsoOutcome, ...]
    verdicts: tuple[Verdict, ...]


def calibrate_camera(
    flats: Sequence[FrameFacts],
    darks: Sequence[FrameFacts],
    listen: Listener,
    *,
    charts: Sequence[FrameFacts] = (),
    photons: PhotonCounts | None = None,
) -> Calibration:
    """Calibrate one camera, an ISO at a time, a frame at a time.

    Args:
        flats: frames of an even light, in pairs of one exposure.
        darks: frames without light.
        listen: told of the progress.
        charts: single frames of a stepped chart, one an ISO without flats: a gain that is less to be trusted.
        photons: photon counts of the flats, for quantum efficiency and thresholds in photons.

    Raises:
        CalibrationFramesError: the frames cannot calibrate a sensor; says why.
        ConfigurationError: `photons` says nothing of a flat.
        InputError: a file cannot be read.
    """
    frames = [*flats, *darks, *charts]
    _require_one_camera(frames)
    sorted_out, verdicts = sort_out(flats, darks, charts)
    results: list[IsoResult] = []
    maps: dict[str, NDArray[np.generic]] = {}
    done, total = [0], sum(one.count() for one in sorted_out)
    white: float | None = None
    for one in sorted_out:
        with _as_frames_error():
            gathering = Gathering(one, photons, listen, done, total)
            result = gathering.run()
        white = gathering.white_dn if white is None else white
        verdicts += gathering.verdicts
        results.append(_lighten(result, maps))
    with _as_frames_error():
        profile = assemble_camera(_camera(frames), white, results, _provenance(frames, results))
    defects = join_defects(results)
    if defects is not None:
        maps["defects"] = np.asarray(defects)
    outcomes = []
    for one, result in zip(sorted_out, results, strict=True):
        outcome = _judge(profile, result, one, maps)
        verdicts += describe_iso(profile, outcome)
        outcomes.append(outcome)
    return Calibration(profile, maps, tuple(outcomes), tuple(verdicts))


def _lighten(result: IsoResult, maps: dict[str, NDArray[np.generic]]) -> IsoResult:
    """Move an ISO's maps out in half precision: several ISOs of full-size float maps would not fit."""
    empty = np.zeros((0, 0), np.float32)
    darks, flat = result.darks, result.flat
    if darks is not None:
        shading = darks.offset_map_dn.copy()
        for place, level in zip(_slices_of(len(darks.planes), result), darks.black_dn, strict=True):
            shading[place] -= np.float32(level.value)
        maps[f"dark_shading_dn_iso_{result.iso:g}"] = shading.astype(np.float16)
        if darks.rate_map_dn_per_s is not None:
            maps[f"dark_rate_dn_per_s_iso_{result.iso:g}"] = darks.rate_map_dn_per_s.astype(np.float16)
        darks = replace(darks, offset_map_dn=empty, rate_map_dn_per_s=None, temporal_variance_dn2=empty)
    if flat is not None:
        maps[f"gain_map_iso_{result.iso:g}"] = flat.gain_map
        flat = replace(flat, response_map=empty)
    return replace(result, darks=darks, flat=flat)


def _slices_of(planes: int, result: IsoResult) -> tuple[tuple[slice, slice], ...]:
    return plane_slices(None if planes == 1 else result.phase)


def _judge(
    profile: SensorProfile, result: IsoResult, frames: IsoFrames, maps: dict[str, NDArray[np.generic]]
) -> IsoOutcome:
    """Let the profile explain some of the frames it was made of, freed of their dark pattern."""
    model = profile.noise_model(result.iso)
    dark_fitness = None
    shortest = min((facts.exposure_s or 0.0 for facts in frames.darks), default=0.0)
    short = [facts for facts in frames.darks if (facts.exposure_s or 0.0) == shortest][:_JUDGED_DARKS]
    if len(short) >= 3:
        centres = [crop_centre(read_frame(facts).mosaic_dn).copy() for facts in short]
        dark_fitness = judge_darks(model, centres, result.phase)
    fitness = _judge_lit(model, profile, result, frames, maps.get(f"dark_shading_dn_iso_{result.iso:g}"))
    return IsoOutcome(result, fitness, dark_fitness, "flats" if frames.chart is None else "chart")


def _judge_lit(
    model: NoiseModel,
    profile: SensorProfile,
    result: IsoResult,
    frames: IsoFrames,
    shading: NDArray[np.generic] | None,
) -> Fitness | None:
    """Judge by some of the pairs, or by the smooth places of the chart; None where they hold too little."""
    if result.transfer is None:
        return None
    top = result.transfer.linear_to_dn * 1.02 + float(np.mean(result.black_dn))
    white = top if profile.levels.white_dn is None else min(top, profile.levels.white_dn.value)
    sound = _sound_pairs(result, frames.pairs)
    picks = sorted({round(x) for x in np.linspace(0, len(sound) - 1, _JUDGED_PAIRS)}) if sound else []
    loaded = ((_plain(sound[pick][0], shading), _plain(sound[pick][1], shading)) for pick in picks)
    with suppress(ValueError):
        if frames.chart is not None:
            chart = _plain(frames.chart, shading)
            low = min(point.mean_dn for point in result.transfer.points if point.used)
            return judge_frame(model, chart, result.phase, result.black_dn, white, above_dn=low)
        return judge_pairs(model, loaded, result.phase, result.black_dn, white)
    return None


def _sound_pairs(result: IsoResult, pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs of which a level was used in the fit: neither clipped nor beyond the linear range."""
    used = {point.name for point in (result.transfer.points if result.transfer else ()) if point.used}
    return [(one, two) for one, two in pairs if pair_name(one, two) in used]


def _plain(facts: FrameFacts, shading: NDArray[np.generic] | None) -> NDArray[np.float32]:
    """A frame without its dark pattern."""
    mosaic = read_frame(facts).mosaic_dn
    return mosaic if shading is None else np.asarray(mosaic - shading.astype(np.float32))


def _require_one_camera(frames: Sequence[FrameFacts]) -> None:
    if not frames:
        raise CalibrationFramesError(
            "no frames were given", hint="--flats, --darks and --chart take paths, folders or patterns"
        )
    first = frames[0]
    for facts in frames:
        mine, other = _name(facts), _name(first)
        if mine != other:
            raise CalibrationFramesError(
                f"the camera is {mine}, that of {first.path.name} is {other}",
                where=facts.path,
                hint="calibrate one camera at a time",
            )
        if facts.shape != first.shape:
            raise CalibrationFramesError(
                f"the frame is {_size(facts)}, {first.path.name} is {_size(first)}",
                where=facts.path,
                hint="give frames of one camera at one crop",
            )


def _size(facts: FrameFacts) -> str:
    return f"{facts.shape[1]}x{facts.shape[0]}"


def _name(facts: FrameFacts) -> str:
    camera = facts.camera
    body = f", serial {camera.serial}" if camera.serial else ""
    return (f"{camera.make} {camera.model}".strip() or camera.unique or "unnamed") + body


def _camera(frames: Sequence[FrameFacts]) -> ProfileCamera:
    camera = frames[0].camera
    serial = hash_serial(camera.serial) if camera.serial else None
    names = (camera.unique,) if camera.unique else ()
    return ProfileCamera(camera.make, camera.model, names, serial, camera.firmware)


def _provenance(frames: Sequence[FrameFacts], results: Sequence[IsoResult]) -> dict[str, object]:
    return {
        "method": "photon transfer of flat pairs, darks",
        "program": f"rawdiff {__version__}",
        "trust": {f"{one.iso:g}": one.transfer.trust for one in results if one.transfer is not None},
        "files": hash_frames(frames),
    }


@contextmanager
def _as_frames_error() -> Iterator[None]:
    try:
        yield
    except CalibrationError as problem:
        raise CalibrationFramesError(problem.what, where=problem.where, hint=problem.hint) from None
