"""Every process and sampler against a Gaussian prior, where the true posterior is known.

Prior N(m, P) on two correlated pixels; the exact denoiser is the posterior mean under diagonal noise. With n
samples the mean is known to std / sqrt(n) and the spread to std / sqrt(2 n): bounds add five of those to
what the step count costs, which is stated with each sampler.
"""

from __future__ import annotations

import pytest
import torch

from rawdiff.diffusion.process import Flow, Process, SigmaMap, VarianceExploding
from rawdiff.diffusion.sampler import (
    sample,
    sample_ddrm,
    sample_heun,
    sample_mean,
    sample_multistep,
    seeded_noise,
)
from rawdiff.diffusion.schedule import edm_sigmas, geometric_sigmas, uniform_times
from rawdiff.diffusion.step import keep_all, keep_eta, keep_markov

MEAN = torch.tensor([0.5, 0.3], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.25, 0.15], [0.15, 0.16]], dtype=torch.float64)
N = 10_000


def posterior(y: torch.Tensor, variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean `[n, 2]` and covariance `[2, 2]` of x given y = x + noise of `variance` `[2]`."""
    gain = COVARIANCE @ torch.linalg.inv(COVARIANCE + torch.diag(variance))
    return MEAN + (y - MEAN) @ gain.T, COVARIANCE - gain @ COVARIANCE


def oracle(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    variance = (sigma**2).expand(x.shape[-1]) if sigma.ndim < 2 else sigma[0] ** 2
    return posterior(x, variance)[0]


def check_moments(
    samples: torch.Tensor, mean: torch.Tensor, covariance: torch.Tensor, off_mean: float, off_spread: float
) -> None:
    std = covariance.diagonal().sqrt()
    n = samples.shape[0]
    assert ((samples.mean(0) - mean).abs() <= off_mean * mean.abs() + 5 * std / n**0.5).all()
    assert ((samples.std(0) / std - 1).abs() <= off_spread + 5 / (2 * n) ** 0.5).all()
    correlation = torch.corrcoef(samples.T)[0, 1]
    true = covariance[0, 1] / (std[0] * std[1])
    assert abs(float(correlation - true)) < 0.03 + 5 / n**0.5


@pytest.mark.parametrize("rule", [keep_markov, keep_all, keep_eta(0.5)], ids=["markov", "ode", "eta"])
def test_the_prior_is_sampled_from_pure_noise(rule: object) -> None:
    times = geometric_sigmas(200, 1e-3, 40.0)
    draw = seeded_noise(1)
    start = 40.0 * draw(torch.zeros(N, 2, dtype=torch.float64))
    samples = sample(start, times, VarianceExploding(), oracle, draw, k_rule=rule)  # type: ignore[arg-type]
    check_moments(samples, MEAN, COVARIANCE, 0.02, 0.05)


@pytest.mark.parametrize("sampler", [sample_heun, sample_multistep], ids=["heun", "2m"])
def test_second_order_samplers_need_few_steps(sampler: object) -> None:
    start = 40.0 * seeded_noise(2)(torch.zeros(N, 2, dtype=torch.float64))
    samples = sampler(start, edm_sigmas(24, 2e-3, 40.0), oracle)  # type: ignore[operator]
    check_moments(samples, MEAN, COVARIANCE, 0.02, 0.03)


@pytest.mark.parametrize(
    "noise", [torch.tensor([0.5, 0.2]), torch.tensor([0.3, torch.inf])], ids=["two noises", "one unseen"]
)
def test_the_sigma_map_started_at_the_photograph_samples_the_posterior(noise: torch.Tensor) -> None:
    noise = noise.double()
    y = torch.tensor([0.9, 0.1], dtype=torch.float64)
    top, draw = 40.0, seeded_noise(3)
    seen = torch.isfinite(noise)
    start = torch.where(seen, y, 0.0).expand(N, 2).clone()
    start = torch.where(seen, start, top * draw(start))
    process: Process = SigmaMap(noise)
    samples = sample(start, geometric_sigmas(300, 1e-3, top), process, oracle, draw)
    variance = torch.where(seen, noise**2, torch.full_like(noise, 1e12))
    mean, covariance = posterior(torch.where(seen, y, MEAN), variance)
    check_moments(samples, mean, covariance, 0.02, 0.05)


def test_a_flow_carries_its_start_to_the_prior() -> None:
    """From u + s e with u far away, A = 1 - t reaches 0 at t = 1: the oracle sees (x - t u) / (1 - t)."""
    draw, spread = seeded_noise(4), 1.0
    u = torch.zeros(N, 2, dtype=torch.float64)
    times = uniform_times(400)
    times[0] = 1 - 1e-3
    start = u + spread * draw(u)
    samples = sample(start, times, Flow(spread), oracle, draw, k_rule=keep_all, anchor=u)
    check_moments(samples, MEAN, COVARIANCE, 0.02, 0.05)


def test_ddrm_is_close_at_low_noise() -> None:
    """With noise far below the signal and 20 steps its mean is right; its spread is known to be too small."""
    y = torch.tensor([0.6, 0.4], dtype=torch.float64).expand(N, 2)
    noise = torch.full((2,), 0.05, dtype=torch.float64)
    samples = sample_ddrm(y, noise, geometric_sigmas(20, 5e-3, 20.0), oracle, seeded_noise(5))
    mean, covariance = posterior(y[:1], noise**2)
    assert ((samples.mean(0) - mean[0]).abs() < 0.02).all()
    assert (samples.std(0) < 1.05 * covariance.diagonal().sqrt()).all()


def test_the_seed_decides() -> None:
    times = geometric_sigmas(5, 0.1, 2.0)
    start = torch.ones(3, 2, dtype=torch.float64)
    one, two, other = (
        sample(start, times, VarianceExploding(), oracle, seeded_noise(seed)) for seed in (7, 7, 8)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_mean_of_samples_is_what_numpy_would_say() -> None:
    values = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, std = sample_mean(lambda i: values[i], 9)
    assert torch.allclose(mean, values.mean(0)) and torch.allclose(std, values.std(0))
    with pytest.raises(ValueError, match="at least 2"):
        sample_mean(lambda i: values[i], 1)
