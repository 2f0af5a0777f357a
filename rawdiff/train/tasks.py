"""What can be trained: for each recipe its network, its samples, its loss, and how the result is watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rawdiff.errors import ConfigurationError
from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.relight import WaveletRelight
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.recipes import exposure, mmse
from rawdiff.train.loss import posterior_mean_loss
from rawdiff.train.photographs import Library, Photograph
from rawdiff.train.plan import TrainingPlan
from rawdiff.train.prior import DESCRIPTION as PRIOR_DESCRIPTION
from rawdiff.train.prior import (
    PriorPlan,
    build_prior,
    build_prior_cases,
    draw_priors,
    look_at_priors,
    prior_loss,
)
from rawdiff.train.relight_loss import relight_loss
from rawdiff.train.relight_validation import DESCRIPTION as LIGHT_DESCRIPTION
from rawdiff.train.relight_validation import build_light_cases, look_at_light
from rawdiff.train.relighting import LightPair, LightPlan, draw_pairs
from rawdiff.train.rollout import exposure_loss
from rawdiff.train.synthesis import Batch, SynthesisPlan, draw_batch
from rawdiff.train.validation import DESCRIPTION, ValidationCase, build_cases, validate


class Case(Protocol):
    """What a run is watched on; made once from a photograph that never trains."""

    @property
    def name(self) -> str:
        """Of the photograph."""
        ...


@dataclass(frozen=True)
class Task:
    """A trainable recipe. What `draw` and `cases` make is only handed on to `loss` and `look`.

    Attributes:
        recipe: its name.
        architecture: name of the network in `networks.weights.ARCHITECTURES`.
        build: makes the network of a plan.
        draw: one step's samples, every random number from the generator given.
        loss: the loss of such samples, and the error that the log shows.
        cases: what the run is watched on, from held-out photographs and the side of a crop.
        look: mean PSNR in dB of a network on those cases, by condition.
        plan: what is trained unless something else is asked for.
        pixel: what the side of a patch counts.
        error: what the log's error is.
        looked_at: what the figures of `look` are, as the model card says it.
    """

    recipe: str
    architecture: str
    build: Callable[[TrainingPlan], nn.Module]
    draw: Callable[[Library, TrainingPlan, torch.Generator], Any]
    loss: Callable[[nn.Module, Any, torch.Generator], tuple[Tensor, Tensor]]
    cases: Callable[[Sequence[Photograph], int], Sequence[Case]]
    look: Callable[[nn.Module, Sequence[Any]], dict[str, float]]
    plan: TrainingPlan
    pixel: str
    error: str
    looked_at: str


def _denoiser(
    recipe: str,
    architecture: str,
    build: Callable[[TrainingPlan], nn.Module],
    loss: Callable[[nn.Module, Batch, torch.Generator], tuple[Tensor, Tensor]],
    denoise_with: Callable[..., Tensor],
    plan: TrainingPlan,
) -> Task:
    """The task of a denoiser of packed raw: captured samples, errors in noise variances."""

    def look(network: nn.Module, cases: Sequence[ValidationCase]) -> dict[str, float]:
        def denoise(planes: Tensor, gain: Tensor, sigma: Tensor, at: float, strength: float) -> Tensor:
            return denoise_with(network, planes, gain, sigma, at, strength)

        return validate(denoise, cases)

    return Task(
        recipe=recipe,
        architecture=architecture,
        build=build,
        draw=_draw_captures,
        loss=loss,
        cases=build_cases,
        look=look,
        plan=plan,
        pixel="packed pixels",
        error="noise variances",
        looked_at=DESCRIPTION,
    )


def _draw_captures(library: Library, plan: TrainingPlan, generator: torch.Generator) -> Batch:
    assert isinstance(plan.synthesis, SynthesisPlan)
    return draw_batch(library, plan.synthesis, plan.batch, plan.side, generator)


def _build_stabilised(plan: TrainingPlan) -> nn.Module:
    if plan.options:
        raise ConfigurationError("the network of mmse has no options", hint="leave --option out")
    return StabilisedDenoiser(plan.widths, plan.blocks)


def _build_exposure(plan: TrainingPlan) -> nn.Module:
    try:
        return ExposureNetwork(plan.widths, plan.blocks, **dict(plan.options))  # type: ignore[arg-type]
    except TypeError as error:
        raise ConfigurationError(f"options that the exposure network does not have: {error}") from None


def _exposure_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    assert isinstance(network, ExposureNetwork)
    return exposure_loss(network, batch, generator)


def _draw_light(library: Library, plan: TrainingPlan, generator: torch.Generator) -> LightPair:
    assert isinstance(plan.synthesis, LightPlan)
    return draw_pairs(library, plan.synthesis, plan.batch, plan.side, generator)


def _build_relight(plan: TrainingPlan) -> nn.Module:
    try:
        return WaveletRelight(plan.widths, plan.blocks, **dict(plan.options))  # type: ignore[arg-type]
    except TypeError as error:
        raise ConfigurationError(f"options that the network of wavelet does not have: {error}") from None


def _relight_loss(network: nn.Module, pair: LightPair, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    assert isinstance(network, WaveletRelight)
    return relight_loss(network, pair, generator)


TASKS = {
    task.recipe: task
    for task in (
        _denoiser(
            recipe="mmse",
            architecture="stabilised-unet",
            build=_build_stabilised,
            loss=posterior_mean_loss,
            denoise_with=mmse.denoise_with,
            plan=TrainingPlan(recipe="mmse"),
        ),
        _denoiser(
            recipe="exposure",
            architecture="exposure-unet",
            build=_build_exposure,
            loss=_exposure_loss,
            denoise_with=exposure.denoise_with,
            plan=TrainingPlan(recipe="exposure", synthesis=SynthesisPlan(gaussian_share=0.0)),
        ),
        Task(
            recipe="quadprior",
            architecture="quadprior-unet",
            build=build_prior,
            draw=draw_priors,
            loss=prior_loss,
            cases=build_prior_cases,
            look=look_at_priors,
            plan=TrainingPlan(
                recipe="quadprior",
                batch=8,
                side=64,
                averaging=0.999,
                widths=(32, 64, 96, 128),
                blocks=(1, 1, 2, 2),
                reductions=(1, 2, 4, 8),
                largest=720,
                leaves=0,
                leaves_share=0.0,
                synthesis=PriorPlan(),
            ),
            pixel="pixels",
            error="squared error of encoded light",
            looked_at=PRIOR_DESCRIPTION,
        ),
        Task(
            recipe="wavelet",
            architecture="wavelet-relight",
            build=_build_relight,
            draw=_draw_light,
            loss=_relight_loss,
            cases=build_light_cases,
            look=look_at_light,
            plan=TrainingPlan(
                recipe="wavelet",
                batch=4,
                side=128,
                warmup=100,
                averaging=0.999,
                widths=(32, 64, 128, 128),
                blocks=(1, 1, 1, 1),
                reductions=(1, 2, 4, 8, 12),
                largest=512,
                leaves=0,
                leaves_share=0.0,
                synthesis=LightPlan(),
            ),
            pixel="pixels",
            error="squared error of roots of light",
            looked_at=LIGHT_DESCRIPTION,
        ),
    )
}


def find_task(recipe: str) -> Task:
    """The task of a recipe.

    Raises:
        ConfigurationError: it is not trained; the message lists those that are.
    """
    if recipe not in TASKS:
        raise ConfigurationError(f"nothing to train for '{recipe}'", hint=f"one of {', '.join(TASKS)}")
    return TASKS[recipe]
