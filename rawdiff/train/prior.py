"""Training of the quadruple-prior enhancer: normally lit photographs, and hints that say less than they do.

What the generator is told is taken from the photograph itself, with noise and under a smooth light, which
the priors hardly show; what it is to draw is the photograph as it is. No dark picture takes part: the
features do not know how bright their picture is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from rawdiff.enhance.apply import enhance_picture
from rawdiff.enhance.carry import encode_light
from rawdiff.enhance.quadprior import SIGMA_MAX, SIGMA_MIN, QuadPrior, denoiser_of, fit_gain
from rawdiff.errors import ConfigurationError
from rawdiff.networks.quadprior import SPREAD, QuadPriorNetwork
from rawdiff.simulate.capture import log_uniform
from rawdiff.simulate.scene import load_photograph
from rawdiff.simulate.uneven_light import uneven_lights
from rawdiff.train.photographs import Library, Photograph
from rawdiff.train.plan import TrainingPlan
from rawdiff.train.relighting import LightPlan, draw_light, leave_noise

_CELL = 16
_SHORTER = (0.5, 0.75, 0.75, 1.0)
_DETAIL_SIDE = 64

DESCRIPTION = (
    "PSNR in dB of the result, encoded as sRGB and not aligned, at a quarter of the light: against the "
    "evenly lit photograph under even light, a ramp, a pool of light and two coloured lamps, and (own) "
    "against the method's own result under even light; frames of 256 pixels"
)


@dataclass(frozen=True)
class PriorPlan:
    """What is drawn. Shares are probabilities per sample.

    Attributes:
        whole_share: windows that are as much of a photograph as fits; the others are drawn at all scales.
        zoom: range of the window's side, in sides of the generated picture.
        saturation: range of the factor on the distance from grey.
        cast: standard deviation of the logarithm of the hint's white balance error.
        noisy_share: hints with noise.
        noise: range of the noise of hints, relative to the light at mid-grey.
        even_share: hints in even light.
        ramp_stops: most stops of the hint's light from one side of the frame to the other.
        pool_floor: range of the light outside a pool of light.
        lamps: most lamps of their own colour.
        certain_share: samples at the largest noise level, where the conditional mean is asked for.
        detail_noise: range of the noise that the merges are to see through.
        jitter: standard deviation of the logarithm of the brightness that they are to leave alone.
    """

    whole_share: float = 0.5
    zoom: tuple[float, float] = (1.5, 12.0)
    saturation: tuple[float, float] = (0.6, 1.25)
    cast: float = 0.06
    noisy_share: float = 0.5
    noise: tuple[float, float] = (0.004, 0.1)
    even_share: float = 0.3
    ramp_stops: float = 3.5
    pool_floor: tuple[float, float] = (0.1, 0.6)
    lamps: int = 3
    certain_share: float = 0.5
    detail_noise: tuple[float, float] = (0.002, 0.03)
    jitter: float = 0.5

    def light(self) -> LightPlan:
        """The fields of light that hints are seen under."""
        return LightPlan(
            even_share=self.even_share,
            ramp_stops=self.ramp_stops,
            pool_floor=self.pool_floor,
            lamps=self.lamps,
            noise=self.detail_noise,
        )


@dataclass(frozen=True)
class PriorBatch:
    """Linear sRGB. `hint` and `normal` `[B, 3, h, w]`; `rough` and `fine` `[B, 3, s, s]` are full detail.

    `sigma` `[B, 1, 1, 1]` is the noise level of each sample, the largest where `certain` `[B]`.
    """

    hint: Tensor
    normal: Tensor
    rough: Tensor
    fine: Tensor
    sigma: Tensor
    certain: Tensor


def draw_priors(library: Library, plan: TrainingPlan, generator: Generator) -> PriorBatch:
    """Draw a batch of `plan.batch` whole scenes of `plan.side` on the longer side, all of one shape."""
    prior, told = plan.synthesis, dict(plan.options)
    assert isinstance(prior, PriorPlan)
    size = _draw_size(plan.side, generator)
    normal = torch.stack([_draw_scene(library, prior, size, generator) for _ in range(plan.batch)])
    hint = normal
    if told.get("hint_light", True):
        cast = torch.exp(prior.cast * torch.randn(plan.batch, 3, 1, 1, generator=generator))
        hint = hint * cast * draw_light(prior.light(), plan.batch, size, generator)
    if told.get("hint_noise", True):
        level = log_uniform(*prior.noise, (plan.batch, 1, 1, 1), generator)
        level = level * (torch.rand(level.shape, generator=generator) < prior.noisy_share)
        hint = hint + level * torch.sqrt(0.18 * hint + 0.001) * torch.randn(hint.shape, generator=generator)
    count = max(plan.batch // 4, 1)
    fine = torch.stack([library.crop(_DETAIL_SIDE, generator) for _ in range(count)])
    fine = fine * torch.exp(prior.jitter * torch.randn(count, 1, 1, 1, generator=generator))
    certain = torch.rand(plan.batch, generator=generator) < prior.certain_share
    sigma = torch.exp(0.3 + 1.4 * torch.randn(plan.batch, generator=generator)).clamp(SIGMA_MIN, SIGMA_MAX)
    sigma = torch.where(certain, torch.full_like(sigma, SIGMA_MAX), sigma)
    rough = leave_noise(fine, prior.light(), generator)
    return PriorBatch(hint, normal, rough, fine, sigma.view(-1, 1, 1, 1), certain)


def _draw_size(side: int, generator: Generator) -> tuple[int, int]:
    kind = int(torch.randint(2 * len(_SHORTER), (1,), generator=generator))
    shorter = max(round(side * _SHORTER[kind // 2] / _CELL), 1) * _CELL
    return (side, shorter) if kind % 2 else (shorter, side)


def _draw_scene(library: Library, plan: PriorPlan, size: tuple[int, int], generator: Generator) -> Tensor:
    whole = float(torch.rand(1, generator=generator)) < plan.whole_share
    zoom = float(log_uniform(*plan.zoom, (1,), generator))
    zoom = plan.zoom[1] if whole else zoom
    window = library.window((round(size[0] * zoom), round(size[1] * zoom)), generator)
    small = F.adaptive_avg_pool2d(window, size)
    low, high = plan.saturation
    factor = low + (high - low) * float(torch.rand(1, generator=generator))
    grey = small.mean(dim=0, keepdim=True)
    return (grey + factor * (small - grey)).clamp(0.0, 1.0)


def build_prior(plan: TrainingPlan) -> QuadPriorNetwork:
    """The network of a plan.

    Raises:
        ConfigurationError: options that it does not have.
    """
    try:
        return QuadPriorNetwork(plan.widths, plan.blocks, **dict(plan.options))  # type: ignore[arg-type]
    except TypeError as error:
        raise ConfigurationError(f"options that the network of quadprior does not have: {error}") from None


def prior_loss(network: nn.Module, batch: PriorBatch, generator: Generator) -> tuple[Tensor, Tensor]:
    """L_noise + L_z0, the error of what is relit by the drawn picture, and that of the merges.

    With x0^ the estimate, L_noise = |x0^ - x0|^2 / sigma^2 and L_z0 = |x0^ - x0|^2, the latter in units of
    the pictures' variance. The second figure is the mean squared error of the encoded light of the relit
    pictures at the largest noise level.
    """
    assert isinstance(network, QuadPriorNetwork)
    features = network.features(batch.hint)
    wanted = 2 * encode_light(batch.normal) - 1
    noise = torch.randn(wanted.shape, generator=generator)
    drawn = denoiser_of(network, features)(wanted + batch.sigma * noise, batch.sigma)
    errors = (drawn - wanted).square().mean(dim=(1, 2, 3))
    weight = batch.sigma.flatten() ** -2 + (SPREAD**-2 if network.z0_loss else 0.0)
    lit = encode_light(fit_gain(batch.hint, drawn) * batch.hint)
    missed = (lit - encode_light(batch.normal)).square().mean(dim=(1, 2, 3))
    certain = batch.certain.to(missed.dtype)
    relit = (missed * certain).sum() / certain.sum().clamp(min=1)
    merged = network.merges(encode_light(batch.rough))
    detail = (merged - encode_light(batch.fine)).abs().mean()
    loss = (weight * errors).mean() + 16 * relit + detail
    return loss, relit.detach()


@dataclass(frozen=True)
class PriorCase:
    """A photograph, small and linear, and what uneven light makes of it at a quarter of the level."""

    name: str
    truth: Tensor
    dark: dict[str, Tensor]


def build_prior_cases(photographs: Sequence[Photograph], side: int = 256) -> list[PriorCase]:
    """Light held-out photographs, reduced to at most 256 pixels."""
    cases = []
    for photograph in photographs:
        whole = load_photograph(photograph.path)
        longest = max(whole.shape[1:])
        height, width = (max(round(edge * min(side, 256) / longest), 1) for edge in whole.shape[1:])
        truth = F.adaptive_avg_pool2d(whole, (height, width)) if longest > min(side, 256) else whole
        fields = {"even": torch.ones_like(truth), **uneven_lights(truth.shape[1], truth.shape[2])}
        dark = {name: 0.25 * light * truth for name, light in fields.items()}
        cases.append(PriorCase(photograph.name, truth, dark))
    return cases


def look_at_priors(network: nn.Module, cases: Sequence[PriorCase]) -> dict[str, float]:
    """Mean PSNR by light, against the truth and (own) against the result under even light."""
    assert isinstance(network, QuadPriorNetwork)
    enhancer = QuadPrior(network)
    found: dict[str, list[float]] = {}
    for case in cases:
        results = {name: _show(enhance_picture(dark, enhancer)) for name, dark in case.dark.items()}
        truth = _show(case.truth)
        for name, result in results.items():
            found.setdefault(name, []).append(_psnr(result, truth))
            if name != "even":
                found.setdefault(f"own-{name}", []).append(_psnr(result, results["even"]))
    return {name: sum(values) / len(values) for name, values in found.items()}


def _show(linear: Tensor) -> Tensor:
    light = linear.clamp(0, 1)
    return torch.where(light < 0.0031308, 12.92 * light, 1.055 * light.clamp(min=1e-6) ** (1 / 2.4) - 0.055)


def _psnr(one: Tensor, other: Tensor) -> float:
    return -10 * math.log10(max(float((one - other).double().square().mean()), 1e-12))
