"""Wavelet diffusion: light is sampled on the average band of two Haar levels, detail is restored beside it.

Jiang et al., "Low-light image enhancement with wavelet-based diffusion models" (DiffLL), ACM TOG 42(6),
2023. The published method sees 600x400 pixels whole. Here the survey of a picture is relit whole, by the
full two-level scheme; larger pictures take the change of light from it as a local law along their own
edges, and their detail bands are restored at full resolution, in bands of rows.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from rawdiff_kernels import haar
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from rawdiff.diffusion.denoiser import Denoiser
from rawdiff.diffusion.process import VariancePreserving
from rawdiff.diffusion.sampler import NoiseSource, sample, seeded_noise
from rawdiff.diffusion.schedule import linear_beta_alpha_bar
from rawdiff.diffusion.step import keep_all
from rawdiff.enhance.carry import LocalLaw, decode_light, encode_light, fit_law
from rawdiff.networks.detail import DetailRestoration
from rawdiff.networks.relight import CHANGE_STD, WaveletRelight
from rawdiff.networks.weights import load_network

WEIGHTS = Path(str(files("rawdiff") / "weights" / "wavelet.safetensors"))

LEVELS = 2
CELL = 2**LEVELS
TIMES = 200
"""Of the published schedule: betas linear from 1e-4 to 0.02."""

SURVEY_SIDE = 256
"""Longest side of the picture on which light is sampled: so much of a scene the network saw in training."""

LUMINANCE = (0.2126, 0.7152, 0.0722)
_RADIUS, _CONTRAST = 2, 0.08


def wavelet_process() -> VariancePreserving:
    """The published forward process on the average band."""
    return VariancePreserving(linear_beta_alpha_bar(TIMES))


def visited_times(steps: int) -> Tensor:
    """Times of the walk, `steps` equal strides of the schedule and then -1, the clean band.

    Ten are 180, 160, ..., 0, as published: the noisiest time is never visited.
    """
    return torch.cat([torch.arange(steps).flip(0) * TIMES // steps, torch.tensor([-1])])


@dataclass(frozen=True)
class Relit:
    """What became of a picture, in [-1, 1]: its bands and their sum."""

    average: Tensor
    details: tuple[Tensor, ...]
    picture: Tensor


def denoiser_of(network: WaveletRelight, condition: Tensor) -> Denoiser:
    """D(x, sigma) on average bands: the photograph's own band and what the network wants changed in it.

    Nothing of the state's noise passes the network by, so a network that has learned little leaves the
    photograph as it is, where a prediction of the noise would leave noise.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        scaled = (x - condition) / (sigma**2 + CHANGE_STD**2).sqrt()
        return condition + CHANGE_STD * network.estimate(scaled, sigma.log() / 4, condition)

    return denoise


def roll_out(network: WaveletRelight, condition: Tensor, noise: NoiseSource) -> Tensor:
    """Sample the average band by DDIM, differentiably: what training rolls out, inference does."""
    process, times = wavelet_process(), visited_times(network.steps)
    first = process.at(times[0])
    # Signal is left at the first time; the published walk starts without it and learns to make up for that.
    anchor = first.a * condition if network.start_at_photograph else 0.0
    x = anchor + first.c * noise(condition)
    return sample(x, times, process, denoiser_of(network, condition), noise, k_rule=keep_all)


def relight(network: WaveletRelight, encoded: Tensor, noise: NoiseSource) -> Relit:
    """Relight whole pictures `[B, 3, h, w]`, encoded, at the level of light they are to have."""
    bands = haar.forward(2 * encoded - 1, LEVELS)
    average = roll_out(network, bands.average, noise)
    law = fit_law(_from_average(bands.average), _from_average(average), _RADIUS, _CONTRAST)
    whole = CELL * average.shape[-2], CELL * average.shape[-1]
    base = law.apply(encoded, whole, 0)
    details = restore_details(network, haar.forward(2 * base - 1, LEVELS))
    return Relit(average, details, haar.inverse(haar.Coefficients(average, details, bands.size)))


