"""The exposure diffusion: the photograph's exposure is continued, photon by photon, and seen again.

At each step the network estimates the light, photons of that estimate are added to the photograph's own,
and the state of the longer exposure is judged again (Wang et al., "ExposureDiffusion", ICCV 2023). No
reference is consulted, ratios are real numbers, values below black are kept, and a merged burst starts at
the exposure it has, pixel by pixel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from rawdiff_kernels import photon
from torch import Tensor, nn

from rawdiff.networks.condition import Origin
from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.residual import AdaptiveResidual
from rawdiff.networks.weights import load_network
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.physics.exposure import PhotonSource, extend_exposure
from rawdiff.recipes import mmse
from rawdiff.recipes.border import inside, mirror_beyond, mirror_map
from rawdiff.recipes.walk import Walk, Window, cut_map, visit_state

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


@dataclass(frozen=True)
class Stage:
    """The process at one exposure, all figures numbers or maps of the frame.

    Attributes:
        encoding: of a state there.
        began: effective exposures of the photograph, `[1, 1, 1 or h, 1 or w]`.
        at: those of the stage, of such a shape too.
    """

    encoding: VarianceStabilised
    began: Tensor
    at: Tensor

    @classmethod
    def reach(cls, gain: Tensor, sigma: Tensor, began: Tensor, at: Tensor) -> Stage:
        """The stage at `at`: read noise came once, with the photograph, and is diluted by more light."""
        return cls(VarianceStabilised(gain, sigma * torch.sqrt(began / at)), began, at)

    def cut(self, window: Window) -> Stage:
        """The stage in a window of the frame."""
        encoding = VarianceStabilised(self.encoding.gain, cut_map(self.encoding.sigma, window))
        return Stage(encoding, cut_map(self.began, window), cut_map(self.at, window))

    def encode(self, light: Tensor) -> Tensor:
        """State of light `[1, 4, h, w]`."""
        return self.encoding.encode(light, self.at)

    def decode(self, answer: Tensor) -> Tensor:
        """Light of what the network answers."""
        return self.encoding.decode(answer, self.at)

    def tell(self, state: Tensor) -> Origin:
        """What the network is told of a state."""
        return Origin(state, 1 / torch.sqrt(self.at), self.encoding.floor(self.at))


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

    Photons are drawn by their place in the frame (`rawdiff_kernels.photon`), so neither tiles nor threads
    show. The means of blocks are those of the light measured (`mmse.agree_with_light`).

    Args:
        network: of the exposure process.
        planes: black 0, white 1, R, Gr, Gb, B; negatives kept.
        gain: what one electron adds in one frame, `[4]`.
        sigma: standard deviation in the dark of one frame, `[4]`.
        exposure: effective exposures, a number or `[h, w]`.
        strength: from 0 (the input) to 1 (the estimate), linear in light.
        walk: steps (1 adds no photons; those the network was trained with unless given), seed and cut.
    """
    if strength == 0:
        return planes.clone()
    began = torch.as_tensor(exposure, dtype=planes.dtype)
    began = mirror_map(began.reshape(1, 1, *(began.shape or (1, 1))))
    figures = gain.view(1, 4, 1, 1), sigma.view(1, 4, 1, 1), began
    exposures = schedule(network.steps if walk.steps is None else walk.steps, choose_target(planes))
    photograph = mirror_beyond(planes)
    with torch.inference_mode():
        stage = Stage.reach(*figures, began)
        state = mmse.encode_frame(stage.encoding, photograph, began)
        origin = stage.tell(state)
        for step, exposure_reached in enumerate(exposures[1:]):
            longer = Stage.reach(*figures, began + (exposure_reached - 1.0))
            photons = functools.partial(photon.reexpose, seed=walk.seed, stream=step)
            look = functools.partial(visit_state, network, stage.tell(state), walk.tile, origin=origin)
            state = _expose_on(look, photograph[None], stage, longer, photons)
            stage = longer
        look = functools.partial(visit_state, network, stage.tell(state), walk.tile, origin=origin)
        clean = mmse.agree_with_light(inside(_see(look, photograph[None], stage)[0]), planes)
    return clean if strength == 1 else planes + strength * (clean - planes)


def _expose_on(
    look: Callable[..., None],
    photograph: Tensor,
    stage: Stage,
    longer: Stage,
    photons: Callable[..., Tensor],
) -> Tensor:
    """The state at a longer exposure: the photograph's own light, and photons of what the network sees.

    A window at a time, from the network's answer to the next state: nothing between is of the frame's size.
    """
    state = torch.empty_like(photograph)

    def expose(window: Window, answer: Tensor) -> None:
        here, after = stage.cut(window), longer.cut(window)
        exposed = photons(
            photograph[(..., *window)],
            here.decode(answer),
            after.at,
            1 / after.encoding.gain,
            start=here.began,
            origin=(window[0].start, window[1].start),
        )
        state[(..., *window)] = after.encode(exposed)

    look(read=AdaptiveResidual.mixed, write=expose)
    return state


def _see(look: Callable[..., None], photograph: Tensor, stage: Stage) -> Tensor:
    """The light that the network sees in the last state."""
    clean = torch.empty_like(photograph)

    def keep(window: Window, answer: Tensor) -> None:
        clean[(..., *window)] = stage.cut(window).decode(answer)

    look(read=AdaptiveResidual.mixed, write=keep)
    return clean


@functools.cache
def network() -> ExposureNetwork:
    """The trained network of the package, loaded once."""
    found = load_network(WEIGHTS)
    assert isinstance(found, ExposureNetwork)
    return found
