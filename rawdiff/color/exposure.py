"""Setting the exposure from the picture: one number for the frame, found on a small copy of it."""

from __future__ import annotations

import numpy as np
import torch

from rawdiff.color.spaces import Matrix
from rawdiff.color.tone import filmic

_TARGET_LIGHTNESS = 0.43
"""Mean of the encoded luminance that the eye calls well exposed."""

_BRIGHT_QUANTILE = 0.99
_BRIGHT_RANGE = (1.4, 3.5)
"""Scene light that the brightest hundredth of the picture begins at: white walls and snow are to be white,
and lamps in the night are not to drive the night up."""

_SEARCH_EV = (-8.0, 12.0)
"""Beyond twelve stops the mean is below one count of a 14-bit camera: there is no picture to lift."""

_PICTURE_SNR = 4.0
"""Mean over noise of the small copy; photographs, busy foliage included, have more (measured: 4.6 and up)."""
_SMALLEST_LIGHT = 1e-7


def make_thumbnail(image: torch.Tensor, side: int = 512) -> torch.Tensor:
    """Small camera RGB `[3, h, w]` of a frame, by means over whole blocks.

    The blocks lie on a grid fixed at the frame's corner, so that the copy does not depend on tiles.

    Args:
        image: camera RGB `[3, h, w]` or packed raw `[4, h, w]` (R, Gr, Gb, B).
        side: the longer side has at most twice this.
    """
    height, width = image.shape[1:]
    block = max(1, min(max(height, width) // side, height, width))
    rows, columns = height // block * block, width // block * block
    sums = torch.zeros((image.shape[0], rows // block, columns), dtype=torch.float64)
    for k in range(block):
        sums += image[:, k:rows:block, :columns]
    small = torch.zeros(sums[:, :, ::block].shape, dtype=torch.float64)
    for k in range(block):
        small += sums[:, :, k::block]
    small = (small / block**2).float()
    return small if image.shape[0] == 3 else torch.stack((small[0], 0.5 * (small[1] + small[2]), small[3]))


def choose_exposure(luminance: torch.Tensor) -> float:
    """Exposure [EV] that makes a picture of this luminance look right through the filmic curve.

    The mean lightness is brought to that of a well exposed photograph, as far as the brightest hundredth
    of the picture then lies where whites belong: snow stays white, and a night with lamps stays a night.
    A frame that is mostly noise is lifted the less, the less light is in it.

    Args:
        luminance: linear luminance of the small picture `[h, w]`, sensor white 1; negatives count as 0.
    """
    light = np.sort(np.maximum(luminance.double().reshape(-1).numpy(), 0.0))
    if light.size == 0 or not light[-1] > _SMALLEST_LIGHT:
        return 0.0
    low, high = _SEARCH_EV
    for _ in range(40):
        middle = (low + high) / 2
        if _lightness(light * 2.0**middle) < _TARGET_LIGHTNESS:
            low = middle
        else:
            high = middle
    bright = max(float(np.quantile(light, _BRIGHT_QUANTILE)), _SMALLEST_LIGHT)
    least, most = (float(np.log2(limit / bright)) for limit in _BRIGHT_RANGE)
    chosen = min(max((low + high) / 2, least), most, _SEARCH_EV[1])
    return chosen + 2 * float(np.log2(min(_signal_to_noise(luminance) / _PICTURE_SNR, 1.0)))


def _lightness(light: Matrix) -> float:
    """Mean lightness of the rendered picture, 0..1: CIE 1976 L* without its linear foot."""
    shown = filmic(torch.from_numpy(light)).numpy()
    return float(np.mean(np.maximum(1.16 * np.cbrt(shown) - 0.16, 0.0)))


def _signal_to_noise(luminance: torch.Tensor) -> float:
    """Mean over the noise, the latter from the median step between neighbours; at least 1/16."""
    light = luminance.double()
    steps = torch.cat([torch.diff(light, dim=dim).abs().reshape(-1) for dim in (0, 1)]).numpy()
    # The median of |a - b| is 0.6745 sqrt(2) standard deviations of Gaussian noise.
    noise = float(np.median(steps)) / (0.6745 * 2**0.5) if steps.size else 0.0
    mean = max(float(light.mean()), 0.0)
    return max(mean / noise, 1 / 16) if noise > 0 else float("inf")
