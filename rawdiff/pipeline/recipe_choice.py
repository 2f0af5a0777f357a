"""Which recipe a photograph gets: the one that is named, or the better one for the light it has.

The exposure diffusion is ahead where a single frame holds tens of electrons, one evaluation where it holds
thousands, or was merged between its pixels; the README has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rawdiff_calibration.noise import NoiseModel, per_plane

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.config import AUTO, ProcessConfig
from rawdiff.pipeline.memory import fit_tile
from rawdiff.raw.frame import RawFrame, plane_sites
from rawdiff.recipes.catalog import RECIPES, Recipe, find_recipe

DARK, BRIGHT = "exposure", "mmse"
DARK_E = 400.0
"""Electrons of the brightest green, up to which a single frame is dark."""

_BRIGHTEST = 99.5
_SAMPLES = 1 << 20


@dataclass(frozen=True)
class ChosenRecipe:
    """A recipe and why it was taken."""

    recipe: Recipe
    reason: str


def check_recipe(config: ProcessConfig) -> None:
    """Refuse a recipe that there is not, and options that it does not have.

    Raises:
        ConfigurationError: names what does not fit, and what does.
    """
    recipes = [RECIPES[DARK], RECIPES[BRIGHT]] if config.recipe == AUTO else [find_recipe(config.recipe)]
    for name, given in (("steps", config.steps), ("samples", config.samples)):
        if given is not None and any(recipe.walking is None for recipe in recipes):
            walking = ", ".join(sorted(name for name, other in RECIPES.items() if other.walking is not None))
            raise ConfigurationError(
                f"the recipe '{config.recipe}' takes no {name}",
                hint=f"leave out --{name}, or --recipe {walking}",
            )
    if config.uncertainty and any(recipe.errors is None for recipe in recipes):
        known = ", ".join(sorted(name for name, other in RECIPES.items() if other.errors is not None))
        raise ConfigurationError(
            f"how sure the recipe '{config.recipe}' is was never learned", hint=f"--recipe {known}"
        )


def choose_recipe(
    config: ProcessConfig, frame: RawFrame, noise: NoiseModel, exposures: float
) -> ChosenRecipe:
    """The recipe that is named, or for `auto` the one that suits the photograph.

    Args:
        config: the choices.
        frame: the corrected mosaic.
        noise: of one input frame.
        exposures: mean of those that the frame is merged of.
    """
    if config.recipe != AUTO:
        return ChosenRecipe(find_recipe(config.recipe), "named")
    if exposures > 1:
        return ChosenRecipe(RECIPES[BRIGHT], "a merged burst")
    light = brightest_e(frame, noise)
    if light > DARK_E:
        return ChosenRecipe(RECIPES[BRIGHT], f"{light:.3g} electrons where it is bright")
    try:
        fit_tile(frame.shape, RECIPES[DARK], config)
    except ConfigurationError:
        return ChosenRecipe(RECIPES[BRIGHT], "the memory that is allowed")
    return ChosenRecipe(RECIPES[DARK], f"{light:.3g} electrons where it is bright")


def brightest_e(frame: RawFrame, noise: NoiseModel) -> float:
    """Electrons that the brightest half percent of the green pixels hold at least."""
    site = plane_sites(frame.phase)[1]
    green = frame.mosaic_dn[site[0] :: 2, site[1] :: 2].reshape(-1)
    sample = green[:: max(green.size // _SAMPLES, 1)]
    black_dn, _ = frame.levels.per_plane(frame.phase)
    above_dn = float(np.percentile(sample, _BRIGHTEST)) - float(black_dn[1])
    return max(above_dn, 0.0) / per_plane(noise.gain_dn_per_e)[1]
