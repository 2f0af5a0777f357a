"""From files of flats and darks to a sensor profile, with a verdict on every set of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rawdiff_calibration.camera import assemble_camera, join_defects
from rawdiff_calibration.dark_fitness import judge_darks
from rawdiff_calibration.errors import CalibrationError, FramesError, ProcessedFramesError
from rawdiff_calibration.fitness import judge_pairs
from rawdiff_calibration.mosaic import plane_slices
from rawdiff_calibration.profile import ProfileCamera, SensorProfile
from rawdiff_calibration.refusals import crop_centre
from rawdiff_calibration.session import IsoCalibration, IsoResult

from rawdiff import __version__
from rawdiff.errors import CalibrationFramesError
from rawdiff.pipeline.calibration_frames import (
    CalibrationFrame,
    FrameFacts,
    group_by_iso,
    hash_frames,
    pair_by_exposure,
    read_frame,
)
from rawdiff.pipeline.calibration_verdicts import IsoOutcome, Verdict, describe_alone, describe_iso
from rawdiff.pipeline.events import Event, Listener
from rawdiff.pipeline.noise_model import hash_serial

Pair = tuple[FrameFacts, FrameFacts]

_JUDGED_PAIRS, _JUDGED_DARKS = 3, 6


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated camera: profile, arrays that go beside it, and what the report shows."""

    profile: SensorProfile
    maps: dict[str, NDArray[np.generic]]
    isos: tuple[IsoOutcome, ...]
    verdicts: tuple[Verdict, ...]


def calibrate_camera(
    flats: Sequence[FrameFacts], darks: Sequence[FrameFacts], listen: Listener
) -> Calibration:
    """Calibrate one camera, an ISO at a time, a frame at a time.

    Raises:
        CalibrationFramesError: the frames cannot calibrate a sensor; says why.
        InputError: a file cannot be read.
    """
    frames = [*flats, *darks]
    _require_one_camera(frames)
    lit, dark = group_by_iso(flats), group_by_iso(darks)
    results: list[IsoResult] = []
    maps: dict[str, NDArray[np.generic]] = {}
    verdicts: list[Verdict] = []
    done, total = [0], len(frames)
    white: float | None = None
    pairs_of: dict[float, list[Pair]] = {}
    for iso in sorted({*lit, *dark}):
        pairs_of[iso], alone = pair_by_exposure(lit.get(iso, []))
        verdicts += describe_alone(iso, alone)
        done[0] += len(alone)
        with _as_frames_error():
            gathering = _Gathering(iso, listen, done, total)
            result = gathering.run(dark.get(iso, []), pairs_of[iso])
        white = gathering.white_dn if white is None else white
        verdicts += gathering.verdicts
        results.append(_lighten(result, maps))
    with _as_frames_error():
        profile = assemble_camera(_camera(frames), white, results, _provenance(frames))
    defects = join_defects(results)
    if defects is not None:
        maps["defects"] = np.asarray(defects)
    outcomes = []
    for result in results:
        outcome = _judge(profile, result, pairs_of[result.iso], dark.get(result.iso, []), maps)
        verdicts += describe_iso(profile, outcome)
        outcomes.append(outcome)
    return Calibration(profile, maps, tuple(outcomes), tuple(verdicts))


