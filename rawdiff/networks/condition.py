"""What a network is told besides the picture: noise map, level of light, read noise."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

BLUR_REACH = 3
_BINOMIAL = (1 / 64, 6 / 64, 15 / 64, 20 / 64, 15 / 64, 6 / 64, 1 / 64)

STABILISED_CHANNELS = 16
ORIGIN_CHANNELS = 4


class Origin(NamedTuple):
    """What a walk started from: the photograph as state `[B, 4, h, w]`, its noise map and floor then."""

    state: Tensor
    sigma: Tensor
    floor: Tensor

    def rows(self, rows: slice) -> Origin:
        """Some rows of it."""
        return Origin(*(take_rows(figure, rows) for figure in self))


def blur(planes: Tensor) -> Tensor:
    """Binomial 7x7 blur of each plane, `[..., h, w]`; the edge is repeated."""
    for dim in (-1, -2):
        length = planes.shape[dim]
        reach = (3, 3, 0, 0) if dim == -1 else (0, 0, 3, 3)
        padded = F.pad(planes, reach, mode="replicate")
        # Slices, not a convolution: with one channel a group that is twice as slow.
        planes = padded.narrow(dim, 3, length) * _BINOMIAL[3]
        for tap, weight in enumerate(_BINOMIAL[:3]):
            for start in (tap, 6 - tap):
                planes = planes.add_(padded.narrow(dim, start, length), alpha=weight)
    return planes


def stabilised_features(state: Tensor, base: Tensor, sigma: Tensor, floor: Tensor, stem: int) -> Tensor:
    """Features in units of the noise, so that one network serves every camera and noise level.

    Args:
        state: variance-stabilised planes, `[B, 4, h, w]`.
        base: their blur.
        sigma: standard deviation of the noise in `state`, broadcastable to it, above 0.
        floor: the transform of no light, broadcastable to it.
        stem: pixels of a side of the cells that the network sees.

    Returns:
        `[B, 16 stem^2, h/stem, w/stem]`: detail and level of light in standard deviations (the level
        compressed), the logarithms of the noise map and of the floor, which tells the read noise; the
        pixels of a cell follow one another as `pixel_unshuffle` has them.
    """
    detail = (state - base) / sigma
    level = torch.log1p(F.relu((base - floor) / sigma))
    told = (detail, level, torch.log(sigma), torch.log1p(floor))
    return torch.cat([_into_cells(figure, state, stem) for figure in told], dim=1)


def origin_features(origin: Origin, base: Tensor, floor: Tensor, stem: int) -> Tensor:
    """How the photograph differs from the blur of the state, in standard deviations of its own noise.

    The floor has fallen since, so the light of the blur is transformed as it would have been at the start.
    """
    light = torch.addcmul(-floor.square(), base, base).clamp_(min=0)
    return F.pixel_unshuffle((origin.state - (light + origin.floor.square()).sqrt_()) / origin.sigma, stem)


def _into_cells(figure: Tensor, state: Tensor, stem: int) -> Tensor:
    """Unshuffle a map; a figure that is one for the frame is the same in every cell."""
    batch, planes, height, width = state.shape
    if figure.shape[-2:] != (1, 1):
        return F.pixel_unshuffle(figure.expand(state.shape), stem)
    cells = figure.expand(batch, planes, 1, 1).repeat_interleave(stem**2, dim=1)
    return cells.expand(-1, -1, height // stem, width // stem)


def spread_over(figure: Tensor, state: Tensor) -> Tensor:
    """Extend a map to the size of the padded state; a scalar or a per-plane figure stays as it is."""
    if figure.ndim < 2 or figure.shape[-2:] in ((1, 1), state.shape[-2:]):
        return figure.reshape((1,) * (4 - figure.ndim) + figure.shape)
    right, down = state.shape[-1] - figure.shape[-1], state.shape[-2] - figure.shape[-2]
    leading = figure.reshape(-1, 1, *figure.shape[-2:])
    padded = F.pad(leading, (0, right, 0, down), mode="replicate")
    return padded.reshape(*figure.shape[:-2], *state.shape[-2:])


def take_rows(figure: Tensor, rows: slice, width: int | None = None) -> Tensor:
    """Rows of a map; a figure that is one for the frame stays as it is."""
    return figure if figure.shape[-2:] == (1, 1) else figure[..., rows, :width]
