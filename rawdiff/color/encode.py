"""Display encoding: linear display light to integers, through a table."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from rawdiff.color.spaces import Transfer

Depth = Literal[8, 16]

_STEPS = 4096
"""Intervals of the 16-bit table over the square root of light, which makes the encoding nearly straight:
linear interpolation is then within 0.02 counts of the formula."""

_FINE_STEPS = 16384
"""Entries of the 8-bit table, taken to the nearest: within 0.03 counts before rounding."""


class DisplayEncoder:
    """Encodes light 0..1 (clipped) as uint8 or uint16."""

    def __init__(self, transfer: Transfer, depth: Depth) -> None:
        self.depth = depth
        steps = _FINE_STEPS if depth == 8 else _STEPS
        table = transfer.encode((np.arange(steps + 2) / steps) ** 2)
        table = np.minimum(table, 1.0) * (2**depth - 1)
        self._steps = float(steps)
        if depth == 8:
            self._table = torch.from_numpy(np.floor(table + 0.5).astype(np.uint8))
        else:
            self._table = torch.from_numpy(table.astype(np.float32))
            self._rises = torch.from_numpy(np.diff(table, append=table[-1]).astype(np.float32))

    def __call__(self, light: torch.Tensor) -> torch.Tensor:
        """Encode a tensor of any shape; NaN becomes 0."""
        place = torch.nan_to_num(light, nan=0.0).clamp_(0.0, 1.0).sqrt_().mul_(self._steps)
        if self.depth == 8:
            return self._look_up(self._table, place.add_(0.5).to(torch.int32))
        index = place.to(torch.int32)
        share = place - index
        value = self._look_up(self._rises, index).mul_(share).add_(self._look_up(self._table, index))
        return value.add_(0.5).to(torch.int32).to(torch.uint16)

    @staticmethod
    def _look_up(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return table.index_select(0, index.reshape(-1)).view(index.shape)
