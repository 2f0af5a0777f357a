"""Encodings own their inverse and the noise they imply."""

from __future__ import annotations

import math

import pytest
import torch

from rawdiff.physics.encoding import Linear, Root, VarianceStabilised

GAIN = 0.01


def _stabilised(read_e: float) -> VarianceStabilised:
    return VarianceStabilised(torch.tensor(GAIN), torch.tensor(GAIN * read_e))


def _capture(electrons: torch.Tensor, read_e: float, frames: float, draws: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(11)
    mean = electrons[:, None].expand(-1, draws)
    shot = torch.poisson(mean * frames, generator=generator) / frames
    read = torch.randn(mean.shape, generator=generator) * read_e / math.sqrt(frames)
    return GAIN * (shot + read)


@pytest.mark.parametrize("read_e", [0.0, 0.5, 3.0, 20.0])
@pytest.mark.parametrize("frames", [1.0, 7.5])
def test_expectation_and_unbiased_inverse_undo_each_other(read_e: float, frames: float) -> None:
    light = GAIN * torch.tensor([0.0, 0.1, 0.5, 1.0, 5.0, 100.0, 1e5])
    encoding = _stabilised(read_e)
    back = encoding.decode(encoding.expect(light, frames), frames)
    # Single precision: 1e5 electrons, and s^2 = 400 subtracted near zero.
    assert torch.allclose(back, light, rtol=2e-6, atol=GAIN * 2e-4)


@pytest.mark.parametrize(("read_e", "frames"), [(0.0, 1.0), (2.0, 1.0), (6.0, 1.0), (2.0, 8.0)])
def test_the_mean_of_the_transform_decodes_to_the_light(read_e: float, frames: float) -> None:
    electrons = torch.tensor([3.0, 10.0, 40.0])
    draws = 200_000
    encoding = _stabilised(read_e)
    coded = encoding.encode(_capture(electrons, read_e, frames, draws), frames)
    found = encoding.decode(coded.mean(dim=1), frames) / GAIN
    # Standard error of the light, and 0.6 % for the closed form itself (Makitalo and Foi, 2013, figure 3).
    error = torch.sqrt((electrons + read_e**2) / frames / draws)
    assert torch.all((found - electrons).abs() < 4 * error + 0.006 * electrons)


@pytest.mark.parametrize(("read_e", "frames"), [(1.0, 1.0), (3.0, 1.0), (2.0, 9.0)])
def test_noise_is_one_over_root_n_in_the_stabilised_domain(read_e: float, frames: float) -> None:
    signal = _capture(torch.tensor([1.0, 4.0, 30.0, 300.0]), read_e, frames, 100_000)
    encoding = _stabilised(read_e)
    spread = encoding.encode(signal, frames).std(dim=1)
    expected = encoding.noise_std(signal[:, 0], frames)
    # Stabilised within 5 % from a read noise of one electron on (specification table: 0.988 to 1.044).
    assert torch.allclose(spread, expected, rtol=0.05)


def test_decoding_is_monotone_and_reaches_below_black() -> None:
    for read_e in (0.0, 1.0, 5.0):
        encoding = _stabilised(read_e)
        light = encoding.decode(torch.linspace(0, 30, 4001))
        assert bool((light.diff() > 0).all())
        assert float(light[0]) < 0


def test_the_picture_stays_in_place_where_the_exposure_changes() -> None:
    encoding = _stabilised(2.0)
    light = GAIN * torch.tensor([5.0, 50.0, 500.0])
    step = encoding.expect(light, 16.0) - encoding.expect(light, 1.0)
    assert float(step.abs().max()) < 0.1  # of a standard deviation of one frame


def test_linear_and_root_state_the_noise_they_imply() -> None:
    electrons = torch.tensor([20.0, 200.0, 2000.0])
    signal = _capture(electrons, 3.0, 1.0, 100_000)
    for encoding in (
        Linear(torch.tensor(GAIN), torch.tensor(GAIN * 3)),
        Root(torch.tensor(GAIN), torch.tensor(GAIN * 3), power=2.2),
    ):
        spread = encoding.encode(signal).std(dim=1)
        assert torch.allclose(spread, encoding.noise_std(GAIN * electrons), rtol=0.05)
        assert torch.allclose(encoding.decode(encoding.encode(signal)), signal, rtol=1e-4, atol=1e-6)
