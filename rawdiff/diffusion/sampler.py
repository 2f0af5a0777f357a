"""The samplers, each as its algorithm box reads. Noise sources are arguments, so that a seed decides."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from rawdiff.diffusion.consistency import Hook
from rawdiff.diffusion.denoiser import Denoiser
from rawdiff.diffusion.process import Process
from rawdiff.diffusion.step import KRule, keep_markov, reverse_step

NoiseSource = Callable[[Tensor], Tensor]


def seeded_noise(seed: int) -> NoiseSource:
    """A source of standard normal noise like its argument, drawn on the CPU so that devices agree."""
    generator = torch.Generator().manual_seed(seed)

    def draw(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)

    return draw


def sample(
    x: Tensor,
    times: Tensor,
    process: Process,
    denoise: Denoiser,
    noise: NoiseSource,
    *,
    k_rule: KRule = keep_markov,
    anchor: Tensor | float = 0.0,
    correct: Hook | None = None,
) -> Tensor:
    """Walk from `times[0]` to `times[-1]` by the one reverse step.

    for t, s in times: x0 = correct(D(x)); x = A_s x0 + B_s u + k (x - A_t x0 - B_t u) + fresh noise

    Args:
        x: state at `times[0]`; the photograph itself for a sigma map, u + noise for a bridge.
        times: falling, the last one free of noise.
        process: gives A, B, C at a time.
        denoise: D(x, sigma), asked at (x - B u) / A with sigma C / A.
        noise: source of z.
        k_rule: how much of the old noise is kept.
        anchor: u.
        correct: brings every estimate back to the measurement.
    """
    for t, s in itertools.pairwise(times):
        now, then = process.at(t), process.at(s)
        level = now.c / now.a
        x0 = denoise((x - now.b * anchor) / now.a, level)
        if correct is not None:
            x0 = correct(x0, level)
        x = reverse_step(x, x0, anchor, now, then, k_rule(now, then), noise(x))
    return x


def sample_heun(x: Tensor, sigmas: Tensor, denoise: Denoiser) -> Tensor:
    """Heun's second-order walk down the probability-flow ODE (Karras et al. 2022, algorithm 1)."""
    for t, s in itertools.pairwise(sigmas):
        slope = (x - denoise(x, t)) / t
        euler = x + (s - t) * slope
        if s > 0:
            slope = (slope + (euler - denoise(euler, s)) / s) / 2
        x = x + (s - t) * slope
    return x


def sample_multistep(x: Tensor, sigmas: Tensor, denoise: Denoiser) -> Tensor:
    """DPM-Solver++(2M) in the variance-exploding frame (Lu et al. 2022, algorithm 2)."""
    before: Tensor | None = None
    h_before = torch.zeros(())
    for t, s in itertools.pairwise(sigmas):
        x0 = denoise(x, t)
        if s == 0:
            return x0
        h = (t / s).log()
        blend = x0 if before is None else x0 + (x0 - before) * h / (2 * h_before)
        x = s / t * x - torch.expm1(-h) * blend
        before, h_before = x0, h
    return x


def sample_ddrm(
    y: Tensor,
    noise_std: Tensor,
    sigmas: Tensor,
    denoise: Denoiser,
    noise: NoiseSource,
    *,
    eta: float = 0.85,
    eta_b: float = 1.0,
) -> Tensor:
    """DDRM on a mosaic with a noise per pixel; infinite `noise_std` marks pixels never measured.

    Kawar et al., "Denoising diffusion restoration models", 2022, eq. 7-8, with sigma_y / s_i replaced by
    the standard deviation of each pixel, which whitening makes exact for a diagonal operator.

    Args:
        y: measurement, 0 where nothing was measured.
        noise_std: its standard deviation, a map.
        sigmas: falling levels, the last 0.
        denoise: D(x, sigma).
        noise: source of z.
        eta: share of fresh noise where the measurement says nothing.
        eta_b: trust in the measurement where the level exceeds its noise.
    """
    known = torch.where(torch.isfinite(noise_std), noise_std, torch.zeros_like(noise_std))
    seen = torch.isfinite(noise_std)
    top = sigmas[0]
    spread = torch.where(seen & (known <= top), (top**2 - known**2).clamp(min=0).sqrt(), top)
    x = torch.where(seen & (known <= top), y, torch.zeros_like(y)) + spread * noise(y)
    for t, s in itertools.pairwise(sigmas):
        x0, z = denoise(x, t), noise(x)
        free = x0 + (1 - eta**2) ** 0.5 * s / t * (x - x0) + eta * s * z
        toward = (y - x0) / torch.where(known > 0, known, torch.ones_like(known))
        below = x0 + (1 - eta**2) ** 0.5 * s * toward + eta * s * z
        above = (1 - eta_b) * x0 + eta_b * y + (s**2 - eta_b**2 * known**2).clamp(min=0).sqrt() * z
        x = torch.where(seen, torch.where(s < known, below, above), free)
    return x


def sample_mean(draw: Callable[[int], Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of `count` samples, `draw(i)` giving the i-th; one is held at a time.

    Raises:
        ValueError: fewer than two samples have no spread.
    """
    if count < 2:
        raise ValueError(f"a spread needs at least 2 samples, not {count}")
    mean, squares = torch.zeros(()), torch.zeros(())
    for index in range(count):
        x = draw(index)
        delta = x - mean
        mean = mean + delta / (index + 1)
        squares = squares + delta * (x - mean)
    return mean, (squares / (count - 1)).sqrt()
