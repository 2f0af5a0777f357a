"""The laws of the Anscombe transform: stabilised noise, an unbiased inverse; and what it refuses.

Moments are exact sums over the Poisson counts and a fine grid of the normal deviate, computed here apart from
the op's own table.
"""

from __future__ import annotations

import math

import pytest
import torch
from rawdiff_kernels import anscombe
from rawdiff_kernels.anscombe import reference
from rawdiff_kernels.anscombe.op import Constant
from rawdiff_kernels.anscombe.table import RISE, TURN
from rawdiff_kernels.checks import DeviceError, DTypeError, KernelError, RouteError, ShapeError
from torch import Tensor

LIGHT_E = torch.tensor([0.5, 0.7, 1.0, 1.6, 2.5, 4.0, 5.0, 7.0, 12.0, 40.0, 120.0], dtype=torch.float64)
READ_NOISE_E = (0.0, 0.07, 0.2, 0.45, 0.7, 1.0, 1.5, 2.0, 3.3, 6.0, 15.0)


def _moments(
    light_e: Tensor, read_noise_e: float, gain: float = 1.0, constant: Constant = "level"
) -> tuple[Tensor, Tensor]:
    """Mean and variance of forward(gain (p + n)) for each light."""
    counts = torch.arange(240, dtype=torch.float64)
    chances = torch.exp(torch.xlogy(counts, light_e[:, None]) - light_e[:, None] - torch.lgamma(counts + 1))
    deviate = torch.linspace(-8.0, 8.0, 801, dtype=torch.float64)
    density = torch.exp(-0.5 * deviate.square())
    density /= density.sum()
    values = gain * (counts[:, None] + read_noise_e * deviate)
    transformed = anscombe.forward(values, gain, gain * read_noise_e, constant=constant)
    mean = chances @ (transformed @ density)
    return mean, chances @ (transformed.square() @ density) - mean.square()


@pytest.mark.parametrize("read_noise_e", READ_NOISE_E)
def test_noise_has_unit_variance_from_four_electrons_up(read_noise_e: float) -> None:
    _, variance = _moments(LIGHT_E, read_noise_e, gain=3.7)
    assert (variance[LIGHT_E >= 4] - 1).abs().max() < 0.03


@pytest.mark.parametrize("read_noise_e", READ_NOISE_E)
def test_the_published_constant_has_it_from_seven(read_noise_e: float) -> None:
    """Standard deviation 1 within 3 % from 4 e-; variance from 7 e- (with 3/8 that is the transform's own
    limit: at a read noise of 1.5 e- its variance at 4 e- is 1.059)."""
    _, variance = _moments(LIGHT_E, read_noise_e, gain=3.7, constant="published")
    assert (variance[LIGHT_E >= 4].sqrt() - 1).abs().max() < 0.03
    assert (variance[LIGHT_E >= 7] - 1).abs().max() < 0.03


def test_sampled_noise_has_unit_variance() -> None:
    """n = 1e6 samples each: their variance is known to about sqrt(2/n); 4 of these beside the 1.2 %."""
    generator = torch.Generator().manual_seed(21)
    samples, gain = 1_000_000, 2.3
    for light_e, read_noise_e in ((4.0, 1.5), (4.0, 4.0), (9.0, 0.8), (200.0, 3.0)):
        counts = torch.poisson(torch.full((samples,), light_e), generator=generator)
        noise = read_noise_e * torch.randn(samples, generator=generator)
        stable = anscombe.forward(gain * (counts + noise), gain, gain * read_noise_e)
        assert abs(float(stable.double().var()) - 1) < 0.012 + 4 * math.sqrt(2 / samples)


@pytest.mark.parametrize("constant", ["level", "published"])
@pytest.mark.parametrize("read_noise_e", READ_NOISE_E)
@pytest.mark.parametrize("gain", [0.002, 1.0, 5.3])
def test_the_inverse_is_unbiased_from_half_an_electron_up(
    read_noise_e: float, gain: float, constant: Constant
) -> None:
    mean, _ = _moments(LIGHT_E, read_noise_e, gain, constant)
    for kind in (torch.float64, torch.float32):
        found = anscombe.inverse(mean.to(kind), gain, gain * read_noise_e, constant=constant)
        assert ((found.double() / gain - LIGHT_E) / LIGHT_E).abs().max() < 0.005


@pytest.mark.parametrize("read_noise_e", READ_NOISE_E)
def test_no_light_comes_back_as_no_light(read_noise_e: float) -> None:
    mean, _ = _moments(torch.zeros(1, dtype=torch.float64), read_noise_e)
    assert abs(float(anscombe.inverse(mean, 1.0, read_noise_e))) < 0.002
    assert float(anscombe.inverse(mean - 0.05, 1.0, read_noise_e)) < -0.01


@pytest.mark.parametrize("read_noise_e", [0.0, 0.3, 1.0, 4.0])
def test_the_inverse_rises_everywhere_and_is_straight_in_the_dark(read_noise_e: float) -> None:
    z = torch.linspace(0.0, 30.0, 3001, dtype=torch.float64)
    light_e = anscombe.inverse(z, 1.0, read_noise_e)
    assert (light_e[1:] > light_e[:-1]).all()
    dark = z < 0.8 * float(z[int((light_e < 0).sum())])
    slope = (light_e[dark][1:] - light_e[dark][:-1]) / (z[dark][1:].square() - z[dark][:-1].square())
    # Straight but for the bilinear table, whose cells are 1/16 wide.
    assert float(slope.max() / slope.min()) < 1.05


