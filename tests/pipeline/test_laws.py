"""The laws of the product, on every recipe: photometry, tile and thread invariance, determinism."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rawdiff_calibration.noise import NoiseModel

from rawdiff.pipeline.denoise import denoise_frame, residual_profile
from rawdiff.raw.frame import FrameTags, Levels, RawFrame, Source
from rawdiff.recipes.catalog import RECIPES, Recipe
from rawdiff.recipes.walk import Walk

GAIN, READ, BLACK, WHITE = 4.0, 4.0, 512.0, 16095.0
NOISE = NoiseModel.uniform(GAIN, READ)
SIZE = 512
WALK = Walk(steps=2, samples=1, seed=7)


def make_frame(mosaic: np.ndarray) -> RawFrame:
    levels = Levels(np.full((2, 2), BLACK), np.full((2, 2), WHITE))
    source = Source(Path("a.dng"), "0" * 64, "test")
    return RawFrame(mosaic.astype(np.float32), "RGGB", levels, FrameTags(), source)


def flat_frame(level_e: float, seed: int) -> RawFrame:
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(level_e, (SIZE, SIZE))
    return make_frame(np.round(BLACK + GAIN * electrons + READ * rng.standard_normal((SIZE, SIZE))))


def textured_frame() -> RawFrame:
    y, x = np.meshgrid(np.linspace(0, 40, SIZE), np.linspace(0, 30, SIZE), indexing="ij")
    light = 30 * (1 + np.sin(x) * np.cos(y * 1.3)) + 60 * ((x > 12) & (y < 25))
    rng = np.random.default_rng(0)
    return make_frame(np.round(BLACK + GAIN * rng.poisson(light) + READ * rng.standard_normal(light.shape)))


@pytest.fixture(params=sorted(RECIPES))
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]


@pytest.mark.parametrize("level_e", [0.5, 1.0, 3.0, 10.0, 100.0])
def test_a_flat_field_keeps_its_mean(recipe: Recipe, level_e: float) -> None:
    """Within 0.5 % or three standard errors; n = 262,144 pixels of variance K^2 N + read^2 + 1/12."""
    clean = denoise_frame(flat_frame(level_e, 1), NOISE, recipe, 1.0, walk=WALK) * (WHITE - BLACK)
    error = float((GAIN**2 * level_e + READ**2 + 1 / 12) ** 0.5) / SIZE
    bound = max(0.005 * GAIN * level_e, 3 * error)
    assert abs(float(clean.double().mean()) - GAIN * level_e) < bound


def test_tiles_do_not_show(recipe: Recipe) -> None:
    frame = textured_frame()
    whole = denoise_frame(frame, NOISE, recipe, 1.0, walk=WALK)
    step = 1 / 65535
    # A network's tiles have a wide halo: smaller ones would read the whole frame each.
    for tile in ((32, 32), (64, 32), (128, 128)) if recipe.weights is None else ((64, 64), (64, 128)):
        tiled = denoise_frame(frame, NOISE, recipe, 1.0, tile=tile, walk=WALK)
        if recipe.weights is None:
            assert torch.equal(whole, tiled), f"tiles of {tile} give other bits"
        else:
            assert float((whole - tiled).abs().max()) <= step, f"tiles of {tile} differ by a count"


def test_threads_do_not_show(recipe: Recipe) -> None:
    frame, before = textured_frame(), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(denoise_frame(frame, NOISE, recipe, 1.0, walk=WALK))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results) or (
        recipe.weights is not None and float((results[0] - results[1]).abs().max()) <= 1 / 65535
    )


def test_strength_zero_changes_nothing(recipe: Recipe) -> None:
    frame = textured_frame()
    clean = denoise_frame(frame, NOISE, recipe, 0.0).numpy() * (WHITE - BLACK) + BLACK
    assert np.abs(clean - frame.mosaic_dn).max() < 0.01


def test_the_residual_profile_says_what_is_left(recipe: Recipe) -> None:
    """The variance of a processed flat field is what the profile promises, within half: it is a fit."""
    levels = Levels(np.full((2, 2), BLACK), np.full((2, 2), WHITE))
    pairs = residual_profile(NOISE, levels, "RGGB", recipe, 1.0, 1.0)
    untouched = residual_profile(NOISE, levels, "RGGB", recipe, 0.0, 1.0)
    original = NOISE.to_dng((WHITE - BLACK,) * 3)
    for (slope, floor), (s, o) in zip(untouched, original, strict=True):
        assert slope == pytest.approx(s, rel=0.2)
        assert floor == pytest.approx(o, rel=0.5)
    clean = denoise_frame(flat_frame(50.0, 3), NOISE, recipe, 1.0)
    x = GAIN * 50 / (WHITE - BLACK)
    promised = pairs[1][0] * x + pairs[1][1]
    measured = float(clean[32:-32, 32:-32][0::2, 1::2].var())
    assert 0.3 < measured / promised < 3.0
    assert promised < 0.5 * (original[1][0] * x + original[1][1])
