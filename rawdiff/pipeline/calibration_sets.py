"""The frames of a calibration sorted by ISO, and their way into the accumulators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rawdiff_calibration.errors import (
    CalibrationError,
    FramesError,
    ProcessedFramesError,
    TooFewFramesError,
)
from rawdiff_calibration.session import IsoCalibration, IsoResult

from rawdiff.errors import CalibrationFramesError
from rawdiff.pipeline.calibration_frames import (
    CalibrationFrame,
    FrameFacts,
    group_by_iso,
    pair_by_exposure,
    read_frame,
    same_time,
)
from rawdiff.pipeline.calibration_photons import PhotonCounts
from rawdiff.pipeline.calibration_verdicts import Verdict, describe_alone
from rawdiff.pipeline.events import Event, Listener

Pair = tuple[FrameFacts, FrameFacts]


@dataclass(frozen=True)
class IsoFrames:
    """The frames of one ISO: darks, pairs of flats, and a chart where it has no flats.

    `odd` are pairs of an odd flat with one of its exposure that is in `pairs` already.
    """

    iso: float
    darks: tuple[FrameFacts, ...]
    pairs: tuple[Pair, ...]
    odd: tuple[Pair, ...]
    chart: FrameFacts | None

    def count(self) -> int:
        """How many frames are to be read."""
        return len(self.darks) + 2 * (len(self.pairs) + len(self.odd)) + (self.chart is not None)


def sort_out(
    flats: Sequence[FrameFacts], darks: Sequence[FrameFacts], charts: Sequence[FrameFacts]
) -> tuple[list[IsoFrames], list[Verdict]]:
    """The frames by ISO, and what has to be said of flats without a partner.

    Raises:
        CalibrationFramesError: an ISO has two charts, or a chart and flats; or none has both light and darks.
    """
    lit, dark, chart = group_by_iso(flats), group_by_iso(darks), group_by_iso(charts)
    _require_common_iso(sorted({*lit, *chart}), sorted(dark), darks)
    found, verdicts = [], []
    for iso in sorted({*lit, *dark, *chart}):
        given = chart.get(iso, [])
        if len(given) > 1 or (given and iso in lit):
            other = given[1].path.name if len(given) > 1 else "flats"
            raise CalibrationFramesError(
                f"ISO {iso:g} has this chart and {other}",
                where=given[0].path,
                hint="one chart for an ISO, and none where there are flats",
            )
        pairs, single = pair_by_exposure(lit.get(iso, []))
        odd, alone = _join_odd(pairs, single)
        verdicts += describe_alone(iso, alone)
        one_chart = given[0] if given else None
        found.append(IsoFrames(iso, tuple(dark.get(iso, ())), tuple(pairs), tuple(odd), one_chart))
    return found, verdicts


def _require_common_iso(lit: list[float], dark: list[float], darks: Sequence[FrameFacts]) -> None:
    """Refuse flats and darks that have no ISO in common: one of the sets is not what it was taken for."""
    if lit and dark and not set(lit) & set(dark):
        names = [", ".join(f"{iso:g}" for iso in isos) for isos in (lit, dark)]
        raise CalibrationFramesError(
            f"the flats are of ISO {names[0]}, the darks of ISO {names[1]}: none has both",
            where=darks[0].path,
            hint="shoot flats and darks at the same ISO",
        )


def _join_odd(pairs: list[Pair], single: list[FrameFacts]) -> tuple[list[Pair], list[FrameFacts]]:
    """Odd flats with the last of their exposure that has a partner, and those that have none."""
    partners = {same_time(second): second for _, second in pairs}
    odd = [(partners[same_time(one)], one) for one in single if same_time(one) in partners]
    return odd, [one for one in single if same_time(one) not in partners]


class Gathering:
    """The frames of one ISO on their way into the accumulators."""

    def __init__(
        self,
        frames: IsoFrames,
        photons: PhotonCounts | None,
        listen: Listener,
        done: list[int],
        total: int,
    ) -> None:
        self.verdicts: list[Verdict] = []
        self.white_dn: float | None = None
        self._frames, self._photons = frames, photons
        self._listen, self._done, self._total = listen, done, total
        self._session: IsoCalibration | None = None

    def run(self) -> IsoResult:
        """Read them all, darks first, and measure.

        Raises:
            CalibrationError: they give no gain; says why.
        """
        frames = self._frames
        for facts in frames.darks:
            frame = self._read(facts)
            self._begin(frame).add_dark(frame.mosaic_dn, facts.exposure_s or 0.0, facts.path.name)
        refused: list[CalibrationError] = []
        for pair in (*frames.pairs, *frames.odd):
            try:
                self._add_pair(*pair, again=pair in frames.odd)
            except ProcessedFramesError:
                raise
            except FramesError as problem:
                refused.append(problem)
                subject = f"flats at ISO {frames.iso:g}"
                self.verdicts.append(Verdict(subject, "poor", f"left out: {problem}"))
        if frames.pairs and len(refused) == len(frames.pairs) + len(frames.odd):
            raise refused[0]
        if frames.chart is not None:
            frame = self._read(frames.chart)
            self._begin(frame).use_chart(frame.mosaic_dn, frames.chart.path.name)
        if self._session is None:
            raise TooFewFramesError(
                f"no flat of ISO {frames.iso:g} has a second one of the same exposure time",
                hint="shoot two flats at each exposure",
            )
        return self._session.solve()

    def _add_pair(self, first: FrameFacts, second: FrameFacts, *, again: bool) -> None:
        photons = None
        if self._photons is not None:
            photons = (self._photons.of(first) + self._photons.of(second)) / 2
        one, two = self._read(first), self._read(second)
        name = pair_name(first, second)
        self._begin(one).add_flat_pair(
            one.mosaic_dn, two.mosaic_dn, first.exposure_s, name, photons, again=again
        )

    def _begin(self, frame: CalibrationFrame) -> IsoCalibration:
        if self._session is None:
            height, width = frame.mosaic_dn.shape
            self.white_dn = frame.white_dn
            self._session = IsoCalibration(
                self._frames.iso, (height, width), frame.phase, frame.black_dn, frame.white_dn
            )
        return self._session

    def _read(self, facts: FrameFacts) -> CalibrationFrame:
        frame = read_frame(facts)
        self._done[0] += 1
        fraction = 0.95 * self._done[0] / self._total
        subject = f"ISO {self._frames.iso:g}"
        self._listen(Event("progress", "calibration", subject, {"fraction": fraction}))
        return frame


def pair_name(first: FrameFacts, second: FrameFacts) -> str:
    """How messages and the points of the curve call a pair."""
    return f"{first.path.name} and {second.path.name}"