def test_sampled_noise_round_trip() -> None:
    """n = 1e6 samples each: the mean of f is known to 1/sqrt(n), the light to D/2 times that; 4 of these."""
    generator = torch.Generator().manual_seed(20)
    samples, gain, read_noise_e = 1_000_000, 2.3, 0.6
    for light_e in (0.5, 2.0, 10.0):
        counts = torch.poisson(torch.full((samples,), light_e), generator=generator)
        noise = read_noise_e * torch.randn(samples, generator=generator)
        stable = anscombe.forward(gain * (counts + noise), gain, gain * read_noise_e)
        mean = stable.double().mean()
        found = float(anscombe.inverse(mean, gain, gain * read_noise_e)) / gain
        assert abs(found - light_e) < 0.005 * light_e + 4 * float(mean) / 2 / math.sqrt(samples)


def test_maps_and_planes_are_the_numbers_pixel_by_pixel() -> None:
    z = torch.linspace(0.0, 12.0, 2 * 3 * 4).reshape(2, 3, 4)
    gain = torch.tensor([0.5, 2.0]).reshape(2, 1, 1)
    sigma = torch.linspace(0.0, 3.0, 12).reshape(3, 4)
    for function in (anscombe.forward, anscombe.inverse):
        by_map = function(z, gain, sigma)
        single = [
            function(z[n, y, x], float(gain[n]), float(sigma[y, x]))
            for n in range(2) for y in range(3) for x in range(4)
        ]  # fmt: skip
        torch.testing.assert_close(by_map.flatten(), torch.stack(single), rtol=1e-5, atol=1e-5)


def test_gradients_of_the_reference() -> None:
    x = torch.tensor([-0.1, 0.4, 3.0, 50.0], dtype=torch.float64, requires_grad=True)
    gain = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    sigma = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(anscombe.forward, (x, gain, sigma))
    z = torch.tensor([0.9, 1.7, 4.0, 13.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(anscombe.inverse, (z, gain, sigma))


def test_a_gradient_for_the_gain_takes_the_reference_and_says_so_when_forced() -> None:
    gain = torch.tensor(1.7, requires_grad=True)
    anscombe.forward(torch.ones(3, 3), gain, 0.5).sum().backward()
    assert gain.grad is not None
    with pytest.raises(RouteError, match="gradients with respect to gain and sigma"):
        anscombe.forward(torch.ones(3, 3), gain, 0.5, route="cpu")


def test_the_table_meets_the_asymptote() -> None:
    """H(v) -> c / (8 A^2) - (a - 3/8) / (4 A) for bright light, H -> 0 for large read noise."""
    z = torch.tensor([40.0, 80.0], dtype=torch.float64)
    square = z.square() / 4
    for constant, rise in (("level", RISE), ("published", 0.0)):
        for read_noise_e in (0.0, 1.0, 5.0):
            raised = 0.375 + rise * read_noise_e**2 / (TURN + read_noise_e**2)
            light_e = anscombe.inverse(z, 1.0, read_noise_e, constant=constant)
            small = light_e - (square + 0.25 - raised - read_noise_e**2)
            bright = (raised + read_noise_e**2) / (8 * square.square()) - (raised - 0.375) / (4 * square)
            assert (small - bright).abs().max() < 2e-4
        one, much = torch.ones(1, dtype=torch.float64), torch.full((1,), 1e4, dtype=torch.float64)
        assert reference.rows(one, much, rise).abs().max() < 1e-6


def test_what_is_refused() -> None:
    x = torch.ones(4, 6, 8)
    with pytest.raises(DTypeError, match="x has dtype int64"):
        anscombe.forward(x.long(), 1.0, 0.0)
    with pytest.raises(ShapeError, match="z has shape"):
        anscombe.inverse(x[:0], 1.0, 0.0)
    with pytest.raises(ShapeError, match=r"sigma has shape \[5, 1, 1\]"):
        anscombe.forward(x, 1.0, torch.ones(5, 1, 1))
    with pytest.raises(ShapeError, match="gain has shape"):
        anscombe.forward(x, torch.ones(2, 4, 6, 8), 0.0)
    with pytest.raises(KernelError, match="gain must be above 0, got 0"):
        anscombe.forward(x, 0.0, 1.0)
    with pytest.raises(KernelError, match="sigma must be at least 0, got -1"):
        anscombe.inverse(x, 1.0, torch.tensor(-1.0))
    with pytest.raises(KernelError, match="got nan"):
        anscombe.inverse(x, float("nan"), 0.0)
    with pytest.raises(KernelError, match="constant must be level or published, got best"):
        anscombe.forward(x, 1.0, 0.0, constant="best")
    with pytest.raises(DeviceError, match="gain is on meta, expected cpu"):
        anscombe.forward(x, torch.ones((), device="meta"), 0.0)
    with pytest.raises(RouteError, match="the gpu route of anscombe cannot run: the tensor is on cpu"):
        anscombe.forward(x, 1.0, 0.0, route="gpu")
