"""Hooks that bring an estimate x0 back to what was measured; chainable, each with the noise per pixel.

A hook is `correct(x0, level) -> x0`, `level` the standard deviation of the noise that x0 was estimated
under (a number or a map). `measured` is 1 where a pixel was measured, 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

Hook = Callable[[Tensor, Tensor], Tensor]


def chain(hooks: Sequence[Hook]) -> Hook:
    """Apply hooks one after another."""

    def correct(x0: Tensor, level: Tensor) -> Tensor:
        for hook in hooks:
            x0 = hook(x0, level)
        return x0

    return correct


def project(y: Tensor, measured: Tensor) -> Hook:
    """m y + (1 - m) x0: noiseless measurements are taken as they are (DDNM, Wang et al. 2023)."""

    def correct(x0: Tensor, level: Tensor) -> Tensor:
        return measured * y + (1 - measured) * x0

    return correct


def wiener(y: Tensor, variance: Tensor, measured: Tensor | float = 1.0, trust: float = 1.0) -> Hook:
    """Diagonal proximal step: (y m/v + x0/q) / (m/v + 1/q), q = level^2 / trust.

    The posterior mean where the covariance of x0 is q (DiffPIR's data step with a variance per pixel).
    """

    def correct(x0: Tensor, level: Tensor) -> Tensor:
        q = level**2 / trust
        gain = measured * q / (measured * q + variance)
        return x0 + gain * (y - x0)

    return correct


def pg_prox(y: Tensor, gain: Tensor, variance: Tensor, trust: float = 1.0) -> Hook:
    """Proximal step of the shifted-Poisson likelihood, in closed form and positive after the shift.

    With b the signal-independent variance and a the gain, x' = x + b/a and y' = y + b/a (y' at least 0), the
    minimiser of (x' - y' log x') / a + (x' - x0')^2 / (2 q) is
    x' = ((x0' - q/a) + sqrt((x0' - q/a)^2 + 4 q y'/a)) / 2.

    Args:
        y: measurement, linear.
        gain: a, in the unit of y per electron.
        variance: b, of the signal-independent noise.
        trust: q = level^2 / trust.
    """
    shift = variance / gain

    def correct(x0: Tensor, level: Tensor) -> Tensor:
        q = level**2 / trust
        lean = x0 + shift - q / gain
        count = (y + shift).clamp(min=0)
        root = (lean**2 + 4 * q * count / gain).sqrt()
        # The other form of the same root where lean is negative, so that nothing cancels.
        other = 2 * q * count / gain / (root - lean).clamp(min=torch.finfo(root.dtype).tiny)
        return torch.where(lean >= 0, (lean + root) / 2, other) - shift

    return correct


def lowfreq(y: Tensor, variance: Tensor, block: int) -> Hook:
    """Block means agree with the light measured: x0 + up(q / (q + v) (mean_B y - mean_B x0)), bilinear up.

    `variance` is of the measurement, a map or a number; `v` is that of a block's mean, `q` level^2 per
    block pixel. Sizes that are not multiples of `block` use the whole blocks and extend them.

    Raises:
        ValueError: a block larger than the image.
    """
    if block < 1 or min(y.shape[-2:]) < block:
        raise ValueError(f"no block of {block} pixels in an image of {tuple(y.shape[-2:])}")
    count = float(block * block)

    def of_blocks(square: Tensor) -> Tensor:
        """Variance of a block's mean; one figure is the same in every block."""
        return (square if square.ndim == 0 else avg_pool2d(square.expand_as(y), block)) / count

    block_variance = of_blocks(torch.as_tensor(variance, dtype=y.dtype))

    def correct(x0: Tensor, level: Tensor) -> Tensor:
        q = of_blocks(level**2)
        shift = q / (q + block_variance) * avg_pool2d(y - x0, block)
        size = (shift.shape[-2] * block, shift.shape[-1] * block)
        grown = interpolate(shift, size=size, mode="bilinear", align_corners=False)
        missing = (0, x0.shape[-1] - size[1], 0, x0.shape[-2] - size[0])
        return torch.nn.functional.pad(grown, missing, mode="replicate").add_(x0)

    return correct
