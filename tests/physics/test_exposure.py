from __future__ import annotations

import pytest
import torch

from rawdiff.diffusion.schedule import exposure_ratios
from rawdiff.physics.exposure import extend_exposure, photon_map, seeded_photons

D = torch.float64


@pytest.mark.parametrize("start", [1.0, 4.0])
def test_an_extended_exposure_has_the_law_of_a_longer_one(start: float) -> None:
    """Mean Z_0 r_0/r + (1 - r_0/r) F; variance F (r - r_0) g R / r^2. n = 1e6: five standard errors."""
    n, ratio, target, gain = 1_000_000, 100.0, 34.0, 2.6e-4
    photograph = torch.full((n,), 0.35, dtype=D)
    estimate = torch.full((n,), 0.3, dtype=D)
    state = extend_exposure(
        photograph, estimate, start, target, ratio, torch.tensor(gain, dtype=D), seeded_photons(0)
    )
    mean = 0.35 * start / target + (1 - start / target) * 0.3
    variance = 0.3 * (target - start) * gain * ratio / target**2
    assert abs(float(state.mean()) - mean) < 5 * (variance / n) ** 0.5
    # Var of a Poisson's sample variance: (2 + 1/mean count) sigma^4 / n, the mean count being above 300.
    assert abs(float(state.var()) / variance - 1) < 5 * (2.01 / n) ** 0.5


def test_the_chain_agrees_with_a_direct_longer_exposure() -> None:
    """With the clean image as estimate, Z_r has mean and variance of a shot at exposure r, read noise / r."""
    n, ratio, gain, read, clean = 500_000, 100.0, 2.6e-4, 1.0e-3, 0.4
    generator = torch.Generator().manual_seed(1)
    photons = torch.poisson(torch.full((n,), clean / ratio / gain, dtype=D), generator=generator)
    x = gain * photons + read * torch.randn(n, generator=generator, dtype=D)
    target = 67.0
    state = extend_exposure(
        ratio * x, torch.full((n,), clean, dtype=D), 1.0, target, ratio, torch.tensor(gain, dtype=D),
        seeded_photons(2),
    )  # fmt: skip
    variance = clean * gain * ratio / target + (read * ratio / target) ** 2
    assert abs(float(state.mean()) - clean) < 5 * (variance / n) ** 0.5
    assert abs(float(state.var()) / variance - 1) < 5 * (2.1 / n) ** 0.5


def test_the_gradient_is_that_of_the_mean() -> None:
    estimate = torch.tensor([0.2, 0.9, -0.1, 1.2], dtype=D, requires_grad=True)
    state = extend_exposure(
        torch.full((4,), 0.3, dtype=D),
        estimate,
        1.0,
        5.0,
        50.0,
        torch.tensor(1e-3, dtype=D),
        seeded_photons(0),
    )
    state.sum().backward()
    assert estimate.grad is not None
    assert estimate.grad.tolist() == pytest.approx([0.8, 0.8, 0.0, 0.0])


def test_where_a_burst_has_reached_the_target_nothing_is_added() -> None:
    photograph = torch.tensor([0.1, -0.2], dtype=D)
    start = torch.tensor([8.0, 2.0], dtype=D)
    state = extend_exposure(
        photograph,
        torch.ones(2, dtype=D),
        start,
        start,
        100.0,
        torch.tensor(1e-3, dtype=D),
        seeded_photons(0),
    )
    assert torch.equal(state, photograph)


def test_three_steps_at_ratio_100_look_at_1_34_67() -> None:
    assert exposure_ratios(100, 3).tolist() == pytest.approx([1, 34, 67, 100])


def test_the_photon_map_counts_electrons() -> None:
    """White at the reference exposure, K = 2 DN/e- over 10000 DN: 5000 e- there, 50 e- at a hundredth."""
    gain = torch.tensor(2 / 10_000)
    assert float(photon_map(torch.ones(()), 1.0, 100.0, gain)) == pytest.approx(50.0)
