from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage import data as photographs

from rawdiff.recipes.wavelet_shrink import ALIGN, HALO, denoise
from rawdiff.tiles import plan_tiles

WHITE_DN = 15583.0
"""White minus black of the camera that the figures stand for: 14 bits."""


def expose(light_e: torch.Tensor, gain_dn: float, read_dn: float, seed: int = 0) -> torch.Tensor:
    """Photograph light [e-] once, in units of white: shot noise, Gaussian read noise, rounding."""
    generator = torch.Generator().manual_seed(seed)
    signal_dn = torch.poisson(light_e, generator=generator) * gain_dn
    signal_dn += torch.randn(light_e.shape, generator=generator) * read_dn
    return signal_dn.round() / WHITE_DN


def law(gain_dn: float, read_dn: float, planes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    sigma_dn = math.sqrt(read_dn**2 + 1 / 12)
    return torch.full((planes,), gain_dn / WHITE_DN), torch.full((planes,), sigma_dn / WHITE_DN)


def packed_photograph(name: str) -> torch.Tensor:
    """A picture of scikit-image as packed raw in linear light 0..1."""
    picture = getattr(photographs, name)()[:300, :400] / 255.0
    light = np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
    sites = [light[0::2, 0::2, 0], light[0::2, 1::2, 1], light[1::2, 0::2, 1], light[1::2, 1::2, 2]]
    return torch.from_numpy(np.stack(sites)).float()


@pytest.mark.parametrize("level_e", [0.5, 1.0, 3.0, 10.0, 100.0])
@pytest.mark.parametrize(("gain_dn", "read_dn"), [(4.0, 4.0), (1.0, 3.0)])
def test_flat_fields_keep_their_mean(level_e: float, gain_dn: float, read_dn: float) -> None:
    light = torch.full((4, 96, 96), level_e)
    noisy = expose(light, gain_dn, read_dn, seed=11)
    clean = denoise(noisy, *law(gain_dn, read_dn))
    truth = level_e * gain_dn / WHITE_DN
    # n = 36864 pixels of variance K^2 x + sigma^2 (with this read noise rounding adds no bias).
    deviation = math.sqrt(gain_dn**2 * level_e + read_dn**2 + 1 / 12) / WHITE_DN
    allowed = max(0.005 * truth, 3 * deviation / math.sqrt(noisy.numel()))
    assert abs(clean.double().mean().item() - truth) < allowed
    # The law itself is stronger: the mean of what came in, to rounding, whatever it was.
    assert clean.double().mean().item() == pytest.approx(noisy.double().mean().item(), rel=2e-6)


def test_light_is_neither_made_nor_lost_in_any_picture() -> None:
    noisy = expose(packed_photograph("coffee") * 39.0, 4.0, 4.0, seed=1)
    clean = denoise(noisy, *law(4.0, 4.0))
    for before, after in zip(noisy.double(), clean.double(), strict=True):
        assert after.mean().item() == pytest.approx(before.mean().item(), rel=2e-6)


def test_a_step_wedge_keeps_every_step() -> None:
    # Seven steps of 40 pixels side by side, each twice its neighbour; columns next to an edge are left out,
    # since a pixel beside an edge may take light from it (n = 4 x 120 x 24 pixels per step and shot).
    levels = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    light = torch.cat([torch.full((4, 120, 40), level) for level in levels], dim=2)
    means = torch.zeros(len(levels), dtype=torch.float64)
    shots = 4
    for seed in range(shots):
        clean = denoise(expose(light, 4.0, 4.0, seed=20 + seed), *law(4.0, 4.0)).double() * WHITE_DN / 4.0
        means += torch.stack([clean[:, :, 40 * k + 8 : 40 * k + 32].mean() for k in range(len(levels))])
    for level, mean in zip(levels, (means / shots).tolist(), strict=True):
        error = math.sqrt(level + 1) / math.sqrt(4 * 120 * 24 * shots)
        assert abs(mean - level) < max(0.005 * level, 3 * error), level


@pytest.mark.parametrize("level_e", [1.0, 10.0, 100.0])
def test_flat_noise_falls_to_a_tenth(level_e: float) -> None:
    noisy = expose(torch.full((4, 96, 96), level_e), 4.0, 4.0, seed=2)
    clean = denoise(noisy, *law(4.0, 4.0))
    assert clean.std() < 0.12 * noisy.std()
    greens = (clean[1] - clean[2]).std() / (noisy[1] - noisy[2]).std()
    assert greens < 0.12  # the two greens agree: no maze


@pytest.mark.parametrize("name", ["coffee", "rocket", "astronaut", "chelsea"])
def test_the_floor_gains_five_decibels_at_ratio_100(name: str) -> None:
    ratio, gain_dn, read_dn = 100.0, 4.0, 4.0
    truth = packed_photograph(name)
    noisy = expose(truth * WHITE_DN / ratio / gain_dn, gain_dn, read_dn, seed=3)
    clean = denoise(noisy, *law(gain_dn, read_dn))

    def psnr(planes: torch.Tensor) -> float:
        return -10 * math.log10(((planes * ratio).clamp(0, 1) - truth).square().mean().item())

    assert psnr(clean) > psnr(noisy) + 5.0


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("mapped", [False, True])
def test_tiles_give_the_bits_of_the_whole(size: int, mapped: bool) -> None:
    noisy = expose(torch.rand(4, 101, 147, generator=torch.Generator().manual_seed(4)) * 30, 4.0, 4.0)
    noisy[:, 40:60, 50:90] *= 3.0
    ramp = 1.0 + torch.arange(147.0) / 30
    exposure = ramp.expand(101, 147).contiguous() if mapped else 2.0
    whole = denoise(noisy, *law(4.0, 4.0), exposure, 0.8)
    pieces = torch.full_like(whole, torch.nan)
    for tile in plan_tiles(101, 147, size, HALO, ALIGN):
        light = exposure[tile.outer] if isinstance(exposure, torch.Tensor) else exposure
        part = denoise(noisy[(slice(None), *tile.outer)], *law(4.0, 4.0), light, 0.8)
        pieces[(slice(None), *tile.inner)] = part[(slice(None), *tile.inner_in_outer)]
    assert torch.equal(pieces, whole)


def test_threads_and_repetition_change_no_bit() -> None:
    noisy = expose(torch.full((4, 120, 120), 8.0), 4.0, 4.0)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 1):
            torch.set_num_threads(count)
            results.append(denoise(noisy, *law(4.0, 4.0)))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_strength_goes_from_nothing_to_all() -> None:
    noisy = expose(torch.full((4, 60, 60), 5.0), 4.0, 4.0)
    full = denoise(noisy, *law(4.0, 4.0))
    assert torch.equal(denoise(noisy, *law(4.0, 4.0), strength=0.0), noisy)
    half = denoise(noisy, *law(4.0, 4.0), strength=0.5)
    assert (half - (noisy + full) / 2).abs().max() < 1e-7


