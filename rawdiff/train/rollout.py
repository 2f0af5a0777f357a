"""Training the exposure process by its own trajectories.

The chain is rolled out with the network's own estimates, photons drawn straight through, and every step is
judged against the light; gradients pass through all of it (Wang et al., ICCV 2023, sections 3.2 and 3.4).
The published loop scales each estimate by its ground truth; this one never sees it. Most trajectories add the
photons that are expected, as the recipe does; the others draw them, as its samples do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.recipes.exposure import roll_out
from rawdiff.train.loss import light_loss, relative
from rawdiff.train.synthesis import Batch

_AUXILIARY = 0.5
_DRAWN_SHARE = 0.25


def draw_schedule(steps: int, ratio: Tensor, generator: torch.Generator) -> list[Tensor | float]:
    """Exposures of a training trajectory: 1, then uniform between 1 and each sample's ratio, ascending.

    Each entry after the first is `[B, 1, 1, 1]`; at least 2, so that there are photons to add.
    """
    if steps == 1:
        return [1.0]
    most = ratio.clamp(min=4.0)[:, None]
    drawn = 2.0 + (most - 2.0) * torch.rand(ratio.shape[0], steps - 1, generator=generator)
    ascending = drawn.sort(dim=1).values
    return [1.0, *(ascending[:, step].view(-1, 1, 1, 1) for step in range(steps - 1))]


def exposure_loss(
    network: ExposureNetwork, batch: Batch, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Loss of a trajectory: every step's estimate and, half as much, its two branches where they count.

    The last step, whose estimate is the picture, counts as much as all before it together.

    Returns:
        The weighted mean over steps, and the last step's mean error in noise variances of the photograph.
    """

    drawn = torch.rand(batch.noisy.shape[0], 1, 1, 1, generator=generator) < _DRAWN_SHARE

    def photons(mean: Tensor) -> Tensor:
        return torch.where(drawn, torch.poisson(mean, generator=generator), mean)

    exposures = draw_schedule(network.steps, batch.ratio, generator)
    answers = roll_out(network, batch.noisy, batch.gain, batch.sigma, batch.exposures, exposures, photons)
    total, error = torch.zeros(()), torch.zeros(())
    for step, (answer, encoding, at) in enumerate(answers):
        judged = [
            light_loss(branch, batch, encoding, at, weight)
            for branch, weight in (
                (answer.mixed(), None),
                (answer.direct, answer.mix),
                (answer.corrected, 1 - answer.mix),
            )
        ]
        loss = relative(judged[0]) + _AUXILIARY * (relative(judged[1]) + relative(judged[2]))
        total = total + (loss if step + 1 < len(answers) else max(step, 1) * loss)
        error = judged[0].detach().mean()
    return total / max(2 * (len(answers) - 1), 1), error