class _Gathering:
    """The frames of one ISO on their way into the accumulators."""

    def __init__(self, iso: float, listen: Listener, done: list[int], total: int) -> None:
        self.iso = iso
        self.verdicts: list[Verdict] = []
        self._listen, self._done, self._total = listen, done, total
        self._session: IsoCalibration | None = None
        self.white_dn: float | None = None

    def run(self, darks: Sequence[FrameFacts], pairs: Sequence[Pair]) -> IsoResult:
        for facts in darks:
            frame = self._read(facts)
            self._begin(frame).add_dark(frame.mosaic_dn, facts.exposure_s or 0.0, facts.path.name)
        refused: list[CalibrationError] = []
        for first, second in pairs:
            one, two = self._read(first), self._read(second)
            name = _pair_name(first, second)
            try:
                self._begin(one).add_flat_pair(one.mosaic_dn, two.mosaic_dn, first.exposure_s, name)
            except ProcessedFramesError:
                raise
            except FramesError as problem:
                refused.append(problem)
                self.verdicts.append(Verdict(f"flats at ISO {self.iso:g}", "poor", f"left out: {problem}"))
        if pairs and len(refused) == len(pairs):
            raise refused[0]
        assert self._session is not None
        return self._session.solve()

    def _begin(self, frame: CalibrationFrame) -> IsoCalibration:
        if self._session is None:
            height, width = frame.mosaic_dn.shape
            self.white_dn = frame.white_dn
            self._session = IsoCalibration(
                self.iso, (height, width), frame.phase, frame.black_dn, frame.white_dn
            )
        return self._session

    def _read(self, facts: FrameFacts) -> CalibrationFrame:
        frame = read_frame(facts)
        self._done[0] += 1
        fraction = 0.95 * self._done[0] / self._total
        self._listen(Event("progress", "calibration", f"ISO {self.iso:g}", {"fraction": fraction}))
        return frame


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
    profile: SensorProfile,
    result: IsoResult,
    pairs: Sequence[Pair],
    darks: Sequence[FrameFacts],
    maps: dict[str, NDArray[np.generic]],
) -> IsoOutcome:
    """Let the profile explain some of the frames it was made of, freed of their dark pattern."""
    model = profile.noise_model(result.iso)
    fitness = dark_fitness = None
    sound = _sound_pairs(result, pairs)
    picks = sorted({round(x) for x in np.linspace(0, len(sound) - 1, _JUDGED_PAIRS)}) if sound else []
    if picks and result.transfer is not None:
        shading = maps.get(f"dark_shading_dn_iso_{result.iso:g}")
        loaded = ((_plain(sound[pick][0], shading), _plain(sound[pick][1], shading)) for pick in picks)
        top = result.transfer.linear_to_dn * 1.02 + float(np.mean(result.black_dn))
        white = top if profile.levels.white_dn is None else min(top, profile.levels.white_dn.value)
        with suppress(ValueError):
            fitness = judge_pairs(model, loaded, result.phase, result.black_dn, white)
    shortest = min((facts.exposure_s or 0.0 for facts in darks), default=0.0)
    short = [facts for facts in darks if (facts.exposure_s or 0.0) == shortest][:_JUDGED_DARKS]
    if len(short) >= 3:
        centres = [crop_centre(read_frame(facts).mosaic_dn).copy() for facts in short]
        dark_fitness = judge_darks(model, centres, result.phase)
    return IsoOutcome(result, fitness, dark_fitness)


def _sound_pairs(result: IsoResult, pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs of which a level was used in the fit: neither clipped nor beyond the linear range."""
    used = {point.name for point in (result.transfer.points if result.transfer else ()) if point.used}
    return [(one, two) for one, two in pairs if _pair_name(one, two) in used]


def _pair_name(first: FrameFacts, second: FrameFacts) -> str:
    return f"{first.path.name} and {second.path.name}"


def _plain(facts: FrameFacts, shading: NDArray[np.generic] | None) -> NDArray[np.float32]:
    """A frame without its dark pattern."""
    mosaic = read_frame(facts).mosaic_dn
    return mosaic if shading is None else np.asarray(mosaic - shading.astype(np.float32))


def _require_one_camera(frames: Sequence[FrameFacts]) -> None:
    if not frames:
        raise CalibrationFramesError(
            "no frames were given", hint="--flats and --darks take paths, folders or patterns"
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


def _provenance(frames: Sequence[FrameFacts]) -> dict[str, object]:
    return {
        "method": "photon transfer of flat pairs, darks",
        "program": f"rawdiff {__version__}",
        "files": hash_frames(frames),
    }


@contextmanager
def _as_frames_error() -> Iterator[None]:
    try:
        yield
    except CalibrationError as problem:
        raise CalibrationFramesError(problem.what, where=problem.where, hint=problem.hint) from None
