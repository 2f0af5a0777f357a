from __future__ import annotations

from dataclasses import replace

import pytest

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.memory import fit_tile
from rawdiff.recipes.catalog import RECIPES

MMSE = RECIPES["mmse"]


def test_without_a_limit_the_tile_is_the_one_asked_for_or_what_suits_the_recipe() -> None:
    assert fit_tile((3000, 4000), MMSE, ProcessConfig()) >= (1500, 2000)  # twelve megapixels are one piece
    assert fit_tile((3000, 4000), MMSE, ProcessConfig(tile=256)) == (128, 128)


def test_a_limit_makes_tiles_smaller_on_the_recipes_grid() -> None:
    large = (8660, 11544)
    tiles = [fit_tile(large, MMSE, ProcessConfig(max_memory_bytes=int(g * 1e9))) for g in (4, 2, 1.95)]
    areas = [rows * columns for rows, columns in tiles]
    assert areas[0] > areas[1] >= areas[2] >= MMSE.align**2
    assert all(side % MMSE.align == 0 for tile in tiles for side in tile)


def test_what_does_not_fit_is_said_before_it_is_begun() -> None:
    with pytest.raises(ConfigurationError, match=r"100 MP needs about 1\.9 GB"):
        fit_tile((8660, 11544), MMSE, ProcessConfig(max_memory_bytes=1_000_000_000))


def test_enhancement_takes_memory_of_its_own() -> None:
    enhanced = ProcessConfig(enhance="wavelet", max_memory_bytes=1_200_000_000)
    assert fit_tile((3000, 4000), MMSE, replace(enhanced, enhance=None)) is not None
    with pytest.raises(ConfigurationError, match=r"needs about 1\.4 GB"):
        fit_tile((3000, 4000), MMSE, enhanced)


def test_a_recipe_with_states_of_the_whole_frame_names_one_without() -> None:
    walking = RECIPES["exposure"]
    with pytest.raises(ConfigurationError) as refused:
        fit_tile((8660, 11544), walking, ProcessConfig(max_memory_bytes=2_000_000_000))
    assert "--recipe mmse" in (refused.value.hint or "")
    fit_tile((8660, 11544), MMSE, ProcessConfig(max_memory_bytes=2_000_000_000))
