"""The exposure process on a frame: its stages, and the way from one to the next, a window at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from rawdiff_kernels import photon
from torch import Tensor

from rawdiff.networks.condition import Origin
from rawdiff.networks.residual import AdaptiveResidual
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.physics.exposure import expected_photons, extend_exposure
from rawdiff.recipes.walk import Window, cut_map


@dataclass(frozen=True)
class Stage:
    """The process at one exposure, all figures numbers or maps of the frame.

    Attributes:
        encoding: of a state there.
        began: effective exposures of the photograph, `[1, 1, 1 or h, 1 or w]`.
        at: those of the stage, of such a shape too.
    """

    encoding: VarianceStabilised
    began: Tensor
    at: Tensor

    @classmethod
    def begin(cls, gain: Tensor, sigma: Tensor, began: Tensor) -> Stage:
        """The photograph's own."""
        return cls(VarianceStabilised(gain, sigma), began, began)

    def expose(self, exposure: float) -> Stage:
        """The stage at which a single frame has the exposure given, and a merge as much more.

        Read noise came once, with the photograph: it is diluted by more light.
        """
        at = self.began + (exposure - 1.0)
        sigma = self.encoding.sigma * torch.sqrt(self.at / at)
        return Stage(VarianceStabilised(self.encoding.gain, sigma), self.began, at)

    def cut(self, window: Window) -> Stage:
        """The stage in a window of the frame."""
        encoding = VarianceStabilised(self.encoding.gain, cut_map(self.encoding.sigma, window))
        return Stage(encoding, cut_map(self.began, window), cut_map(self.at, window))

    def encode(self, light: Tensor) -> Tensor:
        """State of light `[1, 4, h, w]`."""
        return self.encoding.encode(light, self.at)

    def decode(self, answer: Tensor) -> Tensor:
        """Light of what the network answers."""
        return self.encoding.decode(answer, self.at)

    def tell(self, state: Tensor) -> Origin:
        """What the network is told of a state."""
        return Origin(state, 1 / torch.sqrt(self.at), self.encoding.floor(self.at))


Expose = Callable[[Tensor, Tensor, Stage, tuple[int, int]], Tensor]
"""Photograph, light, the stage to reach, and the place in the frame: the light at that exposure."""


def photons_of(seed: int, step: int, number: int | None) -> Expose:
    """Add the photons that are expected, or draw those of a step of the walk of this number."""
    if number is None:
        return lambda photograph, light, after, _: extend_exposure(
            photograph, light, after.began, after.at, 1.0, after.encoding.gain, expected_photons
        )
    own = seed * 65_537 + number
    return lambda photograph, light, after, place: photon.reexpose(
        photograph, light, after.at, 1 / after.encoding.gain, own, step, start=after.began, origin=place
    )


def expose_on(
    look: Callable[..., None],
    photograph: Tensor,
    stage: Stage,
    longer: Stage,
    expose: Expose,
) -> Tensor:
    """The state at a longer exposure: the photograph's own light, and photons of what the network sees.

    A window at a time, from the network's answer to the next state: nothing between is of the frame's size.
    """
    state = torch.empty_like(photograph)

    def go_on(window: Window, answer: Tensor) -> None:
        after, place = longer.cut(window), (window[0].start, window[1].start)
        light = stage.cut(window).decode(answer)
        state[(..., *window)] = after.encode(expose(photograph[(..., *window)], light, after, place))

    look(read=AdaptiveResidual.mixed, write=go_on)
    return state


def see_light(look: Callable[..., None], photograph: Tensor, stage: Stage) -> Tensor:
    """The light that the network sees in the last state."""
    clean = torch.empty_like(photograph)

    def keep(window: Window, answer: Tensor) -> None:
        clean[(..., *window)] = stage.cut(window).decode(answer)

    look(read=AdaptiveResidual.mixed, write=keep)
    return clean
