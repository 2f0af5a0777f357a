"""A wrong noise model is noticed and overruled, a right one is left alone, on a scene with texture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from rawdiff_calibration.blind import estimate_noise
from rawdiff_calibration.noise import NoiseModel

from rawdiff.pipeline.noise_check import check_noise, overrule, variance_ratio
from rawdiff.pipeline.noise_model import ChosenNoise
from rawdiff.raw.frame import FrameTags, Levels, RawFrame, Source

BLACK, WHITE = 512.0, 16383.0
TRUE = NoiseModel((4.0, 4.0, 4.0), (6.0, 6.0, 6.0))


@pytest.fixture(scope="module")
def frame() -> RawFrame:
    """A dark photograph, 512x512 mosaic pixels, up to 100 electrons."""
    picture = skimage.data.astronaut() / 255.0
    light = 100 * np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
    mosaic = light[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    rng = np.random.default_rng(0)
    dn = np.round(BLACK + 4 * rng.poisson(mosaic) + 6 * rng.standard_normal(mosaic.shape))
    levels = Levels(np.full((2, 2), BLACK), np.full((2, 2), WHITE))
    return RawFrame(
        dn.astype(np.float32), "RGGB", levels, FrameTags(), Source(Path("a.dng"), "0" * 64, "test")
    )


def _told(scale_gain: float, scale_read: float = 1.0) -> ChosenNoise:
    red, green, blue = (k * scale_gain for k in TRUE.gain_dn_per_e)
    reads = [read * scale_read for read in TRUE.read_noise_dn]
    model = replace(TRUE, gain_dn_per_e=(red, green, blue), read_noise_dn=(reads[0], reads[1], reads[2]))
    return ChosenNoise(model, "the built-in profile")


def test_a_right_model_is_left_alone(frame: RawFrame) -> None:
    chosen, check = check_noise(frame, _told(1.0), may_correct=True)
    assert chosen.model == TRUE and not check.corrected and check.words == ""
    assert check.ratio == pytest.approx(1.0, abs=0.15)
    slightly, check = check_noise(frame, _told(1.1), may_correct=True)
    assert slightly.model == _told(1.1).model and not check.corrected


@pytest.mark.parametrize(("gain", "read"), [(2.0, 1.0), (0.5, 1.0), (2.0, 2.0), (0.5, 0.5)])
def test_a_wrong_model_is_overruled(frame: RawFrame, gain: float, read: float) -> None:
    """Afterwards the variance between 0 and 100 electrons is right within 20 %."""
    chosen, check = check_noise(frame, _told(gain, read), may_correct=True)
    assert check.corrected and "its own is used" in check.words and "corrected" in chosen.origin
    level = np.linspace(20.0, 400.0, 20)
    ratio = chosen.model.variance_dn2(level, 1) / TRUE.variance_dn2(level, 1)
    assert np.abs(np.log(ratio)).max() < np.log(1.2)


def test_what_the_user_named_is_warned_of_and_kept(frame: RawFrame) -> None:
    chosen, check = check_noise(frame, _told(2.0), may_correct=False)
    assert chosen.model == _told(2.0).model
    assert not check.corrected and "of the noise that the built-in profile predicts" in check.words


def test_colours_keep_their_ratios_and_nothing_measured_says_nothing(frame: RawFrame) -> None:
    planes = np.stack([frame.mosaic_dn[row::2, column::2] for row in (0, 1) for column in (0, 1)])
    found = estimate_noise(planes, [BLACK] * 4, [WHITE] * 4)
    tinted = NoiseModel((3.0, 4.0, 5.0), (3.0, 6.0, 9.0), row_noise_dn=2.0)
    model = overrule(tinted, found)
    gains = np.array(model.gain_dn_per_e)
    assert np.allclose(gains / gains[1], [0.75, 1.0, 1.25])
    assert gains.mean() == pytest.approx(found.gain_dn_per_e.value)
    assert model.read_noise_dn[0] < model.read_noise_dn[1] < model.read_noise_dn[2]
    assert model.row_noise_dn == 0.0
    nothing = replace(found, level_dn=np.empty(0), variance_dn2=np.empty(0))
    assert variance_ratio(nothing, TRUE) is None
