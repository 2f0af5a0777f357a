"""The exposure diffusion: the photograph's exposure is continued, photon by photon, and seen again.

At each step the network estimates the light, photons of that estimate are added to the photograph's own,
and the state of the longer exposure is judged again (Wang et al., "ExposureDiffusion", ICCV 2023). No
reference is consulted, ratios are real numbers, values below black are kept, and a merged burst starts at
the exposure it has, pixel by pixel. As many photons are added as are expected: draws, which the publication
adds in use too, are noise that the next step must see through (the model card has what they cost).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor, nn

from rawdiff.diffusion.sampler import sample_mean
from rawdiff.networks.condition import Origin
from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.residual import AdaptiveResidual
from rawdiff.networks.weights import load_network
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.physics.exposure import PhotonSource, extend_exposure
from rawdiff.recipes import mmse
from rawdiff.recipes.border import inside, mirror_beyond, mirror_map
from rawdiff.recipes.stage import Stage, expose_on, photons_of, see_light
from rawdiff.recipes.walk import Walk, visit_state

WEIGHTS = Path(str(files("rawdiff") / "weights" / "exposure.safetensors"))

_TARGETS = (4.0, 400.0)
_WHITE_SHARE = 0.995


def choose_target(planes: Tensor) -> float:
    """Exposure at which the photograph would be well exposed, in units of itself.

    The one that brings its 99.5th percentile to white: what the process runs towards, as it was trained to
    run towards the exposure ratio.

    Args:
        planes: the whole photograph `[4, h, w]`, black 0, white 1.
    """
    step = max(planes.shape[-1] // 1024, 1)
    sample = planes[:, ::step, ::step].flatten()
    # Torch's quantile takes at most 2^24 values.
    bright = torch.quantile(sample[:: max(sample.numel() >> 23, 1)], _WHITE_SHARE)
    return min(max(1.0 / max(float(bright), 1e-6), _TARGETS[0]), _TARGETS[1])


def schedule(steps: int, target: float) -> list[float]:
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
    origin = None
    began = torch.as_tensor(start, dtype=photograph.dtype).expand(
        photograph.shape[0], 1, *photograph.shape[2:]
    )
    state, at = photograph, began
    for step, _ in enumerate(exposures):
        # Read noise came once, with the photograph: of the longer exposure it is a smaller part.
        encoding = VarianceStabilised(gain, sigma * torch.sqrt(began / at))
        coded = encoding.encode(state, at)
        told = Origin(coded, encoding.noise_std(coded, at), encoding.floor(at).expand(coded.shape))
        origin = told if origin is None else origin
        answer = network(*told, origin)
        answers.append((answer, encoding, at))
        if step + 1 < len(exposures):
            estimate = encoding.decode(answer.mixed(), at)
            longer = began + (torch.as_tensor(exposures[step + 1], dtype=began.dtype) - 1.0)
            state = extend_exposure(photograph, estimate, began, longer, 1.0, gain, photons)
            at = longer
    return answers


def denoise(
    planes: Tensor,
    gain: Tensor,
    sigma: Tensor,
    exposure: float | Tensor,
    strength: float,
    walk: Walk = Walk(),  # noqa: B008  frozen
) -> Tensor:
    """Denoise packed raw with the network that ships with the package; arguments as `denoise_with`."""
    return denoise_with(network(), planes, gain, sigma, exposure, strength, walk)


def denoise_with(
    network: ExposureNetwork,
    planes: Tensor,
    gain: Tensor,
    sigma: Tensor,
    exposure: float | Tensor,
    strength: float = 1.0,
    walk: Walk = Walk(),  # noqa: B008  frozen
) -> Tensor:
    """Denoise packed raw `[4, h, w]` with a given network; the whole frame is one state.

    Drawn photons are numbered by their place in the frame (`rawdiff_kernels.photon`), so neither tiles nor
    threads show. The means of blocks are those of the light measured (`mmse.agree_with_light`).

    Args:
        network: of the exposure process.
        planes: black 0, white 1, R, Gr, Gb, B; negatives kept.
        gain: what one electron adds in one frame, `[4]`.
        sigma: standard deviation in the dark of one frame, `[4]`.
        exposure: effective exposures, a number or `[h, w]`.
        strength: from 0 (the input) to 1 (the estimate), linear in light.
        walk: steps (1 adds no photons; those the network was trained with unless given), seed and cut; with
            `samples`, the mean of as many walks of drawn photons in place of one of expected ones.
    """
    if strength == 0:
        return planes.clone()
    began = torch.as_tensor(exposure, dtype=planes.dtype)
    began = mirror_map(began.reshape(1, 1, *(began.shape or (1, 1))))
    start = Stage.begin(gain.view(1, 4, 1, 1), sigma.view(1, 4, 1, 1), began)
    photograph = mirror_beyond(planes)[None]
    exposures = schedule(network.steps if walk.steps is None else walk.steps, choose_target(planes))
    with torch.inference_mode():
        told = network, photograph, start, exposures, walk
        if walk.samples is None or walk.samples == 1:
            light = _walk(*told, None if walk.samples is None else 0)
        else:
            light, _ = sample_mean(lambda number: _walk(*told, number), walk.samples)
        clean = mmse.agree_with_light(inside(light[0]), planes)
    return clean if strength == 1 else planes + strength * (clean - planes)


def _walk(
    network: ExposureNetwork,
    photograph: Tensor,
    start: Stage,
    exposures: Sequence[float],
    walk: Walk,
    number: int | None,
) -> Tensor:
    """Walk from a photograph `[1, 4, h, w]` to the light seen at the last exposure.

    `number` is which of the walks of this seed, whose photons are drawn; None adds those that are expected.
    """
    stage, state = start, mmse.encode_frame(start.encoding, photograph[0], start.at)
    origin = start.tell(state)
    rounds = len(exposures) * (walk.samples or 1)
    for step, longer in enumerate([*exposures[1:], None]):
        look = functools.partial(visit_state, network, stage.tell(state), walk.tile, origin=origin)
        if longer is None:
            state = see_light(look, photograph, stage)
        else:
            after = start.expose(longer)
            state = expose_on(look, photograph, stage, after, photons_of(walk.seed, step, number))
            stage = after
        walk.tell(((number or 0) * len(exposures) + step + 1) / rounds)
    return state


@functools.cache
def network() -> ExposureNetwork:
    """The trained network of the package, loaded once."""
    found = load_network(WEIGHTS)
    assert isinstance(found, ExposureNetwork)
    return found
