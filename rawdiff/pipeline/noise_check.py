"""Whether a noise model and the photograph it is for agree, and what is done where they plainly do not.

A profile of another mode, a wrong NoiseProfile tag or a K that is off by a factor costs more than an honest
estimate from the photograph itself. So the photograph is asked, blindly, at every level of light where it
has smooth places; only a plain and confident disagreement overrules the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from rawdiff_calibration.blind import BlindEstimate, estimate_noise
from rawdiff_calibration.noise import NoiseModel, ThreeColors

from rawdiff.pipeline.noise_model import ChosenNoise, spread_bands
from rawdiff.raw.frame import RawFrame, plane_sites

PLAIN_RATIO = 1.25
"""Ratio of variances from which model and photograph disagree plainly: a confident estimate is known to a
tenth, and a network that is told a variance wrong by less than this loses under 0.1 dB."""

ENOUGH_CONFIDENCE = 0.5
"""Confidence at which a blind estimate is known to about 10 %."""


@dataclass(frozen=True)
class NoiseCheck:
    """What a photograph says of its noise model.

    Attributes:
        ratio: variance that the photograph shows over the model's, mean over the levels it shows; None where
            it shows none.
        confidence: of the blind estimate.
        corrected: whether the model was overruled.
        words: the same for a person; empty where they agree or nothing can be said.
    """

    ratio: float | None
    confidence: float
    corrected: bool
    words: str


def check_noise(frame: RawFrame, chosen: ChosenNoise, may_correct: bool) -> tuple[ChosenNoise, NoiseCheck]:
    """Compare the model with the photograph; take the photograph's noise where they plainly disagree.

    Args:
        frame: a single frame; merged ones show less noise than one has.
        chosen: the model.
        may_correct: False leaves the model as it is, whatever the photograph says: for a profile that the
            user named, and for a model that is a blind estimate already.
    """
    rows = spread_bands(frame.mosaic_dn)
    planes = np.stack([rows[row::2, column::2] for row, column in plane_sites(frame.phase)])
    black, white = frame.levels.per_plane(frame.phase)
    found = estimate_noise(planes, list(black), list(white))
    ratio = variance_ratio(found, chosen.model)
    if ratio is None or found.confidence < ENOUGH_CONFIDENCE or 1 / PLAIN_RATIO < ratio < PLAIN_RATIO:
        return chosen, NoiseCheck(ratio, found.confidence, False, "")
    words = f"the photograph shows {ratio**0.5:.2f} of the noise that {chosen.origin} predicts"
    if not may_correct:
        return chosen, NoiseCheck(ratio, found.confidence, False, words)
    model = replace(overrule(chosen.model, found), origin=f"{chosen.model.origin}, corrected")
    words = f"{words}; its own is used"
    return replace(chosen, model=model, origin=f"{chosen.origin}, corrected: {words}"), NoiseCheck(
        ratio, found.confidence, True, words
    )


def variance_ratio(found: BlindEstimate, model: NoiseModel) -> float | None:
    """Geometric mean over levels of measured variance over the model's; None where nothing was measured."""
    if len(found.level_dn) == 0:
        return None
    predicted = np.mean([model.variance_dn2(found.level_dn, color) for color in range(3)], axis=0)
    return float(np.exp(np.mean(np.log(np.maximum(found.variance_dn2, 1e-12) / predicted))))


def overrule(model: NoiseModel, found: BlindEstimate) -> NoiseModel:
    """The model with gain and read noise of the photograph; the colours keep their ratios.

    The photograph cannot tell row and column noise from read noise: all of its floor is read noise then.
    """
    gain = found.gain_dn_per_e.value / float(np.mean(model.gain_dn_per_e))
    read = found.model.floor_variance_dn2()[0] ** 0.5
    mean = float(np.mean(np.sqrt(model.floor_variance_dn2())))
    floors = [read * float(np.sqrt(floor)) / mean for floor in model.floor_variance_dn2()]
    quantised = model.quantisation_dn**2 / 12
    reads = [float(np.sqrt(max(floor**2 - quantised, 0.0))) for floor in floors]
    return replace(
        model,
        gain_dn_per_e=_three([k * gain for k in model.gain_dn_per_e]),
        read_noise_dn=_three(reads),
        tukey_lambda=None,
        tukey_scale_dn=None,
        row_noise_dn=0.0,
        column_noise_dn=0.0,
    )


def _three(values: list[float]) -> ThreeColors:
    red, green, blue = values
    return red, green, blue
