"""The one-step recipe around any network."""

from __future__ import annotations

import pytest
import torch

from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.networks.strips import Writer
from rawdiff.networks.weights import identity
from rawdiff.raw.frame import plane_sites
from rawdiff.recipes import mmse
from rawdiff.recipes.mmse import denoise_with
from rawdiff.recipes.walk import as_denoiser
from rawdiff.tiles import plan_tiles

GAIN, SIGMA = torch.full((4,), 1e-3), torch.full((4,), 2e-3)


class Identity(StabilisedDenoiser):
    """Answers with the state, and keeps the noise map that it was told."""

    def __init__(self) -> None:
        super().__init__((4, 4), (1, 1))
        self.told: list[torch.Tensor] = []

    def in_strips(
        self, state: torch.Tensor, sigma: torch.Tensor, floor: torch.Tensor, write: Writer[torch.Tensor]
    ) -> None:
        assert torch.broadcast_shapes(sigma.shape, floor.shape, state.shape) == state.shape
        self.told.append(sigma)
        write(slice(0, state.shape[2]), state)


def _planes() -> torch.Tensor:
    return 0.02 + 0.02 * torch.rand(4, 24, 20, generator=torch.Generator().manual_seed(0))


def test_strength_runs_from_the_input_to_the_estimate() -> None:
    planes = _planes()
    none, half, full = (denoise_with(Identity(), planes, GAIN, SIGMA, 1.0, s) for s in (0.0, 0.5, 1.0))
    assert torch.equal(none, planes)
    assert torch.allclose(half, (planes + full) / 2)
    # The exact unbiased inverse of a measurement differs from it by at most 1/4 electron.
    assert float((full - planes).abs().max()) < 0.3e-3


def test_the_exposure_map_is_the_noise_map() -> None:
    network = Identity()
    exposure = torch.full((24, 20), 4.0)
    exposure[:12] = 1.0
    denoise_with(network, _planes(), GAIN, SIGMA, exposure, 1.0)
    assert torch.equal(network.told[0][0, 0], 1 / exposure.sqrt())


@pytest.mark.parametrize("shape", [(24, 20), (7, 5), (2, 2)])
def test_a_network_denoises_frames_of_any_size(shape: tuple[int, int]) -> None:
    network = StabilisedDenoiser((6, 8), (1, 1)).eval()
    noisy = _planes()[:, : shape[0], : shape[1]]
    assert denoise_with(network, noisy, GAIN, SIGMA, 1.0, 1.0).shape == noisy.shape


@pytest.fixture(scope="module")
def shipped() -> torch.nn.Module:
    return mmse.network()


def test_the_shipped_network_is_what_the_recipe_says(shipped: torch.nn.Module) -> None:
    assert shipped.halo + mmse.BLOCK == mmse.HALO
    assert mmse.ALIGN % shipped.align == mmse.ALIGN % mmse.BLOCK == 0
    assert mmse.WEIGHTS.stat().st_size <= 8_000_000
    assert identity(mmse.WEIGHTS) in mmse.WEIGHTS.with_suffix(".md").read_text(encoding="utf-8")


def test_the_shipped_network_is_far_above_the_noise_and_the_same_in_tiles(shipped: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 1, 12, 14, generator=generator)
    light = 30 * torch.nn.functional.interpolate(coarse, size=(320, 352), mode="bicubic")[0].clamp(0.02)
    gain = torch.full((4,), 1 / 3000)
    counts = torch.poisson(light.expand(4, -1, -1), generator=generator)
    planes = gain.view(4, 1, 1) * (counts + 2 * torch.randn(counts.shape, generator=generator))
    whole = mmse.denoise(planes, gain, 2 * gain, 1.0, 1.0)
    truth = light * gain.view(4, 1, 1)
    # Smooth light: less than a fiftieth of the noise's power is left (17 dB below it).
    assert float((whole - truth).square().mean()) < 0.02 * float((planes - truth).square().mean())
    pieced = torch.empty_like(whole)
    for tile in plan_tiles(320, 352, 192, mmse.HALO, mmse.ALIGN):
        part = mmse.denoise(planes[(slice(None), *tile.outer)], gain, 2 * gain, 1.0, 1.0)
        pieced[(slice(None), *tile.inner)] = part[(slice(None), *tile.inner_in_outer)]
    assert float((pieced - whole).abs().max()) < 1 / 65535


@pytest.mark.parametrize("level", [0.3, 1.5])
def test_the_network_denoises_the_states_of_samplers(shipped: torch.nn.Module, level: float) -> None:
    """White noise of a map the camera never made: D(x, sigma) leaves less than a third of its power."""
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand(1, 4, 6, 6, generator=generator)
    clean = 6 + 6 * torch.nn.functional.interpolate(coarse, size=(96, 96), mode="bicubic")[0]
    sigma = torch.full((4, 96, 96), level)
    sigma[:, :, 48:] *= 0.5
    state = clean + sigma * torch.randn(clean.shape, generator=generator)
    estimate = as_denoiser(shipped, torch.tensor(4.0))(state, sigma)
    left = ((estimate - clean) / sigma).square()
    assert float(left[:, :, :48].mean()) < 1 / 3
    assert float(left[:, :, 48:].mean()) < 1 / 3


@pytest.mark.parametrize(
    ("electrons", "read_e"), [(0.5, 1.0), (0.5, 3.0), (2.0, 2.0), (20.0, 2.0), (1000.0, 3.0)]
)
def test_flat_light_keeps_its_mean_and_gets_no_pattern(electrons: float, read_e: float) -> None:
    generator = torch.Generator().manual_seed(3)
    side, gain = 512, torch.full((4,), 1 / 3000)
    counts = torch.poisson(torch.full((4, side, side), electrons), generator=generator)
    planes = gain.view(4, 1, 1) * (counts + read_e * torch.randn(counts.shape, generator=generator))
    found = mmse.denoise(planes, gain, read_e * gain, 1.0, 1.0) / gain.view(4, 1, 1)
    error = ((electrons + read_e**2) / found.numel()) ** 0.5
    assert abs(float(found.mean()) - electrons) < max(0.005 * electrons, 3 * error)
    mosaic = torch.empty(2 * side, 2 * side)
    for plane, (row, column) in zip(found, plane_sites("RGGB"), strict=True):
        mosaic[row::2, column::2] = plane - electrons
    power = torch.fft.fft2(mosaic - mosaic.mean()).abs() ** 2
    # Every period of the CFA, of the stem and of the pooling, 2 to 32 mosaic pixels. The noise of the planes'
    # own means puts about 2e-4 there.
    for period in (2, 4, 8, 16, 32):
        lattice = power[:: 2 * side // period, :: 2 * side // period].clone()
        lattice[0, 0] = 0
        assert float(lattice.max() / power.sum()) < 1e-3, period
