"""What a person should know about the frames of a calibration, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rawdiff_calibration.camera import describe_certainty
from rawdiff_calibration.dark_fitness import DarkFitness
from rawdiff_calibration.fitness import Fitness
from rawdiff_calibration.profile import SensorProfile
from rawdiff_calibration.session import IsoResult

from rawdiff.pipeline.calibration_frames import FrameFacts

Grade = Literal["good", "note", "poor"]


@dataclass(frozen=True)
class Verdict:
    """One plain sentence on a set of frames."""

    subject: str
    grade: Grade
    text: str


@dataclass(frozen=True, eq=False)
class IsoOutcome:
    """One ISO: what was measured, and how the profile explains its own frames. `light`: flats, or a chart."""

    result: IsoResult
    fitness: Fitness | None
    dark_fitness: DarkFitness | None
    light: Literal["flats", "chart"] = "flats"


def describe_iso(profile: SensorProfile, outcome: IsoOutcome) -> list[Verdict]:
    """Everything a person should know about one ISO."""
    result = outcome.result
    flats, darks = f"{outcome.light} at ISO {result.iso:g}", f"darks at ISO {result.iso:g}"
    found = [Verdict(flats, "poor", note) for note in result.notes]
    if result.transfer is not None:
        grade: Grade = "poor" if outcome.light == "chart" else "note"
        found.append(Verdict(flats, grade, result.transfer.trust))
        found += [Verdict(flats, "note", note) for note in (*result.transfer.notes, *result.remarks)]
        worst = max(
            chi2 / max(freedom, 1)
            for chi2, freedom in zip(result.transfer.chi2, result.transfer.freedom, strict=True)
        )
        if worst > 3:
            found.append(
                Verdict(
                    flats, "poor", f"the levels scatter {worst**0.5:.1f} times more than their errors say"
                )
            )
    elif result.darks is not None:
        words = "no flats at this ISO: K follows from that of the others, in proportion to ISO"
        found.append(Verdict(darks, "poor", words))
    if result.flat is not None:
        found += [Verdict(flats, "note", note) for note in result.flat.notes]
    if result.darks is not None:
        found += [Verdict(darks, "note", note) for note in result.darks.notes]
    found += [
        Verdict(f"figures at ISO {result.iso:g}", "poor", words)
        for words in describe_certainty(result.iso, profile.at(result.iso), result.darks)
    ]
    for subject, judged in ((flats, outcome.fitness), (darks, outcome.dark_fitness)):
        if judged is not None:
            found.append(Verdict(subject, "good" if judged.good else "poor", f"the profile {judged.verdict}"))
    return found


def describe_alone(iso: float, alone: Sequence[FrameFacts]) -> list[Verdict]:
    """Flats of one ISO that no other of their exposure time can be paired with."""
    if not alone:
        return []
    names = ", ".join(facts.path.name for facts in alone[:4]) + (", ..." if len(alone) > 4 else "")
    count = "one flat has" if len(alone) == 1 else f"{len(alone)} flats have"
    text = f"left out: {count} no second one of the same exposure time to be paired with ({names})"
    return [Verdict(f"flats at ISO {iso:g}", "poor", text)]
