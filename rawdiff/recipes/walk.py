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
from rawdiff.tiles import Tile, plan_tiles

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Walk:
    """Choices that shape the result, and a cut that does not.

    Attributes:
        steps: evaluations of the network in one walk; the recipe's own number where None.
        samples: walks whose mean is taken; the recipe's own choice where None.
        seed: of everything that is drawn.
        tile: rows and columns, in packed pixels, in which the network is evaluated at every step; whole
            where None.
        on_fraction: told after every step how much is done, from 0 to 1.
    """

    steps: int | None = None
    samples: int | None = None
    seed: int = 0
    tile: tuple[int, int] | None = None
    on_fraction: Callable[[float], None] | None = None

    def tell(self, fraction: float) -> None:
        """Tell whoever asked how much is done."""
        if self.on_fraction is not None:
            self.on_fraction(fraction)


def estimate_state(
    network: StabilisedNetwork[Estimate],
    state: Tensor,
    sigma: Tensor,
    floor: Tensor,
    tile: tuple[int, int] | None,
    read: Callable[[Estimate], Tensor],
) -> Tensor:
    """Estimate the noise-free state of a frame: `read(network(state, sigma, floor))` in strips and tiles.

    Args:
        network: in inference.
        state: `[1, 4, h, w]`, variance-stabilised.
        sigma: standard deviation of its noise, `[1, 1 or 4, 1 or h, 1 or w]`.
        floor: transform of no light, of such a shape too.
        tile: rows and columns of a tile in packed pixels; whole where None.
        read: the state in what the network answers.

    Returns:
        `[1, 4, h, w]`.
    """
    clean = torch.empty_like(state)

    def keep(window: Window, estimate: Tensor) -> None:
        clean[(..., *window)] = estimate

    visit_state(network, Origin(state, sigma, floor), tile, read, keep)
    return clean


def visit_state(
    network: StabilisedNetwork[Estimate],
    told: Origin,
    tile: tuple[int, int] | None,
    read: Callable[[Estimate], Tensor],
    write: Callable[[Window, Tensor], None],
    origin: Origin | None = None,
) -> None:
    """Evaluate a network on a frame, every pixel once, piece by piece: nothing of the frame's size is made.

    Args:
        network: in inference.
        told: the state, its noise and its floor.
        tile: rows and columns of a tile in packed pixels; whole where None.
        read: the state in what the network answers.
        write: `write(window, estimate)` is given the estimate `[1, 4, ...]` of each window of the frame.
        origin: what the walk started from, for a network that is shown it.
    """
    height, width = told.state.shape[-2:]
    for part in plan_tiles(height, width, tile or (height, width), network.halo, network.align):
        here = Origin(*(cut_map(figure, part.outer) for figure in told))
        beside = None if origin is None else Origin(*(cut_map(figure, part.outer) for figure in origin))
        network.in_strips(*here, _inside(part, read, write), beside)


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


def _inside(
    part: Tile, read: Callable[[Estimate], Tensor], write: Callable[[Window, Tensor], None]
) -> Writer[Estimate]:
    """A writer that hands on what of a tile's strips lies in its inner part."""
    own, columns = part.inner_in_outer
    down = part.inner[0].start - own.start

    def hand_on(rows: slice, estimate: Estimate) -> None:
        first, last = max(rows.start, own.start), min(rows.stop, own.stop)
        if first < last:
            kept = read(estimate)[:, :, first - rows.start : last - rows.start, columns]
            write((slice(first + down, last + down), part.inner[1]), kept)

    return hand_on


def cut_map(figure: Tensor, window: Window) -> Tensor:
    """A map in a window of the frame; a figure that is one for the frame stays as it is."""
    return figure if figure.shape[-2:] == (1, 1) else figure[(..., *window)]
