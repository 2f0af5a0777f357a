"""Physical quadruple priors: what light does not change tells the generator what normal light would show.

Wang, Ren, Yang, Huang, Liu, "Zero-reference low-light enhancement via physical quadruple priors", CVPR 2024.
H, C, W and O of the reduced picture are the condition of a small diffusion that was trained on normally lit
photographs alone. What it draws settles one gain per channel, smooth over the frame: the low frequencies of
the result are the generator's, everything finer is the picture's own and passes by.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from rawdiff.diffusion.denoiser import Denoiser, from_edm_network
from rawdiff.diffusion.process import VarianceExploding
from rawdiff.diffusion.sampler import sample, seeded_noise
from rawdiff.diffusion.schedule import edm_sigmas
from rawdiff.diffusion.step import keep_all
from rawdiff.enhance.carry import decode_light, encode_light, grow
from rawdiff.networks.quadprior import SPREAD, DetailMerges, QuadPriorNetwork, gaussian_mean
from rawdiff.networks.weights import load_network

WEIGHTS = Path(str(files("rawdiff") / "weights" / "quadprior.safetensors"))

LONGEST = 64
"""Longer side of the picture that is generated: all of a frame within the network's sight."""

SIGMA_MAX, SIGMA_MIN = 20.0, 0.05
STEPS, SAMPLES = 1, 1
"""The conditional mean: more steps draw sharper pictures, of which the gain would see the errors only (see
the model card)."""
SMOOTH, COLOR_SMOOTH = 0.05, 0.15
"""Standard deviations of the windows in which brightness and colour are compared, in longer sides."""

SECOND_LOOK = 0.5
"""Share of the change that a second look at the relit picture asks for: uneven light that the first left is
evened further, and what an even picture loses by it is bounded (see the model card)."""

LAMPS = (0.45, 0.0, -0.6)
"""Logarithms of R, G, B of other lights that a picture is also looked at under: warm in one corner, cold in
the one across. What they change of the answer is the light's doing, and the mean takes it out."""

_LEAST_LEVEL = 1e-4
"""Light of a window, relative to the picture's mean, below which the gain no longer rises."""


def generated_size(height: int, width: int, align: int) -> tuple[int, int]:
    """Rows and columns of the generated picture: `LONGEST` and the nearest multiple of `align`."""
    longest = max(height, width)
    rows, columns = (
        min(max(round(side * LONGEST / longest / align), 1) * align, LONGEST) for side in (height, width)
    )
    return rows, columns


def denoiser_of(network: QuadPriorNetwork, features: Tensor) -> Denoiser:
    """D(x, sigma) on encoded pictures in [-1, 1], told the features."""

    def told(scaled: Tensor, level: Tensor) -> Tensor:
        return network.estimate(scaled, level, features)

    return from_edm_network(told, SPREAD)


def generate(
    network: QuadPriorNetwork, features: Tensor, seed: int, steps: int = STEPS, samples: int = SAMPLES
) -> Tensor:
    """Draw normally lit pictures of these features and return their mean, `[1, 3, h, w]` in [-1, 1].

    Args:
        network: the generator.
        features: of one picture, `[1, channels, h, w]`.
        seed: of the starting noise.
        steps: evaluations a picture; 1 is the conditional mean.
        samples: pictures.
    """
    start = SIGMA_MAX * seeded_noise(seed)(torch.empty(samples, 3, *features.shape[2:]))
    denoise = denoiser_of(network, features.expand(samples, -1, -1, -1))
    sigmas = edm_sigmas(steps, SIGMA_MIN, SIGMA_MAX).float() if steps > 1 else torch.tensor([SIGMA_MAX, 0.0])
    drawn = sample(start, sigmas, VarianceExploding(), denoise, torch.zeros_like, k_rule=keep_all)
    return drawn.mean(dim=0, keepdim=True)