def test_more_exposures_mean_less_noise_to_remove() -> None:
    # The mean of N frames has the noise law (K/N, sigma^2/N): both ways of saying so are one.
    noisy = expose(packed_photograph("coffee") * 39.0, 4.0, 4.0)
    gain, sigma = law(4.0, 4.0)
    by_exposure = denoise(noisy, gain, sigma, 4.0)
    by_law = denoise(noisy, gain / 4, sigma / 2, 1.0)
    assert torch.allclose(by_exposure, by_law, atol=1e-7)
    mapped = denoise(noisy, gain, sigma, torch.full(noisy.shape[1:], 4.0))
    assert torch.equal(mapped, by_exposure)


def test_the_unit_of_light_does_not_matter() -> None:
    noisy = expose(packed_photograph("chelsea") * 39.0, 4.0, 4.0)
    gain, sigma = law(4.0, 4.0)
    in_dn = denoise(noisy * 16384, gain * 16384, sigma * 16384)
    assert torch.allclose(in_dn / 16384, denoise(noisy, gain, sigma), atol=1e-7)


def test_what_is_far_above_the_noise_stays() -> None:
    truth = packed_photograph("astronaut")
    clean = denoise(truth, torch.full((4,), 1e-7), torch.full((4,), 1e-6))
    assert (clean - truth).abs().max() < 2e-3
    assert (clean - truth).square().mean().sqrt() < 2e-4


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 90)])
def test_the_smallest_frames_pass(shape: tuple[int, int]) -> None:
    clean = denoise(expose(torch.full((4, *shape), 3.0), 4.0, 4.0), *law(4.0, 4.0))
    assert clean.shape == (4, *shape) and torch.isfinite(clean).all()


def test_grey_detail_far_above_the_noise_stays_grey() -> None:
    # Nothing is left beside the common detail but rounding, which must not be taken for detail in colour.
    detail = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(6)) * 1e4
    planes = detail.expand(4, 64, 64).contiguous()
    clean = denoise(planes, torch.full((4,), 1e-3), torch.full((4,), 1e-3))
    assert (clean - planes).abs().max() < 1.0
    assert (clean - clean[:1]).abs().max() < 0.01


def test_black_without_read_noise_stays_black() -> None:
    black = torch.zeros(4, 30, 30)
    assert torch.equal(denoise(black, torch.full((4,), 1e-4), torch.zeros(4)), black)


def test_requests_that_do_not_fit_are_refused() -> None:
    planes, (gain, sigma) = torch.zeros(4, 8, 8), law(4.0, 4.0)
    with pytest.raises(ValueError, match="4 gains"):
        denoise(planes, gain[:3], sigma)
    with pytest.raises(ValueError, match="gain must be above 0"):
        denoise(planes, gain * 0, sigma)
    with pytest.raises(ValueError, match="strength"):
        denoise(planes, gain, sigma, strength=1.5)
    with pytest.raises(ValueError, match="exposure map"):
        denoise(planes, gain, sigma, torch.ones(4, 4))
    with pytest.raises(ValueError, match="exposures must be above 0"):
        denoise(planes, gain, sigma, 0.0)
    with pytest.raises(ValueError, match="packed raw"):
        denoise(planes[0], gain, sigma)
