"""What the Anscombe op is: the root of the variance, and the tabulated exact unbiased inverse, in torch.

`rise` is what the constant of the root gains from no read noise to much of it: 0 as published, `table.RISE`
where the variance is to be level.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from rawdiff_kernels.anscombe.table import MIDDLE, Q_CELLS, TURN, V_CELLS, correction


def constant(read_variance: Tensor, rise: float) -> Tensor:
    """a(s^2) = 3/8 + rise s^2 / (7/4 + s^2), in electrons."""
    return 0.375 + rise * (read_variance / (TURN + read_variance))


def forward(x: Tensor, gain: Tensor, sigma: Tensor, rise: float) -> Tensor:
    """(2/K) sqrt(max(0, K x + a K^2 + sigma^2)); gain and sigma broadcast against x."""
    read_noise = sigma / gain
    floor = constant(read_noise * read_noise, rise) * gain * gain + sigma * sigma
    return (2.0 / gain) * (gain * x + floor).clamp_min(0.0).sqrt()


def inverse(z: Tensor, gain: Tensor, sigma: Tensor, rise: float) -> Tensor:
    """K (A + 1/4 - a - s^2 + H(v, q)), A = z^2 / 4, s = sigma / K; the table is bilinear in v and q."""
    read_noise = sigma / gain
    read_variance = read_noise * read_noise
    raised = constant(read_variance, rise)
    floor = raised + read_variance
    table = correction_like(z, rise)
    row, row_weight = _cell((0.375 / floor) * Q_CELLS, Q_CELLS)
    root = z.clamp_min(0.0)
    square = 0.25 * root * root
    middle = MIDDLE * floor
    column, column_weight = _cell((middle / (middle + square)) * V_CELLS, V_CELLS)
    left, right = (
        table[row, at] + row_weight * (table[row + 1, at] - table[row, at]) for at in (column, column + 1)
    )
    small = left + column_weight * (right - left)
    return gain * (square + ((0.25 - raised) - read_variance) + small)


def rows(gain: Tensor, sigma: Tensor, rise: float) -> Tensor:
    """H over v for each pair of gain and sigma [N]: [N, V_CELLS + 2]."""
    read_noise = sigma / gain
    read_variance = read_noise * read_noise
    floor = constant(read_variance, rise) + read_variance
    table = correction_like(gain, rise)
    row, weight = _cell((0.375 / floor) * Q_CELLS, Q_CELLS)
    return (table[row] + weight[:, None] * (table[row + 1] - table[row])).contiguous()


def correction_like(tensor: Tensor, rise: float) -> Tensor:
    """The table in the dtype and on the device of a tensor."""
    return _correction(tensor.dtype, tensor.device, rise)


@lru_cache(maxsize=8)
def _correction(dtype: torch.dtype, device: torch.device, rise: float) -> Tensor:
    return correction(rise).to(device=device, dtype=dtype)


def _cell(position: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """The node left of a position and the weight of the next one; NaN goes on in the weight."""
    node = torch.where(position < cells, position, cells).to(torch.int64)
    return node, position - node