def restore_details(network: WaveletRelight, bands: haar.Coefficients) -> tuple[Tensor, ...]:
    """Restore the detail bands of each level."""
    return tuple(network.restore(level, detail) for level, detail in enumerate(bands.details))


def _from_average(average: Tensor) -> Tensor:
    """The mean of encoded light that a coefficient of the average band stands for."""
    light: Tensor = (average / CELL + 1) / 2
    return light


def relight_at_level(
    network: WaveletRelight, dark: Tensor, noise: NoiseSource
) -> tuple[Tensor, Relit, Tensor]:
    """Relight linear pictures `[B, 3, h, w]` of any level of light.

    The level is set twice: before, so that the network sees what it knows, and after, when no bright corner
    misleads the law of level any more.

    Returns:
        The gain before `[B, 1, 1, 1]`, what the light became, and the gain after.
    """
    before = network.level(luminance(dark)).exp()[:, None, None, None]
    relit = relight(network, encode_light(dark * before), noise)
    return before, relit, gain_after(network, relit).exp()[:, None, None, None]


def gain_after(network: WaveletRelight, relit: Relit) -> Tensor:
    """Logarithm of the gain that sets the light of relit pictures, `[B]`; moves the level law alone."""
    shown: Tensor = network.level(luminance(decode_light((relit.picture.detach() + 1) / 2)))
    return shown


@dataclass(frozen=True, eq=False)
class WaveletLight:
    """The light of one picture, settled: its gains, the local law of its change, and the detail networks."""

    network: WaveletRelight
    before: float
    after: float
    law: LocalLaw
    size: tuple[int, int]
    halo: int = CELL * DetailRestoration.reach() + 2 * CELL

    def apply(self, band: Tensor, top: int, bottom: int) -> Tensor:
        """Relight rows `top` to `bottom`; see `light.Relight`."""
        first = max(0, top - self.halo)
        # Cells of the transform lie on the grid of the whole picture.
        begin = -(-first // CELL) * CELL
        end = first + band.shape[1]
        end = end if end == self.size[0] else end // CELL * CELL
        with torch.inference_mode():
            encoded = encode_light(band[None, :, begin - first : end - first] * self.before)
            base = 2 * self.law.apply(encoded, self.size, begin) - 1
            bands = haar.forward(base, LEVELS)
            details = restore_details(self.network, bands)
            picture = haar.inverse(haar.Coefficients(bands.average, details, bands.size))[0]
        return decode_light((picture[:, top - begin : bottom - begin] + 1) / 2) * self.after


class WaveletDiffusion:
    """The enhancer `wavelet`.

    Args:
        network: a trained network; the one that ships with the package unless given.
    """

    name = "wavelet"

    def __init__(self, network: WaveletRelight | None = None) -> None:
        self.network = network if network is not None else shipped_network()

    def survey(self, small: Tensor, size: tuple[int, int], seed: int) -> WaveletLight:
        """Sample the light of a picture from its reduction; see `light.Enhancer`."""
        shrunk = small[None]
        longest = max(small.shape[1:])
        if longest > SURVEY_SIDE:
            height, width = (max(1, round(side * SURVEY_SIDE / longest)) for side in small.shape[1:])
            shrunk = adaptive_avg_pool2d(shrunk, (height, width))
        with torch.inference_mode():
            before, relit, after = relight_at_level(self.network, shrunk, seeded_noise(seed))
            law = fit_law(encode_light(shrunk * before), (relit.picture + 1) / 2, CELL * _RADIUS, _CONTRAST)
        return WaveletLight(self.network, float(before), float(after), law, size)


def luminance(rgb: Tensor) -> Tensor:
    """Luminance `[B, h, w]` of linear sRGB `[B, 3, h, w]`."""
    red, green, blue = LUMINANCE
    return rgb[:, 0] * red + rgb[:, 1] * green + rgb[:, 2] * blue


@functools.cache
def shipped_network() -> WaveletRelight:
    """The trained network of the package, loaded once."""
    network = load_network(WEIGHTS)
    assert isinstance(network, WaveletRelight)
    return network
