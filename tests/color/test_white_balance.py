from __future__ import annotations

import numpy as np
import pytest
import torch

from rawdiff.color.matrices import find_white, neutral_of
from rawdiff.color.temperature import temperature_of, white_of
from rawdiff.color.white_balance import (
    Temperature,
    choose_neutral,
    estimate_neutral,
    explain_neutral,
    parse_white_balance,
)
from rawdiff.errors import ConfigurationError
from rawdiff.raw.frame import ColorTags

MATRIX = np.array([[6461, -1164, -857], [-3825, 11597, 2534], [-416, 1540, 6039]]) / 1e4
CALIBRATED = ColorTags((MATRIX,), (None,), (None,), (21,), as_shot_neutral=np.array([1.0, 2.477, 1.462]))


def grey_world(neutral: np.ndarray, seed: int = 0) -> torch.Tensor:
    """A picture whose reflectances are coloured but grey on average in every brightness."""
    generator = np.random.default_rng(seed)
    light = generator.uniform(0.02, 0.8, (1, 60, 80))
    return torch.from_numpy(light * neutral[:, None, None] * generator.uniform(0.8, 1.2, (3, 60, 80))).float()


def test_as_shot_is_scaled_to_its_largest_entry() -> None:
    assert choose_neutral(CALIBRATED) == pytest.approx([1 / 2.477, 1.0, 1.462 / 2.477])


def test_as_shot_white_is_turned_into_a_neutral() -> None:
    color = ColorTags((MATRIX,), illuminants=(21,), as_shot_white_xy=(0.35, 0.36))
    assert find_white(color, choose_neutral(color)) == pytest.approx((0.35, 0.36), abs=1e-6)


@pytest.mark.parametrize("kelvin", [2700.0, 4000.0, 5500.0, 7500.0])
def test_a_temperature_gives_the_neutral_of_that_light(kelvin: float) -> None:
    neutral = choose_neutral(CALIBRATED, Temperature(kelvin, 10.0))
    found, tint = temperature_of(find_white(CALIBRATED, neutral))
    assert found == pytest.approx(kelvin, rel=5e-3) and tint == pytest.approx(10.0, abs=0.2)
    assert np.array_equal(neutral, choose_neutral(CALIBRATED, f"{kelvin:g}K,10"))


@pytest.mark.parametrize("kelvin", [3000.0, 5000.0, 7000.0])
def test_auto_finds_the_light_of_a_grey_world(kelvin: float) -> None:
    neutral = neutral_of(CALIBRATED, white_of(kelvin))
    found = choose_neutral(CALIBRATED, "auto", grey_world(neutral))
    # 4800 reflectances of 12 % spread each, weighted to the brightest third: standard error 0.3 %.
    assert found == pytest.approx(neutral, rel=0.012)


def test_auto_does_not_believe_in_green_light() -> None:
    neutral = estimate_neutral(CALIBRATED, grey_world(np.array([0.1, 1.0, 0.2])))
    _, tint = temperature_of(find_white(CALIBRATED, neutral))
    assert tint == pytest.approx(30, abs=0.5)


def test_auto_ignores_clipped_pixels() -> None:
    neutral = neutral_of(CALIBRATED, white_of(4000))
    picture = grey_world(neutral)
    clipped = picture.clone()
    clipped[:, :20] = 1.0
    assert estimate_neutral(CALIBRATED, clipped) == pytest.approx(
        estimate_neutral(CALIBRATED, picture), rel=0.012
    )


def test_a_file_without_white_is_balanced_by_its_picture_and_says_so() -> None:
    color = ColorTags((MATRIX,), illuminants=(21,))
    picture = grey_world(neutral_of(color, white_of(4500)))
    neutral = choose_neutral(color, "as-shot", picture)
    assert np.array_equal(neutral, estimate_neutral(color, picture))
    assert explain_neutral(color, "as-shot", neutral).startswith("estimated, as the file has none: 45")
    daylight = choose_neutral(color, "as-shot")
    assert temperature_of(find_white(color, daylight))[0] == pytest.approx(5500, rel=5e-3)
    assert np.array_equal(choose_neutral(ColorTags()), np.ones(3))


def test_a_black_picture_falls_back_to_daylight() -> None:
    neutral = estimate_neutral(CALIBRATED, torch.zeros(3, 20, 20))
    assert temperature_of(find_white(CALIBRATED, neutral))[0] == pytest.approx(5500, rel=5e-3)


@pytest.mark.parametrize("text", ["warm", "900", "5500K,900", "-3", "5500,"])
def test_wishes_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="white balance"):
        parse_white_balance(text)


def test_wishes_that_this_file_cannot_fulfil_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="calibrated camera"):
        choose_neutral(ColorTags(), "5000")
    with pytest.raises(ConfigurationError, match="needs the picture"):
        choose_neutral(CALIBRATED, "auto")
