"""Denoising an ordinary picture with what was made for mosaics: the picture is taken for four of them.

A rendered picture holds three colours at every pixel, and its noise is that of neighbours mixed by
demosaicing and compression: finest noise is weaker than what a sensor leaves, coarser noise stronger. So
the linearised picture is sampled by the CFA in each of its four phases, as a sensor would have seen it.
Samples of one colour are then two pixels apart, where little correlation is left; each mosaic is what the
recipes know; and together the four hold every sample, green twice. The noise is estimated in the picture
itself, on the same lattice. What remains: noise coarser than two pixels counts as picture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rawdiff_calibration.noise import NoiseModel
from scipy.optimize import nnls
from torch import Tensor
from torch.nn.functional import pad

from rawdiff.pipeline.denoise import denoise_frame
from rawdiff.raw.frame import CfaPhase, FrameTags, Levels, RawFrame, Source, plane_sites
from rawdiff.recipes.catalog import Recipe
from rawdiff.simulate.scene import mosaic, pack

PHASES: tuple[CfaPhase, ...] = ("RGGB", "GRBG", "GBRG", "BGGR")
_WHITE = 65535.0
"""The linearised picture is counted in steps of 16 bits: the noise model's DN."""
_BLOCK = 8
"""Side of the blocks in samples of one colour."""
_QUARTILE = 0.744
"""Lower quartile of a chi-square of the 16 degrees of freedom of a block, over its mean."""
_LEVELS_OF_LIGHT, _FEWEST = 12, 24
_LEAST = 1e-3
_SOURCE = Source(Path(), "", "picture")
_LEVELS = Levels(np.zeros((2, 2)), np.full((2, 2), _WHITE))


def estimate_picture_noise(linear: Tensor) -> NoiseModel:
    """Estimate Var = K light + floor of a linearised picture `[3, H, W]`, in DN of 1/65535.

    The blind estimate of raw files looks for blocks without texture by what its four planes share; rendering
    has mixed the planes, so pictures have an estimate of their own: the variance of the diagonal Haar band
    in blocks of the lattice, its lower quartile among blocks of one level of light (quiet blocks show the
    noise, the others texture too), and a line through the levels, each weighed by its own variance.
    """
    levels, variances = [], []
    for plane in pack(mosaic(_even(linear))).double().numpy() * _WHITE:
        if min(plane.shape) < 2 * _BLOCK:
            continue
        light, noise = _block_figures(plane)
        order = np.argsort(light, kind="stable")
        for group in np.array_split(order, min(_LEVELS_OF_LIGHT, max(order.size // _FEWEST, 1))):
            levels.append(float(light[group].mean()))
            variances.append(float(np.quantile(noise[group], 0.25)) / _QUARTILE)
    if not levels:
        return NoiseModel.uniform(_LEAST, _LEAST)
    x, variance = np.maximum(levels, 0.0), np.maximum(variances, _LEAST)
    gain, floor = nnls(np.stack([x / variance, 1.0 / variance], axis=1), np.ones_like(variance))[0]
    return NoiseModel.uniform(max(float(gain), _LEAST), float(np.sqrt(max(floor, _LEAST))))


def _block_figures(plane: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean light and variance of the diagonal Haar band in every block of a plane, `[n]` each."""
    rows, columns = (length // _BLOCK * _BLOCK for length in plane.shape)
    cut = plane[:rows, :columns]
    diagonal = (cut[0::2, 0::2] - cut[0::2, 1::2] - cut[1::2, 0::2] + cut[1::2, 1::2]) / 2
    return _block_means(cut, _BLOCK), _block_means(diagonal**2, _BLOCK // 2)


def _block_means(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    rows, columns = (length // side for length in values.shape)
    means: NDArray[np.float64] = values.reshape(rows, side, columns, side).mean(axis=(1, 3)).ravel()
    return means


def denoise_picture(
    linear: Tensor,
    recipe: Recipe,
    strength: float = 1.0,
    noise: NoiseModel | None = None,
    on_fraction: Callable[[float], None] | None = None,
) -> Tensor:
    """Denoise a linearised picture.

    Args:
        linear: `[3, H, W]`, 1 is white.
        recipe: how mosaics are denoised.
        strength: from 0 to 1.
        noise: the picture's, in DN of 1/65535; found in the picture where None.
        on_fraction: told how much is done, from 0 to 1.

    Returns:
        `[3, H, W]`.
    """
    model = noise or estimate_picture_noise(linear)
    whole = _even(linear)
    clean = torch.zeros_like(whole)
    for number, phase in enumerate(PHASES):
        frame = RawFrame(
            _as_dn(mosaic(whole, phase)), phase, _LEVELS, FrameTags(), Source(Path(), "", "picture")
        )
        seen = denoise_frame(frame, model, recipe, strength)
        red, *greens, blue = plane_sites(phase)
        for channel, sites, share in ((0, [red], 1.0), (1, greens, 0.5), (2, [blue], 1.0)):
            for row, column in sites:
                clean[channel, row::2, column::2] += share * seen[row::2, column::2]
        if on_fraction is not None:
            on_fraction((number + 1) / len(PHASES))
    return clean[:, : linear.shape[1], : linear.shape[2]]


def _as_dn(values: Tensor) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = (values * _WHITE).numpy()
    return scaled


def _even(linear: Tensor) -> Tensor:
    """The picture with its last row and column repeated where their number is odd."""
    down, right = linear.shape[1] % 2, linear.shape[2] % 2
    return pad(linear[None], (0, right, 0, down), mode="replicate")[0] if down or right else linear
