"""Running a denoiser over frames that do not fit: tiles inside every step, never tiles of a trajectory.

The noise, the state and the consistency hooks are those of the whole frame; only D is evaluated in tiles.
With a halo of at least the network's receptive field, tiled equals untiled, and no seam can grow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rawdiff.diffusion.denoiser import Denoiser
from rawdiff.tiles import plan_tiles


@dataclass(frozen=True)
class TiledDenoiser:
    """A denoiser that is evaluated tile by tile.

    Attributes:
        denoise: D(x, sigma), local within `halo` pixels.
        size: side of a tile's inner part.
        halo: pixels read around it; at least the receptive field.
        align: grid on which the denoiser repeats (the pooling factor of a network).
    """

    denoise: Denoiser
    size: int
    halo: int
    align: int = 1

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D(x, sigma) for `x` `[..., H, W]`; a sigma map is cut like x."""
        height, width = x.shape[-2:]
        out = torch.empty_like(x)
        for tile in plan_tiles(height, width, self.size, self.halo, self.align):
            rows, columns = tile.outer
            level = sigma[..., rows, columns] if sigma.ndim >= 2 else sigma
            part = self.denoise(x[..., rows, columns], level)
            inside_rows, inside_columns = tile.inner_in_outer
            rows, columns = tile.inner
            out[..., rows, columns] = part[..., inside_rows, inside_columns]
        return out
