"""The exposure diffusion: the photograph's exposure is continued, photon by photon, and seen again.

At each step the network estimates the light, photons of that estimate are added to the photograph's own,
and the state of the longer exposure is judged again (Wang et al., "ExposureDiffusion", ICCV 2023). No
reference is consulted, ratios are real numbers, values below black are kept, and a merged burst starts at
the exposure it has, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rawdiff.networks.residual import AdaptiveResidual
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.physics.exposure import PhotonSource, extend_exposure, seeded_photons

TARGET_EXPOSURE = 100.0
"""Exposures, in units of one input frame, towards which the process runs."""


def schedule(steps: int, target: float = TARGET_EXPOSURE) -> list[float]:
    """Exposures at which the network is asked: evenly from 1 towards `target`, which is never reached.

    Three steps towards 100 are 1, 34, 67, as published.
    """
    if steps < 1 or target < 1:
        raise ValueError(f"no schedule of {steps} steps towards exposure {target}")
    return [1.0 + (target - 1.0) * step / steps for step in range(steps)]


def roll_out(
    network: nn.Module,
    photograph: Tensor,
    gain: Tensor,
    sigma: Tensor,
    start: Tensor | float,
    exposures: Sequence[Tensor | float],
    photons: PhotonSource,
) -> list[tuple[AdaptiveResidual, VarianceStabilised, Tensor]]:
    """Run the process and return what the network said at each step.

    Args:
        network: an `ExposureNetwork`.
        photograph: noisy planes `[B, 4, h, w]`, black 0, white 1, negatives kept.
        gain: of one electron, broadcastable.
        sigma: standard deviation in the dark of one frame, broadcastable.
        start: effective exposures of the photograph, a number or `[B, 1, h, w]`.
        exposures: those of a single frame at each step, the first 1; a merged photograph has as much more.
        photons: source of Poisson counts.

    Returns:
        For each step the network's two answers, the encoding they are in, and the state's exposure.
    """
    answers = []
    began = torch.as_tensor(start, dtype=photograph.dtype).expand(
        photograph.shape[0], 1, *photograph.shape[2:]
    )
    state, at = photograph, began
    for step, _ in enumerate(exposures):
        # Read noise came once, with the photograph: of the longer exposure it is a smaller part.
        encoding = VarianceStabilised(gain, sigma * torch.sqrt(began / at))
        coded = encoding.encode(state, at)
        answer = network(coded, encoding.noise_std(coded, at), encoding.floor(at).expand(coded.shape))
        answers.append((answer, encoding, at))
        if step + 1 < len(exposures):
            estimate = encoding.decode(answer.mixed(), at)
            longer = began + (torch.as_tensor(exposures[step + 1], dtype=began.dtype) - 1.0)
            state = extend_exposure(photograph, estimate, began, longer, 1.0, gain, photons)
            at = longer
    return answers


def denoise_with(
    network: nn.Module,
    planes: Tensor,
    gain: Tensor,
    sigma: Tensor,
    exposure: float | Tensor,
    strength: float = 1.0,
    steps: int | None = None,
    seed: int = 0,
) -> Tensor:
    """Denoise packed raw `[4, h, w]` with a given network.

    Args:
        network: an `ExposureNetwork`.
        planes: black 0, white 1, R, Gr, Gb, B; negatives kept.
        gain: what one electron adds in one frame, `[4]`.
        sigma: standard deviation in the dark of one frame, `[4]`.
        exposure: effective exposures, a number or `[h, w]`.
        strength: from 0 (the input) to 1 (the estimate), linear in light.
        steps: network evaluations, 1 adds no photons; those it was trained with unless given.
        seed: of the photons.
    """
    if strength == 0:
        return planes.clone()
    count = steps if steps is not None else int(network.steps)  # type: ignore[arg-type]
    frames = torch.as_tensor(exposure, dtype=planes.dtype).expand(1, 1, *planes.shape[-2:])
    per_plane = gain.view(1, 4, 1, 1), sigma.view(1, 4, 1, 1)
    with torch.inference_mode():
        answers = roll_out(network, planes[None], *per_plane, frames, schedule(count), seeded_photons(seed))
        answer, encoding, at = answers[-1]
        clean = encoding.decode(answer.mixed(), at)[0]
    return planes + strength * (clean - planes)
