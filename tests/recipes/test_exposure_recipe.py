"""The exposure process around networks whose answer is known."""

from __future__ import annotations

import functools

import pytest
import torch
from rawdiff_kernels import photon

from rawdiff.networks.condition import Origin
from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.residual import AdaptiveResidual
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.physics.exposure import expected_photons
from rawdiff.recipes import mmse
from rawdiff.recipes.border import inside, mirror_beyond, mirror_map
from rawdiff.recipes.exposure import choose_target, denoise_with, roll_out, schedule
from rawdiff.recipes.walk import Walk

GAIN, SIGMA = torch.full((1, 4, 1, 1), 1e-3), torch.full((1, 4, 1, 1), 2e-3)


class Oracle(torch.nn.Module):
    """Knows the light and keeps what it was told."""

    def __init__(self, light: torch.Tensor) -> None:
        super().__init__()
        self.light = light
        self.heard: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def forward(
        self, state: torch.Tensor, sigma: torch.Tensor, floor: torch.Tensor, origin: Origin | None = None
    ) -> AdaptiveResidual:
        self.heard.append((state, sigma, floor))
        encoding = VarianceStabilised(GAIN, GAIN * torch.sqrt((floor / 2) ** 2 - 0.375 * sigma**2))
        truth = encoding.expect(self.light, 1 / sigma**2)
        return AdaptiveResidual(torch.ones_like(state[:, :1]), truth, truth)


