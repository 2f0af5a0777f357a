"""The one-step recipe around any network."""

from __future__ import annotations

import pytest
import skimage.data
import torch

from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.networks.strips import Writer
from rawdiff.networks.weights import identity
from rawdiff.raw.frame import plane_sites
from rawdiff.recipes import mmse
from rawdiff.recipes.border import inside
from rawdiff.recipes.mmse import denoise_with
from rawdiff.recipes.walk import as_denoiser
from rawdiff.simulate.scene import srgb_to_linear
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
    assert torch.equal(inside(network.told[0])[0, 0], 1 / exposure.sqrt())


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
    ("electrons", "read_e"),
    [(0.5, 1.0), (0.5, 3.0), (2.0, 2.0), (20.0, 2.0), (100.0, 2.0), (1000.0, 3.0)],
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
    # The means of the planes are those measured, noise and all: that is no pattern of the network.
    measured = planes.mean(dim=(1, 2), keepdim=True) / gain.view(4, 1, 1)
    for plane, (row, column) in zip(found - measured, plane_sites("RGGB"), strict=True):
        mosaic[row::2, column::2] = plane
    power = torch.fft.fft2(mosaic - mosaic.mean()).abs() ** 2
    # Every period of the CFA, of the stem and of the pooling, 2 to 32 mosaic pixels.
    for period in (2, 4, 8, 16, 32):
        lattice = power[:: 2 * side // period, :: 2 * side // period].clone()
        lattice[0, 0] = 0
        assert float(lattice.max() / power.sum()) < 1e-3, period


def packed_light(name: str) -> torch.Tensor:
    """A picture of scikit-image as packed raw in linear light 0..1; none of them trained the network."""
    picture = torch.from_numpy(getattr(skimage.data, name)()[:320, :384] / 255.0).float()
    light = srgb_to_linear(picture)
    sites = [light[0::2, 0::2, 0], light[0::2, 1::2, 1], light[1::2, 0::2, 1], light[1::2, 1::2, 2]]
    return torch.stack(sites)


@pytest.mark.parametrize("white_e", [40.0, 300.0, 3000.0])
def test_textured_photographs_have_little_photometric_bias(white_e: float) -> None:
    """Where the estimate says x electrons there are x on the mean, within a fifth of a pixel's noise.

    Flat light keeps its mean to 0.5 % (above). In texture the darkest pixels beside far brighter ones are
    estimated a few tenths of an electron too bright, measured here: +0.1 at 1 e- where white is 40 e-, +0.7
    at 11 e- where it is 3000. Bins are chosen by the estimate. Chosen by the truth they would show
    regression to the mean besides, which any estimator has that uses its neighbours. Errors are alike in a
    neighbourhood, so the standard error of a bin is that of sums over blocks of 32.
    """
    edges = torch.tensor([0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000])
    sums: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for number, name in enumerate(("coffee", "rocket", "astronaut", "chelsea")):
        light = white_e * packed_light(name)
        generator = torch.Generator().manual_seed(40 + number)
        counts = torch.poisson(light, generator=generator) + 2 * torch.randn(light.shape, generator=generator)
        gain = torch.full((4,), 1 / white_e)
        found = mmse.denoise(counts / white_e, gain, 2 * gain, 1.0, 1.0) * white_e
        rows, columns = (torch.arange(side) // 32 for side in light.shape[1:])
        block = (rows[:, None] * 64 + columns).expand_as(light)
        for bin_ in range(len(edges) - 1):
            inside = (found >= edges[bin_]) & (found < edges[bin_ + 1])
            errors = torch.zeros(4096).index_add_(0, block[inside], (found - light)[inside])
            sums.append((torch.tensor([bin_, int(inside.sum())]), errors, light[inside].sum()))
    for bin_ in range(len(edges) - 1):
        chosen = [(head, errors, total) for head, errors, total in sums if int(head[0]) == bin_]
        pixels = sum(int(head[1]) for head, _, _ in chosen)
        if pixels < 1000:
            continue
        error = sum(float(errors.double().sum()) for _, errors, _ in chosen) / pixels
        spread = sum(float(errors.double().square().sum()) for _, errors, _ in chosen) ** 0.5 / pixels
        mean = sum(float(total) for _, _, total in chosen) / pixels
        noise = (mean + 4) ** 0.5
        allowed = max(0.005 * mean, 3 * spread, 0.2 * noise)
        assert abs(error) < allowed, f"{mean:.1f} e-: {error:+.3f} +- {spread:.3f}"
