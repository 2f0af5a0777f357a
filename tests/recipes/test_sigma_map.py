"""The sigma-map sampler: its law where the posterior is known, and what its walks keep."""

from __future__ import annotations

import pytest
import torch

from rawdiff.networks.condition import Origin
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.networks.strips import Writer
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.recipes import mmse, sigma_map
from rawdiff.recipes.sigma_map import draw_sample
from rawdiff.recipes.walk import Walk, as_denoiser, estimate_state

GAIN, SIGMA = torch.full((4,), 1e-3), torch.full((4,), 2e-3)


class GaussianPrior(StabilisedDenoiser):
    """The exact posterior mean where every stabilised value is N(mean, spread^2), pixel by pixel."""

    def __init__(self, mean: float, spread: float) -> None:
        super().__init__((4, 4), (1, 1))
        self.mean, self.spread = mean, spread

    def in_strips(
        self,
        state: torch.Tensor,
        sigma: torch.Tensor,
        floor: torch.Tensor,
        write: Writer[torch.Tensor],
        origin: Origin | None = None,
    ) -> None:
        trust = self.spread**2 / (self.spread**2 + sigma**2)
        write(slice(0, state.shape[2]), self.mean + trust * (state - self.mean))


@pytest.mark.parametrize("frames", [1.0, 4.0])
def test_walks_have_the_posterior_of_a_gaussian_prior(frames: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean within 2 %, spread within 5 %: n = 36,864 pixels of one measured value (0.4 %), seed 3.

    The walk stops at a tenth of the noise; what the last, noiseless step leaves out is 1/2 % of the spread.
    """
    monkeypatch.setattr(mmse, "agree_with_light", lambda clean, planes: clean)
    prior, spread, noise = 20.0, 1.5, 1 / frames**0.5
    encoding = VarianceStabilised(GAIN.view(4, 1, 1), SIGMA.view(4, 1, 1))
    state = torch.full((4, 96, 96), 18.0)
    planes = (0.25 * state**2 - (SIGMA / GAIN).view(4, 1, 1) ** 2 - 0.375 / frames) * GAIN.view(4, 1, 1)
    assert torch.allclose(encoding.encode(planes, frames), state, atol=1e-4)
    light = draw_sample(GaussianPrior(prior, spread), planes, GAIN, SIGMA, frames, Walk(steps=60, seed=3))
    drawn = encoding.expect(light, frames)
    trust = spread**2 / (spread**2 + noise**2)
    assert float(drawn.mean()) == pytest.approx(prior + trust * (18.0 - prior), rel=0.02)
    assert float(drawn.std()) == pytest.approx(trust**0.5 * noise, rel=0.05)


def _scene(side: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 1, 8, 8, generator=generator)
    light = 40 * torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")[0].clamp(0.02)
    light = light.expand(4, -1, -1)
    counts = torch.poisson(light, generator=generator) + 2 * torch.randn(light.shape, generator=generator)
    return GAIN.view(4, 1, 1) * counts, GAIN.view(4, 1, 1) * light


def test_the_mean_of_walks_comes_near_the_estimate() -> None:
    noisy, truth = _scene()
    told = noisy, GAIN, SIGMA, 1.0, 1.0

    def error(clean: torch.Tensor) -> float:
        return float((clean - truth).square().mean())

    one, five = (error(sigma_map.denoise(*told, Walk(4, count, seed=2))) for count in (1, 5))
    # A perfect sample has twice the error of the posterior mean, the mean of five 1.2 times.
    assert 1.1 * five < one < 0.2 * error(noisy)
    assert five < 1.3 * error(mmse.denoise(*told))


def test_walks_keep_the_light_and_follow_their_seed() -> None:
    noisy, _ = _scene()
    told = noisy, GAIN, SIGMA, 1.0, 1.0
    first, again, other = (sigma_map.denoise(*told, Walk(2, 1, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    for clean in (first, other):
        # The blocks' means are those measured; between their centres the correction is interpolated.
        assert float(clean.mean()) == pytest.approx(float(noisy.mean()), rel=2e-3)
    assert torch.equal(sigma_map.denoise(noisy, GAIN, SIGMA, 1.0, 0.0), noisy)
    half = sigma_map.denoise(noisy, GAIN, SIGMA, 1.0, 0.5, Walk(2, 1, 1))
    assert torch.allclose(half, (noisy + first) / 2, atol=1e-6)


def test_an_exposure_map_is_a_noise_map_and_is_cut_with_the_tiles() -> None:
    noisy, _ = _scene()
    exposure = torch.ones(64, 64)
    exposure[:, 32:] = 4.0
    network = mmse.network()
    encoding = VarianceStabilised(GAIN.view(1, 4, 1, 1), SIGMA.view(1, 4, 1, 1))
    state, sigma = encoding.encode(noisy[None], exposure), 1 / exposure.sqrt()[None, None]
    floor = encoding.floor(exposure)
    whole = estimate_state(network, state, sigma, floor, None, lambda clean: clean)
    assert torch.allclose(whole, network(state, sigma, floor), atol=2e-5)
    pieced = as_denoiser(network, floor, (32, 48))(state[0], sigma[0, 0])
    assert torch.allclose(pieced, whole[0], atol=2e-5)


def test_progress_is_told_after_every_evaluation() -> None:
    planes = 0.02 + 0.01 * torch.rand(4, 16, 16, generator=torch.Generator().manual_seed(1))
    heard = list[float]()
    sigma_map.denoise(planes, GAIN, SIGMA, 1.0, 1.0, Walk(2, 2, on_fraction=heard.append))
    assert heard == pytest.approx([0.25, 0.5, 0.75, 1.0])
