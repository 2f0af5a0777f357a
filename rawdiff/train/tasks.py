"""What can be trained: for each recipe its network, its loss, and how the result denoises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawdiff.errors import ConfigurationError
from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.recipes import exposure, mmse
from rawdiff.train.loss import posterior_mean_loss
from rawdiff.train.plan import TrainingPlan
from rawdiff.train.rollout import exposure_loss
from rawdiff.train.synthesis import Batch, SynthesisPlan

Loss = Callable[[nn.Module, Batch, torch.Generator], tuple[Tensor, Tensor]]
DenoiseWith = Callable[[nn.Module, Tensor, Tensor, Tensor, float, float], Tensor]


@dataclass(frozen=True)
class Task:
    """A trainable recipe.

    Attributes:
        recipe: its name.
        architecture: name of the network in `networks.weights.ARCHITECTURES`.
        build: makes the network of a plan.
        loss: the loss of a batch, and the mean error of light in units of the noise variance.
        denoise: runs a network on one packed frame: (network, planes, gain, sigma, exposure, strength).
        plan: what is trained unless something else is asked for.
    """

    recipe: str
    architecture: str
    build: Callable[[TrainingPlan], nn.Module]
    loss: Loss
    denoise: DenoiseWith
    plan: TrainingPlan


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


TASKS = {
    task.recipe: task
    for task in (
        Task(
            recipe="mmse",
            architecture="stabilised-unet",
            build=_build_stabilised,
            loss=posterior_mean_loss,
            denoise=mmse.denoise_with,
            plan=TrainingPlan(recipe="mmse"),
        ),
        Task(
            recipe="exposure",
            architecture="exposure-unet",
            build=_build_exposure,
            loss=_exposure_loss,
            denoise=exposure.denoise_with,
            plan=TrainingPlan(recipe="exposure", synthesis=SynthesisPlan(gaussian_share=0.0)),
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
