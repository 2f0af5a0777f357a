"""How far an estimate is from the truth. Nothing is rescaled by its reference unless a name says so."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

_C1, _C2 = 0.01**2, 0.03**2

PATTERN_PERIODS = (2, 4, 8, 16, 32)
BRIGHTNESS_EDGES_E = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


def psnr(estimate: Tensor, clean: Tensor) -> float:
    """Peak signal-to-noise ratio in dB at peak 1; infinite where they are equal."""
    error = float((estimate.double() - clean.double()).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(estimate: Tensor, clean: Tensor) -> float:
    """Structural similarity at range 1, mean over planes `[C, h, w]`.

    Gaussian window of 11x11, sigma 1.5, the border of 5 pixels left out, population variances
    (Wang, Bovik, Sheikh and Simoncelli, TIP 2004).

    Raises:
        ValueError: planes smaller than the window.
    """
    if min(clean.shape[-2:]) < 11:
        raise ValueError(f"SSIM needs planes of at least 11x11, not {tuple(clean.shape[-2:])}")
    x, y = estimate.double(), clean.double()
    mean_x, mean_y = _window(x), _window(y)
    var_x = _window(x * x) - mean_x**2
    var_y = _window(y * y) - mean_y**2
    both = _window(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _C1) * (2 * both + _C2)
    return float((likeness / ((mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2))).mean())


def _window(planes: Tensor) -> Tensor:
    at = torch.arange(-5, 6, dtype=planes.dtype)
    weights = torch.exp(-(at**2) / (2 * 1.5**2))
    weights = (weights / weights.sum()).view(1, 1, 1, 11)
    across = F.conv2d(planes[:, None], weights)
    return F.conv2d(across, weights.transpose(2, 3))[:, 0]


def pattern_share(residual: Tensor) -> float:
    """Largest share of a residual's power at one frequency of a grid: what shows as a pattern.

    Grids are those of the CFA, of a network's stem and of its pooling: periods of 2, 4, 8, 16 and 32 pixels
    down and across; the mean is no pattern. White noise on n pixels has about 10 / n.

    Args:
        residual: estimate minus truth of a flat field's mosaic, `[H, W]`, sides of whole periods.

    Raises:
        ValueError: sides that are not multiples of 32.
    """
    height, width = residual.shape
    if height % PATTERN_PERIODS[-1] or width % PATTERN_PERIODS[-1]:
        raise ValueError(f"a residual has whole periods of {PATTERN_PERIODS[-1]}, not {height}x{width}")
    centred = residual.double() - residual.double().mean()
    power = torch.fft.fft2(centred).abs() ** 2
    shares = []
    for period in PATTERN_PERIODS:
        lattice = power[:: height // period, :: width // period].clone()
        lattice[0, 0] = 0
        shares.append(float(lattice.max() / power.sum()))
    return max(shares)


def align_brightness(estimate: Tensor, clean: Tensor) -> Tensor:
    """Scale an estimate by the least-squares gain against its reference.

    For the second, labelled column of a table only: papers of this field report it, and it hides
    errors of exposure.
    """
    gain = float(
        (estimate.double() * clean.double()).sum() / estimate.double().square().sum().clamp(min=1e-12)
    )
    return estimate * gain


@dataclass
class BrightnessBias:
    """Mean error per brightness of the truth, gathered over frames.

    A bin's bias is relative to its mean light; its standard error is of block means, since errors of
    neighbouring pixels go together.
    """

    edges_e: tuple[float, ...] = BRIGHTNESS_EDGES_E
    block: int = 16
    _found: list[list[tuple[float, float, float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._found = [[] for _ in self.edges_e[:-1]]

    def add(self, estimate_e: Tensor, clean_e: Tensor) -> None:
        """Add planes `[C, h, w]` in electrons."""
        for number, (low, high) in enumerate(zip(self.edges_e[:-1], self.edges_e[1:], strict=True)):
            inside = ((clean_e >= low) & (clean_e < high)).to(torch.float32)
            count = F.avg_pool2d(inside[None], self.block, ceil_mode=True)[0]
            error = F.avg_pool2d(((estimate_e - clean_e) * inside)[None], self.block, ceil_mode=True)[0]
            light = F.avg_pool2d((clean_e * inside)[None], self.block, ceil_mode=True)[0]
            chosen = count > 0
            rows = zip(error[chosen].tolist(), light[chosen].tolist(), count[chosen].tolist(), strict=True)
            self._found[number].extend(rows)

    def table(self) -> list[dict[str, float]]:
        """One row a bin that was seen: edges, relative bias, its standard error, number of blocks."""
        rows = []
        for number, found in enumerate(self._found):
            if len(found) < 2:
                continue
            error, light, _ = torch.tensor(found, dtype=torch.float64).T
            bias = float(error.sum() / light.sum())
            scatter = (error - bias * light).square().sum().sqrt() / light.sum()
            rows.append(
                {
                    "from_e": self.edges_e[number],
                    "to_e": self.edges_e[number + 1],
                    "bias": bias,
                    "standard_error": float(scatter),
                    "blocks": float(len(found)),
                }
            )
        return rows
