from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from rawdiff.enhance.apply import (
    SHOULDER_FROM,
    SHOULDER_TOP,
    bend_highlights,
    enhance_picture,
    mix_light,
    settle,
)
from rawdiff.enhance.catalog import ENHANCERS, EnhancerEntry, find_entry, load_enhancer
from rawdiff.enhance.survey import SURVEY_SIDE, survey_bands, survey_picture, survey_size
from rawdiff.errors import ConfigurationError, ProcessingError


class Doubler:
    """An enhancer with a halo: it doubles the light and shows, in blue, the sum over three rows."""

    name = "doubler"
    halo = 1

    def survey(self, small: Tensor, size: tuple[int, int], seed: int) -> Doubler:
        self.height = size[0]
        return self

    def apply(self, band: Tensor, top: int, bottom: int) -> Tensor:
        first = min(1, top)
        lit = band[:, first : first + bottom - top].clone()
        for row in range(top, bottom):
            low, high = max(row - 1, 0), min(row + 2, self.height)
            lit[2, row - top] = band[2, low - top + first : high - top + first].sum(dim=0)
        lit[:2] *= 2
        return lit


def picture(height: int = 40, width: int = 56, seed: int = 0, top: float = 0.4) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) * top


def test_the_small_copy_keeps_the_mean_of_every_area() -> None:
    image = picture(3 * SURVEY_SIDE // 2, 1000, top=1.0)
    small = survey_picture(image)
    assert small.shape == (3, *survey_size(*image.shape[1:])) and max(small.shape) == SURVEY_SIDE
    rows = [index * 768 // small.shape[1] for index in (0, 1, 2)]
    columns = [index * 1000 // small.shape[2] for index in (5, 6)]
    area = image[:, rows[1] : rows[2], columns[0] : columns[1]].double()
    torch.testing.assert_close(small[:, 1, 5], area.mean(dim=(1, 2)).float(), rtol=1e-6, atol=0)


def test_the_small_copy_does_not_depend_on_the_bands() -> None:
    image = picture(700, 900)
    in_bands = survey_bands((image[:, top : top + 33] for top in range(0, 700, 33)), (700, 900))
    assert torch.equal(survey_picture(image), in_bands)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 513), (512, 511)])
def test_strange_sizes_have_a_small_copy(size: tuple[int, int]) -> None:
    small = survey_picture(torch.full((3, *size), 0.25))
    assert max(small.shape[1:]) <= SURVEY_SIDE and min(small.shape[1:]) >= 1
    assert torch.equal(small, torch.full_like(small, 0.25))


def test_bands_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="rows came"):
        survey_bands([torch.zeros(3, 4, 8)], (5, 8))
    with pytest.raises(ValueError, match="is not of"):
        survey_bands([torch.zeros(3, 4, 7)], (4, 8))


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_bands_with_their_halo_give_the_whole(strength: float) -> None:
    image = picture()
    settled = settle(Doubler(), survey_picture(image), (40, 56), strength)
    whole = settled.apply(image, 0, 40)
    for rows in (1, 7, 39):
        for top in range(0, 40, rows):
            bottom = min(top + rows, 40)
            band = image[:, max(top - settled.halo, 0) : bottom + settled.halo]
            assert torch.equal(settled.apply(band, top, bottom), whole[:, top:bottom])


def test_strength_0_is_the_picture_and_1_the_enhancer() -> None:
    image = picture()
    assert torch.equal(enhance_picture(image, Doubler(), strength=0.0), image)
    assert torch.equal(enhance_picture(image, Doubler()), bend_highlights(_lit(image)))


def _lit(image: Tensor) -> Tensor:
    doubler = Doubler().survey(image, (image.shape[1], image.shape[2]), 0)
    return doubler.apply(image, 0, image.shape[1])


def test_strength_moves_every_pixel_without_overshoot() -> None:
    plain, lit = picture(seed=1) - 0.1, picture(seed=2) - 0.1
    low, high = torch.minimum(plain, lit), torch.maximum(plain, lit)
    mixed = mix_light(plain, lit, 0.4)
    assert bool(((mixed >= low - 1e-6) & (mixed <= high + 1e-6)).all())


def test_a_mix_with_a_gain_keeps_the_hue() -> None:
    plain = picture() + 0.01
    mixed = mix_light(plain, 3 * plain, 0.5)
    gain = mixed / plain
    # Float32 roots and products: a few units in the last place.
    torch.testing.assert_close(
        gain, torch.full_like(gain, (0.5 + 0.5 * math.sqrt(3)) ** 2), rtol=2e-6, atol=0
    )


def test_highlights_are_bent_below_white_in_order_and_in_their_hue() -> None:
    peaks = torch.linspace(0.0, 2 * SHOULDER_TOP, 1001)
    light = torch.stack([peaks, 0.5 * peaks, 0.2 * peaks])[:, None]
    bent = bend_highlights(light)
    assert torch.equal(bent[:, :, peaks <= SHOULDER_FROM], light[:, :, peaks <= SHOULDER_FROM])
    assert float(bent.max()) == 1.0
    rises = bent[0, 0].diff()
    assert bool((rises[peaks[1:] < SHOULDER_TOP] > 0).all()) and bool((rises >= -1e-7).all())
    torch.testing.assert_close(bent[1], 0.5 * bent[0], rtol=1e-6, atol=0)


def test_nothing_is_made_of_no_light() -> None:
    black = torch.zeros(3, 20, 30)
    assert torch.equal(enhance_picture(black, load_enhancer("local")), black)
    below = torch.full((3, 20, 30), -0.001)
    assert torch.equal(enhance_picture(below, load_enhancer("local")), below)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_values_that_are_no_numbers_are_refused(wrong: float) -> None:
    image = picture()
    image[1, 3, 4] = wrong
    with pytest.raises(ProcessingError, match="no numbers"):
        enhance_picture(image, Doubler())


@pytest.mark.parametrize("strength", [-0.1, 1.5, math.nan])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ConfigurationError, match="strength"):
        enhance_picture(picture(), Doubler(), strength=strength)


def test_an_unknown_enhancer_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no enhancer 'retinex'.*local"):
        find_entry("retinex")


def test_missing_weights_are_told_with_what_makes_them(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    entry = EnhancerEntry("lost", "-", "-", Doubler, tmp_path / "lost.safetensors")
    monkeypatch.setitem(ENHANCERS, "lost", entry)
    with pytest.raises(ConfigurationError, match=r"weights of 'lost' are not there.*rawdiff train lost"):
        load_enhancer("lost")
