"""The classical floor: the light of the scene estimated along its edges, exposures fused by it.

The illumination is the guided filter of the picture's own luminance (He, Sun & Tang, "Guided image
filtering", TPAMI 35(6), 2013), its coefficients settled on the small copy and enlarged (He & Sun, "Fast
guided filter", 2015). Where it is dim a longer exposure of the picture counts more, where it is bright a
shorter one: Mertens, Kautz & Van Reeth ("Exposure fusion", Pacific Graphics 2007), their well-exposedness
taken of the illumination instead of the pixel, so that detail keeps its contrast and no pyramid is needed.
All channels of a pixel share one gain: hue is kept exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawdiff.color.spaces import SPACES, SRGB_TRANSFER

Plane = NDArray[np.float64]

_LUMINANCE = tuple(float(y) for y in SPACES["srgb"].luminance())
_TABLE_STEPS = 2048
_TABLE_TOP = 4.0
"""Fourth root of the brightest illumination in the table, in means of the picture: 256 times its mean."""


@dataclass(frozen=True)
class LocalExposure:
    """Local exposure by an edge-preserving illumination estimate. A gain of the input changes nothing.

    Attributes:
        lightness: mean of the encoded luminance that the picture is brought to, that of photographs.
        radius: of the guided filter, as a share of the longer side.
        edge: contrast, in fourth roots of light, from which an edge is one of illumination.
        stops: shortest and longest exposure that is fused, from the picture's own [EV].
        spread: width of the well-exposedness, in encoded lightness (0.2 as published).
    """

    name: str = "local"
    lightness: float = 0.42
    radius: float = 1 / 12
    edge: float = 0.1
    stops: tuple[float, float] = (-1.0, 3.0)
    spread: float = 0.25

    def survey(self, small: Tensor, size: tuple[int, int], seed: int) -> LocalRelight:
        """Settle illumination and exposure; see `light.Enhancer.survey`. Nothing is drawn."""
        luminance = np.maximum(_weigh(small.double().numpy()), 0.0)
        mean = float(luminance.mean())
        guide = np.sqrt(np.sqrt(luminance / mean))
        slope, offset = guided_coefficients(guide, self._pixels(luminance.shape), self.edge**2)
        illumination = np.clip(slope * guide + offset, 0.0, _TABLE_TOP)
        exposure = self._choose_exposure(luminance / mean, illumination)
        steps = np.linspace(0.0, _TABLE_TOP, _TABLE_STEPS + 1)
        return LocalRelight(
            size=size,
            scale=1.0 / mean,
            slope=torch.from_numpy(slope.astype(np.float32)),
            offset=torch.from_numpy(offset.astype(np.float32)),
            gains=torch.from_numpy((self._fuse(steps, exposure) / mean).astype(np.float32)),
        )

    def _pixels(self, shape: tuple[int, ...]) -> int:
        return max(round(self.radius * max(shape)), 1)

    def _fuse(self, illumination: Plane, exposure: float) -> Plane:
        """Gain at each illumination (fourth roots): the mean exposure, weighed by how well each shows it."""
        light = illumination**4 * exposure
        total, weights = np.zeros_like(light), np.zeros_like(light)
        for stop in np.arange(self.stops[0], self.stops[1] + 0.25, 0.5):
            shown = SRGB_TRANSFER.encode(light * 2.0**stop)
            weight = np.exp(-0.5 * ((shown - 0.5) / self.spread) ** 2) + 1e-12
            total += weight * 2.0**stop
            weights += weight
        fused: Plane = exposure * total / weights
        return fused

    def _choose_exposure(self, luminance: Plane, illumination: Plane) -> float:
        """The exposure with which the fused picture has the mean lightness asked for, by bisection."""
        low, high = -8.0, 12.0
        for _ in range(40):
            middle = (low + high) / 2
            shown = luminance * self._fuse(illumination, 2.0**middle)
            if float(SRGB_TRANSFER.encode(np.minimum(shown, 1.0)).mean()) < self.lightness:
                low = middle
            else:
                high = middle
        return float(2.0 ** ((low + high) / 2))


@dataclass(frozen=True, eq=False)
class LocalRelight:
    """Gains of one picture as a function of its illumination; see `light.Relight`.

    Every step is exact arithmetic on single pixels, so bands give the bits of the whole.

    Attributes:
        size: rows and columns of the picture.
        scale: brings its mean luminance to 1.
        slope: of the illumination against the guide, on the small copy, `[h, w]`.
        offset: of it.
        gains: at evenly spaced fourth roots of the illumination.
    """

    size: tuple[int, int]
    scale: float
    slope: Tensor
    offset: Tensor
    gains: Tensor
    halo: int = 0

    def illumination(self, band: Tensor, top: int, bottom: int) -> Tensor:
        """Fourth root of the illumination of rows `top` to `bottom`, `[bottom - top, W]`, in means."""
        red, green, blue = _LUMINANCE
        light = ((band[0] * red + band[1] * green) + band[2] * blue).clamp_(min=0.0).mul_(self.scale)
        guide = light.sqrt_().sqrt_()
        slope = enlarge_rows(self.slope, self.size, top, bottom)
        return guide.mul_(slope).add_(enlarge_rows(self.offset, self.size, top, bottom))

    def apply(self, band: Tensor, top: int, bottom: int) -> Tensor:
        """Relight rows `top` to `bottom`; see `light.Relight.apply`."""
        steps = self.gains.shape[0] - 1
        place = self.illumination(band, top, bottom).clamp_(0.0, _TABLE_TOP).mul_(steps / _TABLE_TOP)
        index = place.to(torch.int32).clamp_(max=steps - 1)
        share = place.sub_(index)
        flat = index.reshape(-1)
        low = self.gains.index_select(0, flat).view(share.shape)
        rise = self.gains.diff().index_select(0, flat).view(share.shape)
        return band * rise.mul_(share).add_(low)


def guided_coefficients(guide: Plane, radius: int, noise: float) -> tuple[Plane, Plane]:
    """Coefficients a, b of the self-guided filter a I + b (He, Sun & Tang 2013, equations 5 and 6).

    Args:
        guide: `[h, w]`.
        radius: of the square window, cut at the picture's edges.
        noise: variance below which contrast is smoothed away (their epsilon).

    Returns:
        Mean slope and mean offset, `[h, w]` each.
    """
    mean = _box(guide, radius)
    variance = np.maximum(_box(guide * guide, radius) - mean * mean, 0.0)
    slope = variance / (variance + noise)
    return _box(slope, radius), _box((1.0 - slope) * mean, radius)


def enlarge_rows(small: Tensor, size: tuple[int, int], top: int, bottom: int) -> Tensor:
    """Rows `top` to `bottom` of a small map enlarged to `size`, bilinear between the centres of its pixels.

    Args:
        small: `[h, w]`.
        size: rows and columns of the whole.
        top: first row.
        bottom: the row after the last.

    Returns:
        `[bottom - top, W]`.
    """
    above, below, down = _neighbours(torch.arange(top, bottom), small.shape[0], size[0])
    left, right, across = _neighbours(torch.arange(size[1]), small.shape[1], size[1])
    start = small.index_select(0, above)
    rows = start + (small.index_select(0, below) - start) * down[:, None]
    start = rows.index_select(1, left)
    return start + (rows.index_select(1, right) - start) * across


def _neighbours(pixels: Tensor, short: int, long: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the small pixels around large ones, and how far each lies between them."""
    place = ((pixels.double() + 0.5) * short / long - 0.5).clamp(0.0, short - 1)
    low = place.long()
    return low, (low + 1).clamp(max=short - 1), (place - low).float()


def _box(plane: Plane, radius: int) -> Plane:
    """Mean over a square window, cut at the edges, by running sums."""
    for axis in (0, 1):
        length = plane.shape[axis]
        sums = np.insert(np.cumsum(plane, axis=axis), 0, 0.0, axis=axis)
        first = np.maximum(np.arange(length) - radius, 0)
        last = np.minimum(np.arange(length) + radius + 1, length)
        counts = (last - first).reshape((-1, 1) if axis == 0 else (1, -1))
        plane = (np.take(sums, last, axis=axis) - np.take(sums, first, axis=axis)) / counts
    return plane


def _weigh(rgb: Plane) -> Plane:
    red, green, blue = _LUMINANCE
    luminance: Plane = (rgb[0] * red + rgb[1] * green) + rgb[2] * blue
    return luminance
