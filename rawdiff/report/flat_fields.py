"""Flat grey through a denoiser: is its mean the light's, and does the sensor's grid show?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rawdiff.raw.frame import plane_sites
from rawdiff.report.metrics import pattern_share

LEVELS_E = (0.5, 5.0, 50.0, 500.0)
READ_NOISE_E = 2.0
SIDE = 512

Denoise = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]


@dataclass(frozen=True)
class FlatFigures:
    """One method at one level of light.

    Attributes:
        method: its name.
        level_e: light of every pixel.
        bias: relative error of the mean.
        standard_error: what the noise of the input alone makes of it.
        pattern: largest share of the residual's power at one frequency of the sensor's grid or of tiles.
    """

    method: str
    level_e: float
    bias: float
    standard_error: float
    pattern: float


def measure_flats(
    methods: dict[str, Denoise], levels_e: Sequence[float] = LEVELS_E, side: int = SIDE
) -> list[FlatFigures]:
    """Denoise flat grey of `side` x `side` packed pixels, read noise 2 electrons, by every method."""
    gain = torch.full((4,), 1 / 3000)
    found = []
    for number, level in enumerate(levels_e):
        generator = torch.Generator().manual_seed(number)
        counts = torch.poisson(torch.full((4, side, side), level), generator=generator)
        noisy_e = counts + READ_NOISE_E * torch.randn(counts.shape, generator=generator)
        error = ((level + READ_NOISE_E**2) / noisy_e.numel()) ** 0.5
        for name, denoise in methods.items():
            clean_e = denoise(noisy_e * gain.view(4, 1, 1), gain, READ_NOISE_E * gain, 1.0, 1.0) * 3000
            bias = float(clean_e.double().mean()) / level - 1
            found.append(
                FlatFigures(name, level, bias, error / level, pattern_share(_mosaic(clean_e - level)))
            )
    return found


def _mosaic(planes: Tensor) -> Tensor:
    _, height, width = planes.shape
    mosaic = torch.empty(2 * height, 2 * width)
    for plane, (row, column) in zip(planes, plane_sites("RGGB"), strict=True):
        mosaic[row::2, column::2] = plane
    return mosaic
