from __future__ import annotations

import numpy as np
import pytest
import torch

from rawdiff.pipeline.picture_noise import denoise_picture, estimate_picture_noise
from rawdiff.recipes.catalog import RECIPES

SHRINK = RECIPES["wavelet-shrink"]


def scene(height: int = 256, width: int = 320) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    light = 0.02 + 0.15 * x * (1 + 0.3 * torch.sin(9 * y))
    return torch.stack([light, 0.8 * light, 0.5 * light])


def noisy(clean: torch.Tensor, gain: float, floor: float, seed: int = 0) -> torch.Tensor:
    draw = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    return clean + draw * torch.sqrt(gain * clean + floor**2)


@pytest.mark.parametrize(("gain_dn", "floor_dn"), [(20.0, 50.0), (2.0, 10.0), (100.0, 1.0)])
def test_the_noise_of_a_smooth_picture_is_found(gain_dn: float, floor_dn: float) -> None:
    """Variance within 15 %: 4 planes of 320 blocks in 12 levels, a quartile of 27 blocks each is known to
    1.36 sqrt(2/16)/sqrt(27) = 9 %, a line through 48 of them better; three times that stays below."""
    clean = scene()
    found = estimate_picture_noise(noisy(clean, gain_dn / 65535, floor_dn / 65535))
    for light in (0.03 * 65535, 0.15 * 65535):
        variance = found.gain_dn_per_e[1] * light + found.floor_variance_dn2()[1]
        assert variance == pytest.approx(gain_dn * light + floor_dn**2, rel=0.15)


@pytest.mark.parametrize("size", [(128, 160), (131, 97)])
def test_denoising_takes_the_noise_and_keeps_the_light(size: tuple[int, int]) -> None:
    clean = scene(*size)
    dirty = noisy(clean, 100 / 65535, 100 / 65535)
    found = denoise_picture(dirty, SHRINK)
    assert found.shape == clean.shape
    assert float((found - clean).square().mean()) < 0.2 * float((dirty - clean).square().mean())
    error = float((dirty - clean).std()) / clean[0].numel() ** 0.5
    assert (found - dirty).mean(dim=(1, 2)).abs().max() < max(0.005 * float(clean.mean()), 3 * error)


def test_strength_0_gives_the_picture_back() -> None:
    picture = scene(33, 47)
    torch.testing.assert_close(denoise_picture(picture, SHRINK, strength=0.0), picture, rtol=0, atol=1e-7)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (16, 16)])
def test_small_pictures_have_a_noise_model(size: tuple[int, int]) -> None:
    model = estimate_picture_noise(torch.full((3, *size), 0.2))
    assert np.isfinite(model.gain_dn_per_e).all() and min(model.gain_dn_per_e) > 0
