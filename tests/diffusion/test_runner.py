from __future__ import annotations

import pytest
import torch
from torch.nn.functional import avg_pool2d

from rawdiff.diffusion.process import SigmaMap
from rawdiff.diffusion.runner import TiledDenoiser
from rawdiff.diffusion.sampler import sample, seeded_noise
from rawdiff.diffusion.schedule import geometric_sigmas

REACH = 3


def local_denoiser(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Shrink towards a 7x7 mean by the noise; reads three pixels around."""
    mean = avg_pool2d(x[None], 2 * REACH + 1, stride=1, padding=REACH, count_include_pad=False)[0]
    return mean + (x - mean) / (1 + sigma**2)


@pytest.mark.parametrize("size", [5, 16, 64])
def test_a_whole_trajectory_in_tiles_is_the_untiled_one(size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4, 33, 29, generator=generator, dtype=torch.float64)
    noise = 0.2 + torch.rand(4, 33, 29, generator=generator, dtype=torch.float64)
    times = geometric_sigmas(6, 0.05, 2.0)
    whole = sample(y, times, SigmaMap(noise), local_denoiser, seeded_noise(1))
    tiled = sample(y, times, SigmaMap(noise), TiledDenoiser(local_denoiser, size, REACH), seeded_noise(1))
    assert torch.allclose(whole, tiled, rtol=0, atol=1e-12)


def test_a_halo_below_the_reach_shows() -> None:
    x = torch.randn(1, 20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigma = torch.tensor(1.0, dtype=torch.float64)
    whole = local_denoiser(x, sigma)
    assert not torch.allclose(whole, TiledDenoiser(local_denoiser, 8, 1)(x, sigma))
