"""Which recipe a photograph gets where none is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rawdiff_calibration.noise import NoiseModel

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.config import AUTO, ProcessConfig
from rawdiff.pipeline.recipe_choice import BRIGHT, DARK, DARK_E, brightest_e, check_recipe, choose_recipe
from rawdiff.raw.frame import CfaPhase, FrameTags, Levels, RawFrame, Source
from rawdiff.recipes.catalog import RECIPES

NOISE = NoiseModel.uniform(4.0, 4.0)
BLACK_DN = 512.0


def _frame(
    electrons: float, phase: CfaPhase = "RGGB", shape: tuple[int, int] = (64, 96), lamp: int = 0
) -> RawFrame:
    """Half as much light in red and blue as in green; a bright square in a corner."""
    mosaic = np.full(shape, BLACK_DN + 2 * electrons, np.float32)
    for row, column in ((0, 1), (1, 0)) if phase in ("RGGB", "BGGR") else ((0, 0), (1, 1)):
        mosaic[row::2, column::2] += 2 * electrons
    mosaic[:lamp, :lamp] = 16000.0
    levels = Levels(np.full((2, 2), BLACK_DN), np.full((2, 2), 16383.0))
    return RawFrame(mosaic, phase, levels, FrameTags(), Source(Path("a.dng"), "0" * 64, "test"))


@pytest.mark.parametrize("phase", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_light_is_counted_in_electrons_of_green(phase: CfaPhase) -> None:
    assert brightest_e(_frame(120.0, phase), NOISE) == pytest.approx(120.0)


def test_half_a_percent_of_lamps_does_not_make_a_night_bright() -> None:
    assert brightest_e(_frame(30.0, shape=(256, 256), lamp=12), NOISE) == pytest.approx(30.0)


def test_a_dark_single_frame_is_exposed_on_and_a_bright_or_merged_one_is_not() -> None:
    config = ProcessConfig()
    assert config.recipe == AUTO
    assert choose_recipe(config, _frame(DARK_E / 2), NOISE, 1.0).recipe.name == DARK
    bright = choose_recipe(config, _frame(DARK_E * 2), NOISE, 1.0)
    assert bright.recipe.name == BRIGHT and "800 electrons" in bright.reason
    assert choose_recipe(config, _frame(DARK_E / 2), NOISE, 7.3).recipe.name == BRIGHT


def test_what_does_not_fit_into_memory_is_not_chosen_and_what_is_named_is() -> None:
    large = _frame(20.0, shape=(2048, 3072))
    held = ProcessConfig(max_memory_bytes=1_030_000_000)
    assert choose_recipe(held, large, NOISE, 1.0).recipe.name == BRIGHT
    assert choose_recipe(ProcessConfig(), large, NOISE, 1.0).recipe.name == DARK
    named = choose_recipe(ProcessConfig(recipe="wavelet-shrink"), large, NOISE, 1.0)
    assert (named.recipe.name, named.reason) == ("wavelet-shrink", "named")


def test_options_of_one_recipe_alone_need_its_name() -> None:
    check_recipe(ProcessConfig(uncertainty=True))
    check_recipe(ProcessConfig(recipe="exposure", steps=2))
    with pytest.raises(ConfigurationError, match="'auto' takes no steps") as refused:
        check_recipe(ProcessConfig(steps=2))
    assert "exposure" in (refused.value.hint or "")
    with pytest.raises(ConfigurationError, match="no recipe 'nothing'"):
        check_recipe(ProcessConfig(recipe="nothing"))
    assert {DARK, BRIGHT} <= RECIPES.keys()
