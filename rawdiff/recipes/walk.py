"""What a recipe that walks in steps is told besides the photograph, and how it asks its network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rawdiff.diffusion.denoiser import Denoiser
from rawdiff.networks.condition import Origin
from rawdiff.networks.stabilised import Estimate, StabilisedDenoiser, StabilisedNetwork
from rawdiff.networks.strips import Writer
from rawdiff.tiles import plan_tiles


@dataclass(frozen=True)
class Walk:
    """Choices that shape the result, and a cut that does not.

    Attributes:
        steps: evaluations of the network in one walk; the recipe's own number where None.
        samples: walks whose mean is taken; the recipe's own number where None.
        seed: of everything that is drawn.
        tile: rows and columns, in packed pixels, in which the network is evaluated at every step; whole
            where None.
    """

    steps: int | None = None
    samples: int | None = None
    seed: int = 0
    tile: tuple[int, int] | None = None


def estimate_state(
    network: StabilisedNetwork[Estimate],
    state: Tensor,
    sigma: Tensor,
    floor: Tensor,
    tile: tuple[int, int] | None,
    read: Callable[[Estimate], Tensor],
    origin: Origin | None = None,
) -> Tensor:
    """Estimate the noise-free state of a frame: `read(network(state, sigma, floor))` in strips and tiles.

    Args:
        network: in inference.
        state: `[1, 4, h, w]`, variance-stabilised.
        sigma: standard deviation of its noise, `[1, 1 or 4, 1 or h, 1 or w]`.
        floor: transform of no light, of such a shape too.
        tile: rows and columns of a tile in packed pixels; whole where None.
        read: the state in what the network answers.
        origin: what the walk started from, for a network that is shown it.

    Returns:
        `[1, 4, h, w]`.
    """
    height, width = state.shape[-2:]
    clean = torch.empty_like(state)
    for part in plan_tiles(height, width, tile or (height, width), network.halo, network.align):
        write = _paste(clean[(..., *part.inner)], part.inner_in_outer, read)
        beside = None if origin is None else Origin(*(_cut(figure, part.outer) for figure in origin))
        told = _cut(sigma, part.outer), _cut(floor, part.outer)
        network.in_strips(state[(..., *part.outer)], *told, write, beside)
    return clean


def as_denoiser(network: StabilisedDenoiser, floor: Tensor, tile: tuple[int, int] | None = None) -> Denoiser:
    """The network as D(x, sigma), for samplers that work in the stabilised domain.

    Args:
        network: as `mmse.network()` returns it.
        floor: transform of no light, `[1, 1 or 4, 1 or h, 1 or w]` (`VarianceStabilised.floor`).
        tile: rows and columns in which it is evaluated; whole where None.

    Returns:
        A denoiser of `x` `[4, h, w]`; sigma a number, `[4, 1, 1]`, or a map of the shape of x. It was
        trained on Gaussian states with sigma from 0.03 to 3 of a single frame's noise.
    """
    spread = floor.reshape((1,) * (4 - floor.ndim) + floor.shape)

    def denoise_state(x: Tensor, sigma: Tensor) -> Tensor:
        level = torch.as_tensor(sigma, dtype=x.dtype)
        level = level.reshape((1,) * (4 - level.ndim) + level.shape)
        with torch.inference_mode():
            return estimate_state(network, x[None], level, spread, tile, _itself)[0]

    return denoise_state


def _itself(state: Tensor) -> Tensor:
    return state


def _paste(
    inner: Tensor, inside: tuple[slice, slice], read: Callable[[Estimate], Tensor]
) -> Writer[Estimate]:
    """A writer that keeps of a tile's strips what lies in its inner part."""
    own, columns = inside

    def write(rows: slice, estimate: Estimate) -> None:
        first, last = max(rows.start, own.start), min(rows.stop, own.stop)
        if first < last:
            kept = read(estimate)[:, :, first - rows.start : last - rows.start, columns]
            inner[:, :, first - own.start : last - own.start] = kept

    return write


def _cut(figure: Tensor, window: tuple[slice, slice]) -> Tensor:
    return figure if figure.shape[-2:] == (1, 1) else figure[(..., *window)]
