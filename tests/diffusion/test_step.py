"""The one step against the closed forms of the systems that it replaces."""

from __future__ import annotations

import pytest
import torch

from rawdiff.diffusion.process import (
    Bridge,
    Flow,
    ResidualShift,
    SigmaMap,
    VarianceExploding,
    VariancePreserving,
)
from rawdiff.diffusion.schedule import cosine_alpha_bar, linear_beta_alpha_bar
from rawdiff.diffusion.step import keep_all, keep_eta, keep_markov, keep_zeta, reverse_step

TOLERANCE = 1e-12


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(7, generator=generator, dtype=torch.float64) for name in ("x", "x0", "u", "z")}


@pytest.mark.parametrize("alpha_bar", [linear_beta_alpha_bar(), cosine_alpha_bar()], ids=["linear", "cosine"])
@pytest.mark.parametrize(("t", "s"), [(999, 998), (500, 400), (30, 0), (3, -1)])
def test_markov_is_ddpm(alpha_bar: torch.Tensor, t: int, s: int, tensors: dict[str, torch.Tensor]) -> None:
    process = VariancePreserving(alpha_bar)
    now, then = process.at(torch.tensor(t)), process.at(torch.tensor(s))
    ours = reverse_step(tensors["x"], tensors["x0"], 0.0, now, then, keep_markov(now, then), tensors["z"])
    a_t = alpha_bar[t]
    a_s = alpha_bar[s] if s >= 0 else torch.ones((), dtype=torch.float64)
    alpha = a_t / a_s
    mean = a_s.sqrt() * (1 - alpha) / (1 - a_t) * tensors["x0"]
    mean = mean + alpha.sqrt() * (1 - a_s) / (1 - a_t) * tensors["x"]
    variance = (1 - a_s) / (1 - a_t) * (1 - alpha)
    assert torch.allclose(ours, mean + variance.sqrt() * tensors["z"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_eta_is_ddim(eta: float, tensors: dict[str, torch.Tensor]) -> None:
    alpha_bar = linear_beta_alpha_bar()
    process = VariancePreserving(alpha_bar)
    now, then = process.at(torch.tensor(700)), process.at(torch.tensor(500))
    ours = reverse_step(tensors["x"], tensors["x0"], 0.0, now, then, keep_eta(eta)(now, then), tensors["z"])
    a_t, a_s = alpha_bar[700], alpha_bar[500]
    eps = (tensors["x"] - a_t.sqrt() * tensors["x0"]) / (1 - a_t).sqrt()
    sigma = eta * ((1 - a_s) / (1 - a_t)).sqrt() * (1 - a_t / a_s).sqrt()
    ddim = a_s.sqrt() * tensors["x0"] + (1 - a_s - sigma**2).sqrt() * eps + sigma * tensors["z"]
    assert torch.allclose(ours, ddim, rtol=0, atol=TOLERANCE)


def test_zeta_is_diffpir(tensors: dict[str, torch.Tensor]) -> None:
    process = VariancePreserving(linear_beta_alpha_bar())
    now, then = process.at(torch.tensor(300)), process.at(torch.tensor(250))
    ours = reverse_step(tensors["x"], tensors["x0"], 0.0, now, then, keep_zeta(0.4)(now, then), tensors["z"])
    eps = (tensors["x"] - now.a * tensors["x0"]) / now.c
    paper = then.a * tensors["x0"] + then.c * (0.6**0.5 * eps + 0.4**0.5 * tensors["z"])
    assert torch.allclose(ours, paper, rtol=0, atol=TOLERANCE)


def test_markov_is_resshift(tensors: dict[str, torch.Tensor]) -> None:
    process = ResidualShift(kappa=2.0)
    eta_t, eta_s = torch.tensor(0.6, dtype=torch.float64), torch.tensor(0.2, dtype=torch.float64)
    now, then = process.at(eta_t), process.at(eta_s)
    ours = reverse_step(
        tensors["x"], tensors["x0"], tensors["u"], now, then, keep_markov(now, then), tensors["z"]
    )
    alpha = eta_t - eta_s
    mean = eta_s / eta_t * tensors["x"] + alpha / eta_t * tensors["x0"]
    paper = mean + 2.0 * (eta_s / eta_t * alpha).sqrt() * tensors["z"]
    assert torch.allclose(ours, paper, rtol=0, atol=TOLERANCE)


def test_markov_is_i2sb(tensors: dict[str, torch.Tensor]) -> None:
    process = Bridge(spread=1.0)
    t, s = torch.tensor(0.7, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    now, then = process.at(t), process.at(s)
    ours = reverse_step(
        tensors["x"], tensors["x0"], tensors["u"], now, then, keep_markov(now, then), tensors["z"]
    )
    # Gaussian product of the two Brownian pieces: variance s (t - s) / t, mean between x0 and x.
    mean = (t - s) / t * tensors["x0"] + s / t * tensors["x"]
    paper = mean + (s * (t - s) / t).sqrt() * tensors["z"]
    assert torch.allclose(ours, paper, rtol=0, atol=TOLERANCE)


def test_keeping_all_of_a_flow_is_its_euler_step(tensors: dict[str, torch.Tensor]) -> None:
    process = Flow(spread=0.1)
    t, s = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    now, then = process.at(t), process.at(s)
    ours = reverse_step(
        tensors["x"], tensors["x0"], tensors["u"], now, then, keep_all(now, then), tensors["z"]
    )
    velocity = (tensors["x"] - tensors["x0"]) / t
    assert torch.allclose(ours, tensors["x"] + (s - t) * velocity, rtol=0, atol=TOLERANCE)


def test_a_sigma_map_waits_where_the_level_is_above_its_noise(tensors: dict[str, torch.Tensor]) -> None:
    noise = torch.tensor([0.1, 0.5, 1.0, 2.0, torch.inf, 0.0, 3.0], dtype=torch.float64)
    process = SigmaMap(noise)
    now, then = (process.at(torch.tensor(level, dtype=torch.float64)) for level in (2.0, 1.0))
    ours = reverse_step(tensors["x"], tensors["x0"], 0.0, now, then, keep_markov(now, then), tensors["z"])
    waiting = noise <= 1.0
    # A pixel without noise is known: it goes to its estimate, which a denoiser told so returns unchanged.
    waiting &= noise > 0
    assert torch.equal(ours[waiting], tensors["x"][waiting])
    assert not torch.isclose(ours[~waiting], tensors["x"][~waiting]).any()


def test_variance_exploding_is_its_noise_level() -> None:
    coefficients = VarianceExploding().at(torch.tensor(1.5))
    assert (float(coefficients.a), float(coefficients.b), float(coefficients.c)) == (1.0, 0.0, 1.5)