def _photograph(light: torch.Tensor, frames: torch.Tensor | float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.poisson(light / GAIN * frames, generator=generator) / frames
    read = torch.randn(light.shape, generator=generator)
    return GAIN * counts + SIGMA / torch.as_tensor(frames).sqrt() * read


def test_the_published_schedule() -> None:
    assert schedule(3, 100.0) == [1.0, 34.0, 67.0]
    assert schedule(1, 100.0) == [1.0]
    with pytest.raises(ValueError, match="schedule"):
        schedule(0, 100.0)


@pytest.mark.parametrize("frames", [1.0, 6.0])
def test_states_have_the_law_of_a_real_longer_exposure(frames: float) -> None:
    """With a network that knows the light, the noise at every step is what the network is told it is."""
    light = torch.full((1, 4, 300, 300), 0.03)
    oracle = Oracle(light)
    generator = torch.Generator().manual_seed(5)
    exposures = [1.0, 20.0, 60.0]
    answers = roll_out(
        oracle, _photograph(light, frames), GAIN, SIGMA, frames, exposures,
        lambda mean: torch.poisson(mean, generator=generator),
    )  # fmt: skip
    assert [float(at.mean()) for _, _, at in answers] == [frames, frames + 19, frames + 59]
    for (_, encoding, at), (state, sigma, _) in zip(answers, oracle.heard, strict=True):
        errors = (state - encoding.expect(light, at)) / sigma
        n = errors.numel()
        assert abs(float(errors.mean())) < 4.5 / n**0.5 + 0.01  # the closed form's own bias
        assert float(errors.var()) == pytest.approx(1.0, abs=0.03)  # stabilised within 3 % at 30 electrons
        back = encoding.decode(encoding.expect(light, at), at)
        assert torch.allclose(back, light, rtol=1e-4)


def test_exposure_maps_start_pixel_by_pixel() -> None:
    light = torch.full((1, 4, 20, 20), 0.03)
    start = torch.ones(1, 1, 20, 20)
    start[..., 10:] = 8.0
    oracle = Oracle(light)
    generator = torch.Generator().manual_seed(5)
    answers = roll_out(
        oracle, _photograph(light, start), GAIN, SIGMA, start, [1.0, 11.0],
        lambda mean: torch.poisson(mean, generator=generator),
    )  # fmt: skip
    at = answers[1][2]
    assert float(at[..., 0, 0]) == 11.0
    assert float(at[..., 0, 15]) == 18.0


def test_gradients_pass_straight_through_the_photons() -> None:
    """d Z_s / d F = 1 - 1/r: the last estimate answers for the first one."""
    level = torch.full((1, 4, 8, 8), 12.0, requires_grad=True)

    class Echo(torch.nn.Module):
        def forward(
            self, state: torch.Tensor, sigma: torch.Tensor, floor: torch.Tensor, origin: Origin | None = None
        ) -> AdaptiveResidual:
            first = bool(torch.all(sigma == 1))
            answer = level if first else state
            return AdaptiveResidual(torch.ones_like(state[:, :1]), answer, answer)

    photograph = torch.full((1, 4, 8, 8), 0.03)
    answers = roll_out(Echo(), photograph, GAIN, SIGMA, 1.0, [1.0, 25.0], lambda mean: mean)
    lights = [encoding.decode(answer.mixed(), at) for answer, encoding, at in answers]
    through = [torch.autograd.grad(light.sum(), level, retain_graph=True)[0] for light in lights]
    # The last state is decoded by the unbiased inverse, whose slope at 800 electrons is 1 within 1e-3.
    assert torch.allclose(through[1] / through[0], torch.tensor(1 - 1 / 25), rtol=2e-3)


def test_the_target_brings_the_brightest_to_white() -> None:
    light = torch.full((4, 64, 64), 0.004)
    light[:, :4] = 0.02
    assert choose_target(light) == pytest.approx(50.0)
    assert choose_target(0 * light) == 400.0
    assert choose_target(light + 1) == 4.0


@pytest.fixture(scope="module")
def shaken() -> ExposureNetwork:
    torch.manual_seed(0)
    network = ExposureNetwork((6, 8), (1, 1)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return network


def test_strength_seed_and_steps(shaken: ExposureNetwork) -> None:
    planes = _photograph(torch.full((1, 4, 17, 22), 0.02), 1.0)[0]
    told = planes, GAIN.flatten(), SIGMA.flatten(), 1.0
    assert torch.equal(denoise_with(shaken, *told, 0.0), planes)
    drawn = [denoise_with(shaken, *told, 1.0, Walk(samples=1, seed=seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    expected = [denoise_with(shaken, *told, 1.0, Walk(seed=seed)) for seed in (1, 2)]
    assert torch.equal(*expected)  # nothing is drawn
    assert not torch.equal(expected[0], drawn[0])
    alone = [denoise_with(shaken, *told, walk=Walk(steps=1, seed=seed)) for seed in (1, 0)]
    assert torch.equal(*alone)  # one step adds no photons


def test_samples_are_walks_of_their_own_and_their_mean_is_given(shaken: ExposureNetwork) -> None:
    planes = _photograph(torch.full((1, 4, 17, 22), 0.02), 1.0)[0]
    told = planes, GAIN.flatten(), SIGMA.flatten(), 1.0
    heard = list[float]()
    two = denoise_with(shaken, *told, walk=Walk(samples=2, seed=0, on_fraction=heard.append))
    one = denoise_with(shaken, *told, walk=Walk(samples=1, seed=0))
    assert heard == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    other = denoise_with(shaken, *told, walk=Walk(samples=3, seed=0))
    assert not torch.equal(two, one) and not torch.equal(two, other)


@pytest.mark.parametrize("samples", [None, 1])
def test_tiles_and_threads_do_not_show(shaken: ExposureNetwork, samples: int | None) -> None:
    """Three steps, an exposure map: photons are numbered by their place, so every cut draws the same."""
    generator = torch.Generator().manual_seed(2)
    exposure = 1 + 3 * torch.rand(96, 80, generator=generator)
    light = 0.01 + 0.02 * torch.rand(1, 4, 96, 80, generator=generator)
    planes = _photograph(light, exposure)[0]
    told = planes, GAIN.flatten(), SIGMA.flatten(), exposure
    whole = denoise_with(shaken, *told, walk=Walk(samples=samples, seed=5))
    pieced = denoise_with(shaken, *told, walk=Walk(samples=samples, seed=5, tile=(32, 48)))
    assert float((whole - pieced).abs().max()) < 1 / 65535
    with torch.inference_mode():
        drawn = [functools.partial(photon.poisson, seed=5 * 65_537, stream=step) for step in range(2)]
        photons = [expected_photons] * 2 if samples is None else drawn
        rolled = roll_out(
            shaken, mirror_beyond(planes)[None], GAIN, SIGMA, mirror_map(exposure[None, None]),
            schedule(3, choose_target(planes)), lambda mean: photons.pop(0)(mean),
        )  # fmt: skip
    answer, encoding, at = rolled[-1]
    # What was trained is what runs.
    trained = mmse.agree_with_light(inside(encoding.decode(answer.mixed(), at)[0]), planes)
    different = (whole - trained).abs()
    if samples is None:
        assert float(different.max()) < 1e-6
    else:
        # The fused kernel rounds the mean of the photons otherwise, which turns a draw in thousands into
        # another; the expected photons above show that all else is the same.
        assert float(different.mean()) < float(GAIN.mean()) / 1000


def test_ablations_change_what_the_network_knows() -> None:
    torch.manual_seed(0)
    state, one = 5 + torch.rand(1, 4, 16, 16), torch.ones(1)
    blind = ExposureNetwork((6, 8), (1, 1), photon_map=False)
    torch.nn.init.normal_(blind.unet.outlet.weight)
    assert torch.allclose(blind(state, one, one).mixed(), blind(state + 3, one, one).mixed() - 3, atol=1e-4)
    direct = ExposureNetwork((6, 8), (1, 1), adaptive_residual=False)
    torch.nn.init.normal_(direct.unet.outlet.weight)
    answer = direct(state, one, one)
    assert torch.equal(answer.mixed(), answer.direct)
