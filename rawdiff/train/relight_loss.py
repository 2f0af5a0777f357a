"""What training the wavelet enhancer minimises: noise, light, detail and content, after the whole roll-out.

DiffLL's losses (Jiang et al. 2023, section 3.4 and the authors' released weights): the noise of a random
time; the average band, the detail bands and the picture that the full walk ends at, gradients through every
step, which is what takes the walk's diversity away. How much light a picture wants is a matter of its own:
its error moves the level law alone, and the rest is judged at the level that law had set before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rawdiff_kernels import haar
from torch import Generator, Tensor

from rawdiff.enhance.carry import encode_light
from rawdiff.enhance.wavelet import (
    LEVELS,
    Relit,
    denoiser_of,
    gain_after,
    luminance,
    relight,
    wavelet_process,
)
from rawdiff.networks.relight import CHANGE_STD, WaveletRelight
from rawdiff.train.relighting import LightPair

DETAIL_WEIGHT, VARIATION_WEIGHT = 0.1, 0.01

NORMAL_FROM = 0.1
"""Mean light of a photograph below which it shows a night, and not how bright normal light is."""


def relight_loss(network: WaveletRelight, pair: LightPair, generator: Generator) -> tuple[Tensor, Tensor]:
    """One step's loss, and the mean squared error of the relit picture, in encoded light."""

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    with torch.no_grad():
        before = network.level(luminance(pair.dark)).exp()
    right = luminance(pair.normal).mean(dim=(1, 2)) / luminance(pair.dark).mean(dim=(1, 2))
    encoded = encode_light(pair.dark * before[:, None, None, None])
    target = encode_light(pair.normal * (before / right)[:, None, None, None])
    relit = relight(network, encoded, noise)
    off = gain_after(network, relit) - (right / before).log()
    light = haar.forward(2 * target - 1, LEVELS)
    condition = haar.forward(2 * encoded - 1, LEVELS).average
    total = (
        level_loss(off, pair.normal)
        + noise_loss(network, light.average, condition, generator)
        + (relit.average - light.average).square().mean()
        + detail_loss(relit, light)
        + content_loss((relit.picture + 1) / 2, target)
    )
    return total, ((relit.picture.detach() + 1) / 2 - target).square().mean()


def level_loss(off: Tensor, normal: Tensor) -> Tensor:
    """Mean |log of gain chosen / gain right|, of photographs that are not themselves dark."""
    counts = luminance(normal).mean(dim=(1, 2)) >= NORMAL_FROM
    return (off.abs() * counts).sum() / counts.sum().clamp(min=1)


def noise_loss(network: WaveletRelight, clean: Tensor, condition: Tensor, generator: Generator) -> Tensor:
    """Squared error of the noise at antithetic random times, its weight held where little noise is left.

    An error d of the estimate is an error d / sigma of the noise. Where the noise is less than the change of
    light, 1 / sigma^2 is held (min-SNR weighting, Hang et al., ICCV 2023): the walk has arrived there.
    """
    alpha_bar = wavelet_process().alpha_bar
    count = alpha_bar.shape[0]
    half = torch.randint(count, ((clean.shape[0] + 1) // 2,), generator=generator)
    times = torch.cat([half, count - 1 - half])[: clean.shape[0]]
    kept = alpha_bar[times].to(clean.dtype)[:, None, None, None]
    sigma = ((1 - kept) / kept).sqrt()
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    error = denoiser_of(network, condition)(noisy, sigma) - clean
    weight = 1 / sigma.square().clamp(min=CHANGE_STD**2)
    return (weight * error.square()).mean()


def detail_loss(relit: Relit, light: haar.Coefficients) -> Tensor:
    """0.1 (MSE of the bands and of the first average) + 0.01 (their total variation)."""
    sizes = light.details[0].shape[-2:]
    first = haar.inverse(haar.Coefficients(relit.average, relit.details[1:], (sizes[0], sizes[1])))
    wanted = haar.inverse(haar.Coefficients(light.average, light.details[1:], (sizes[0], sizes[1])))
    found, right = [*relit.details, first], [*light.details, wanted]
    squared = sum(((a - b).square().mean() for a, b in zip(found, right, strict=True)), torch.zeros(()))
    return DETAIL_WEIGHT * squared + VARIATION_WEIGHT * total_variation(found)


def total_variation(planes: Sequence[Tensor]) -> Tensor:
    """Twice the mean squared step down plus twice that across, summed over `planes` `[..., h, w]`."""
    total = torch.zeros(())
    for band in planes:
        down, across = band.diff(dim=-2), band.diff(dim=-1)
        total = total + 2 * (down.square().mean() + across.square().mean())
    return total


def content_loss(picture: Tensor, target: Tensor) -> Tensor:
    """L1 + 1 - SSIM (11x11, range 1) of pictures clipped to [0, 1]."""
    from kornia.metrics import ssim

    shown, right = picture.clamp(0, 1), target.clamp(0, 1)
    return (shown - right).abs().mean() + 1 - ssim(shown, right, 11, padding="valid").mean()
