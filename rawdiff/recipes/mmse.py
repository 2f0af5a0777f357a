"""One evaluation of the camera-independent network: the posterior mean of the light.

The network works in the variance-stabilised domain and is told the noise map, the level of light and the
read noise in electrons, so the sensor's profile alone adapts it to a camera, an ISO or a merged burst.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from rawdiff.diffusion.consistency import lowfreq
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.networks.weights import load_network
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.recipes.border import inside, mirror_beyond, mirror_map

WEIGHTS = Path(str(files("rawdiff") / "weights" / "mmse.safetensors"))

HALO = 143 + 64
"""Packed pixels a tile reads beyond what it writes: the reach of the shipped network, and of one block."""

BLOCK = 64
"""Side of the blocks whose mean light is that of the measurement, in packed pixels."""

_BAND = 128

ALIGN = BLOCK
"""Tile edges fall on multiples of this many packed pixels: the blocks lie on one grid for the frame."""


def denoise(planes: Tensor, gain: Tensor, sigma: Tensor, exposure: float | Tensor, strength: float) -> Tensor:
    """Denoise packed raw with the network that ships with the package.

    Args:
        planes: `[4, h, w]`, black 0, white 1, R, Gr, Gb, B; negatives kept.
        gain: what one electron adds in one frame, `[4]`.
        sigma: standard deviation in the dark of one frame, `[4]`.
        exposure: effective exposures, a number or `[h, w]`.
        strength: from 0 (the input) to 1 (the estimate), linear in light.

    Returns:
        `[4, h, w]`.
    """
    return denoise_with(network(), planes, gain, sigma, exposure, strength)


def denoise_with(
    network: StabilisedDenoiser,
    planes: Tensor,
    gain: Tensor,
    sigma: Tensor,
    exposure: float | Tensor,
    strength: float = 1.0,
) -> Tensor:
    """Denoise with a given network; see `denoise`."""
    if strength == 0:
        return planes.clone()
    frames = torch.as_tensor(exposure, dtype=planes.dtype)
    # A single figure stays one: maps cost time.
    frames = mirror_map(frames.reshape(1, 1, *(frames.shape or (1, 1))))
    encoding = VarianceStabilised(gain.view(1, 4, 1, 1), sigma.view(1, 4, 1, 1))
    state = encode_frame(encoding, mirror_beyond(planes), frames)
    clean = torch.empty_like(state[0])

    def write(rows: slice, estimate: Tensor) -> None:
        at = frames if frames.shape[-2] == 1 else frames[:, :, rows]
        clean[:, rows] = encoding.decode(estimate, at)[0]

    with torch.inference_mode():
        network.in_strips(state, 1 / torch.sqrt(frames), encoding.floor(frames), write)
        del state
        clean = agree_with_light(inside(clean), planes)
    return clean if strength == 1 else planes + strength * (clean - planes)


def encode_frame(encoding: VarianceStabilised, planes: Tensor, frames: Tensor) -> Tensor:
    """Transform `[4, h, w]` into `[1, 4, h, w]`, a band at a time: what is between fits the cache."""
    state = torch.empty_like(planes[None])
    for top in range(0, planes.shape[1], _BAND):
        rows = slice(top, top + _BAND)
        at = frames if frames.shape[-2] == 1 else frames[:, :, rows]
        state[:, :, rows] = encoding.encode(planes[None, :, rows], at)
    return state


def agree_with_light(clean: Tensor, planes: Tensor, block: int | None = None) -> Tensor:
    """Bring the means over `BLOCK` x `BLOCK` packed pixels to those of the light measured.

    Below an electron a pixel the network leans on what it has seen before by a few percent. The mean of a
    block is known to 1/64 of a pixel's noise, so the measured light is taken there, and nothing else changes.
    """
    if block is None:
        block = min(BLOCK, 1 << (min(planes.shape[-2:]).bit_length() - 1))
    agreed = [
        lowfreq(measured[None], torch.zeros(()), block)(estimate[None], torch.ones(()))
        for measured, estimate in zip(planes[:, None], clean[:, None], strict=True)
    ]
    return torch.cat(agreed)[:, 0]


@functools.cache
def network() -> StabilisedDenoiser:
    """The trained network of the package, loaded once."""
    found = load_network(WEIGHTS)
    assert isinstance(found, StabilisedDenoiser)
    return found
