"""What the Anscombe op is: the root of the variance, and the tabulated exact unbiased inverse, in torch."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from rawdiff_kernels.anscombe.table import Q_CELLS, V_CELLS, correction


def forward(x: Tensor, gain: Tensor, sigma: Tensor) -> Tensor:
    """(2/K) sqrt(max(0, K x + 3/8 K^2 + sigma^2)); gain and sigma broadcast against x."""
    variance = gain * x + (0.375 * gain * gain + sigma * sigma)
    return (2.0 / gain) * variance.clamp_min(0.0).sqrt()


def inverse(z: Tensor, gain: Tensor, sigma: Tensor) -> Tensor:
    """K (A - 1/8 - s^2 + H(v, q)), A = z^2 / 4, s = sigma / K; the table is bilinear in v and q."""
    read_noise = sigma / gain
    floor = 0.375 + read_noise * read_noise
    table = correction_like(z)
    row, row_weight = _cell((0.375 / floor) * Q_CELLS, Q_CELLS)
    root = z.clamp_min(0.0)
    square = 0.25 * root * root
    column, column_weight = _cell((floor / (floor + square)) * V_CELLS, V_CELLS)
    left, right = (
        table[row, at] + row_weight * (table[row + 1, at] - table[row, at]) for at in (column, column + 1)
    )
    small = left + column_weight * (right - left)
    return gain * (square + (-0.125 - read_noise * read_noise) + small)


def rows(gain: Tensor, sigma: Tensor) -> Tensor:
    """H over v for each pair of gain and sigma [N]: [N, V_CELLS + 2]."""
    read_noise = sigma / gain
    floor = 0.375 + read_noise * read_noise
    table = correction_like(gain)
    row, weight = _cell((0.375 / floor) * Q_CELLS, Q_CELLS)
    return (table[row] + weight[:, None] * (table[row + 1] - table[row])).contiguous()


def correction_like(tensor: Tensor) -> Tensor:
    """The table in the dtype and on the device of a tensor."""
    return _correction(tensor.dtype, tensor.device)


@lru_cache(maxsize=8)
def _correction(dtype: torch.dtype, device: torch.device) -> Tensor:
    return correction().to(device=device, dtype=dtype)


def _cell(position: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """The node left of a position and the weight of the next one; NaN goes on in the weight."""
    node = torch.where(position < cells, position, cells).to(torch.int64)
    return node, position - node