def fit_gain(linear: Tensor, generated: Tensor) -> Tensor:
    """The gain per channel that brings a picture's light to that of the generated one, `[B, 3, h, w]`.

    In every window the least-squares ratio of the roots of light: bright pixels weigh most, noise below
    black does not matter, and the picture's own gain cancels. Brightness is compared in small windows, what
    the channels differ by in wide ones, as lamps mix slowly.

    Args:
        linear: the picture, `[B, 3, h, w]`, above 0 on the mean.
        generated: in [-1, 1], encoded.
    """
    level = linear.mean(dim=(1, 2, 3), keepdim=True)
    light = (linear / level).clamp(min=0)
    wanted = decode_light((generated + 1) / 2).clamp(min=0)
    both = (wanted * light + _LEAST_LEVEL**2).sqrt()
    longest = max(linear.shape[2:])
    near = _ratio(both.mean(dim=1, keepdim=True), light.mean(dim=1, keepdim=True), SMOOTH * longest)
    far = _ratio(both, light, COLOR_SMOOTH * longest)
    overall = _ratio(both.mean(dim=1, keepdim=True), light.mean(dim=1, keepdim=True), COLOR_SMOOTH * longest)
    ratio = near * far / overall
    return ratio * ratio / level


def _ratio(both: Tensor, light: Tensor, sigma: float) -> Tensor:
    return gaussian_mean(both, sigma) / gaussian_mean(light, sigma).clamp(min=_LEAST_LEVEL)


@dataclass(frozen=True, eq=False)
class PriorLight:
    """The light of one picture, settled: a gain map and the merges of detail."""

    network: QuadPriorNetwork
    gain: Tensor
    size: tuple[int, int]
    halo: int = DetailMerges.reach()

    def apply(self, band: Tensor, top: int, bottom: int) -> Tensor:
        """Relight rows `top` to `bottom`; see `light.Relight`."""
        first = max(0, top - self.halo)
        lit = band * grow(self.gain, self.size, first, first + band.shape[1])
        inside = slice(top - first, bottom - first)
        if not self.network.bypass:
            return lit[:, inside]
        with torch.inference_mode():
            return decode_light(self.network.merges(encode_light(lit)[None])[0, :, inside])


class QuadPrior:
    """The enhancer `quadprior`.

    Args:
        network: a trained network; the one that ships with the package unless given.
        steps: of the sampler.
        samples: pictures drawn, whose mean is taken.
    """

    name = "quadprior"

    def __init__(
        self, network: QuadPriorNetwork | None = None, steps: int = STEPS, samples: int = SAMPLES
    ) -> None:
        self.network = network if network is not None else shipped_network()
        self.steps, self.samples = steps, samples

    def survey(self, small: Tensor, size: tuple[int, int], seed: int) -> PriorLight:
        """Settle the light of a picture from its reduction; see `light.Enhancer`."""
        shrunk = adaptive_avg_pool2d(
            small[None], generated_size(small.shape[1], small.shape[2], self.network.align)
        )
        with torch.inference_mode():
            gain = self._look(shrunk, seed)
            gain = gain * self._look(gain * shrunk, seed) ** SECOND_LOOK
        return PriorLight(self.network, gain[0], size)

    def _look(self, linear: Tensor, seed: int) -> Tensor:
        """The gain for a picture: the geometric mean of what is asked under its own light and others."""
        own = self._ask(linear, seed)
        others = [light * self._ask(light * linear, seed) for light in _other_lights(*linear.shape[2:])]
        # Of ratios, which a gain of the picture leaves in every bit.
        return (
            own * torch.stack([other / own for other in others]).log().sum(dim=0).div(1 + len(others)).exp()
        )

    def _ask(self, linear: Tensor, seed: int) -> Tensor:
        """The gain by what the generator draws of a picture's features and of its mirror image's."""
        features = self.network.features(linear), self.network.features(linear.flip(-1))
        drawn, mirrored = (generate(self.network, f, seed, self.steps, self.samples) for f in features)
        return fit_gain(linear, (drawn + mirrored.flip(-1)) / 2)


def _other_lights(height: int, width: int) -> list[Tensor]:
    """Lamps towards each corner, `[1, 3, h, w]`."""
    y, x = torch.linspace(-0.5, 0.5, height)[:, None], torch.linspace(-0.5, 0.5, width)
    color = torch.tensor(LAMPS).view(1, 3, 1, 1)
    return [torch.exp(slope * color) for slope in (x + y, -x - y, x - y, y - x)]


@functools.cache
def shipped_network() -> QuadPriorNetwork:
    """The trained network of the package, loaded once."""
    network = load_network(WEIGHTS)
    assert isinstance(network, QuadPriorNetwork)
    return network
