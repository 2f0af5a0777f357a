"""The wavelet enhancer: the published schedule, bands and whole, gains, seeds, edges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from rawdiff.diffusion.sampler import sample, seeded_noise
from rawdiff.diffusion.step import keep_all
from rawdiff.enhance.apply import enhance_picture, settle
from rawdiff.enhance.carry import decode_light, encode_light, fit_law, grow
from rawdiff.enhance.survey import survey_picture
from rawdiff.enhance.wavelet import WaveletDiffusion, relight, visited_times, wavelet_process
from rawdiff.networks.relight import WaveletRelight

COUNT = 1 / 65535


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def wild() -> WaveletRelight:
    """A small network whose every layer does something."""
    torch.manual_seed(5)
    network = WaveletRelight((8, 8, 8), (1, 1, 1), detail_width=8, steps=2)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and not bool(layer.weight.any()):
            nn.init.normal_(layer.weight, std=0.05)
    return network.eval().requires_grad_(False)


def scene(height: int, width: int) -> torch.Tensor:
    """A dark picture with structure at every size, linear, with negatives."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    waves = torch.stack([torch.sin(rows / a) * torch.cos(columns / b) for a, b in ((9, 30), (40, 7), (3, 5))])
    return 0.01 * (1.2 + waves) * (0.2 + columns / width) + 0.002 * (draw(3, height, width) - 0.5)


def shown(light: torch.Tensor) -> torch.Tensor:
    """Display values of linear light."""
    return light.clamp(0, 1) ** (1 / 2.4)


def test_the_schedule_is_the_published_one() -> None:
    alpha_bar = wavelet_process().alpha_bar
    assert float(alpha_bar[0]) == pytest.approx(0.9999, abs=1e-7)
    assert [round(float(alpha_bar[t]), 3) for t in (100, 180, 199)] == [0.596, 0.191, 0.132]
    assert visited_times(10).tolist() == [180, 160, 140, 120, 100, 80, 60, 40, 20, 0, -1]
    assert visited_times(4).tolist() == [150, 100, 50, 0, -1]


def test_a_walk_with_a_denoiser_that_knows_ends_at_the_clean_band() -> None:
    clean = 4 * (2 * draw(1, 3, 16, 16).double() - 1)
    noise = seeded_noise(1)
    ends = sample(
        noise(clean), visited_times(10), wavelet_process(), lambda x, sigma: clean, noise, k_rule=keep_all
    )
    assert torch.allclose(ends, clean, atol=1e-5)


def test_an_untrained_network_keeps_the_picture() -> None:
    network = WaveletRelight((8, 8), (1, 1), detail_width=8)
    encoded = draw(2, 3, 37, 50)
    with torch.inference_mode():
        relit = relight(network, encoded, seeded_noise(0))
    assert torch.allclose((relit.picture + 1) / 2, encoded, atol=2e-5)


def test_light_is_encoded_and_decoded() -> None:
    light = torch.tensor([-0.5, -1e-3, 0.0, 1e-4, 0.18, 1.0, 7.0], dtype=torch.float64)
    encoded = encode_light(light)
    assert torch.allclose(decode_light(encoded), light, atol=1e-12)
    assert encoded[2] == 0
    assert float(encoded[5]) == pytest.approx(1.0)
    assert bool((encoded.diff() > 0).all())


def test_a_gain_is_carried_exactly_and_an_edge_of_light_without_a_halo() -> None:
    old = draw(1, 3, 24, 32) + 0.1
    law = fit_law(old, 1.7 * old, 2, 0.05)
    assert torch.allclose(law.slope, torch.full_like(old, 1.7), atol=2e-3)
    assert torch.allclose(law.offset, torch.zeros_like(old), atol=1e-3)
    # Two halves, the darker one lifted more: where the picture has its edge, the light has.
    large = torch.full((1, 3, 256, 256), 0.1)
    large[..., 128:] = 0.8
    small = torch.nn.functional.avg_pool2d(large, 8)
    lifted = torch.where(small < 0.45, 3 * small, small)
    law = fit_law(small, lifted, 2, 0.05)
    carried = law.apply(large, (256, 256), 0)
    gains = grow(lifted / small, (256, 256), 0, 256) * large
    truth = torch.where(large < 0.45, 3 * large, large)
    assert float((carried - truth).abs().max()) < float((gains - truth).abs().max()) / 3


def test_maps_grow_to_the_same_bits_in_any_band() -> None:
    maps = draw(1, 3, 11, 17)
    whole = grow(maps, (203, 310), 0, 203)
    for top, bottom in ((0, 1), (7, 91), (150, 203)):
        assert torch.equal(grow(maps, (203, 310), top, bottom), whole[..., top:bottom, :])


@pytest.mark.parametrize("rows", [1, 53, 90, 128])
def test_bands_make_up_the_whole(wild: WaveletRelight, rows: int) -> None:
    picture = scene(230, 150)
    light = settle(WaveletDiffusion(wild), survey_picture(picture), (230, 150))
    whole = light.apply(picture, 0, 230)
    starts = range(0, 230, rows) if rows > 1 else (0, 1, 114, 229)
    for top in starts:
        bottom = min(top + rows, 230)
        band = picture[:, max(top - light.halo, 0) : bottom + light.halo]
        part = light.apply(band, top, bottom)
        assert float((shown(part) - shown(whole[:, top:bottom])).abs().max()) < COUNT


def test_the_gain_of_the_input_does_not_matter(wild: WaveletRelight) -> None:
    picture = scene(96, 120)
    bright = enhance_picture(picture, WaveletDiffusion(wild))
    dark = enhance_picture(picture / 64, WaveletDiffusion(wild))
    assert float((shown(dark) - shown(bright)).abs().max()) < COUNT


def test_a_seed_decides_and_nothing_else_does(wild: WaveletRelight) -> None:
    picture = scene(64, 80)
    first, again = (enhance_picture(picture, WaveletDiffusion(wild), seed=3) for _ in range(2))
    other = enhance_picture(picture, WaveletDiffusion(wild), seed=4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_threads_do_not_matter(wild: WaveletRelight) -> None:
    picture = scene(120, 160)
    found = []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        found.append(shown(enhance_picture(picture, WaveletDiffusion(wild))))
    for other in found[1:]:
        assert float((other - found[0]).abs().max()) < COUNT
