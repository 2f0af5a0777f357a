"""Networks of the stabilised domain, and the camera-independent denoiser D(state, sigma map) -> clean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from rawdiff.networks.condition import (
    BLUR_REACH,
    STABILISED_CHANNELS,
    Origin,
    blur,
    spread_over,
    stabilised_features,
    take_rows,
)
from rawdiff.networks.strips import Writer, run_in_strips
from rawdiff.networks.unet import UNet, pad_to

_GATE_AT_START = -2.0
Estimate = TypeVar("Estimate")


class StabilisedNetwork(nn.Module, Generic[Estimate]):
    """A U-Net that is told state, noise map and floor in units of the noise; what it answers is its kind's.

    Args:
        channels_out: planes that the U-Net answers.
        widths: channels of its levels.
        blocks: residual blocks a level.
        shown: planes that it sees beside those of the domain.
    """

    def __init__(
        self, channels_out: int, widths: Sequence[int], blocks: Sequence[int], shown: int = 0
    ) -> None:
        super().__init__()
        self.unet = UNet(STABILISED_CHANNELS + shown, channels_out, widths, blocks)

    @property
    def align(self) -> int:
        """Tile edges fall on multiples of this many packed pixels."""
        return self.unet.align

    @property
    def halo(self) -> int:
        """Packed pixels a tile reads beyond what it writes."""
        return self.unet.reach() + BLUR_REACH

    def features(
        self, state: Tensor, base: Tensor, sigma: Tensor, floor: Tensor, origin: Origin | None
    ) -> Tensor:
        """What the U-Net sees, in its cells."""
        return stabilised_features(state, base, sigma, floor, self.unet.stem)

    def answer(self, planes: Tensor, state: Tensor, base: Tensor, sigma: Tensor) -> Estimate:
        """Turn the planes of the U-Net into the estimate, pixel by pixel."""
        raise NotImplementedError

    def forward(self, state: Tensor, sigma: Tensor, floor: Tensor, origin: Origin | None = None) -> Estimate:
        """Estimate the noise-free state.

        Args:
            state: `[B, 4, h, w]`, variance-stabilised.
            sigma: standard deviation of its noise, broadcastable to it, above 0.
            floor: transform of no light, broadcastable to it.
            origin: what a walk started from, for a network that is shown it.
        """
        height, width = state.shape[-2:]
        padded = pad_to(state, self.align)
        sigma, floor = spread_over(sigma, padded), spread_over(floor, padded)
        base = blur(padded)
        planes = self.unet(self.features(padded, base, sigma, floor, self._pad(origin)))
        inside = (..., slice(height), slice(width))
        return self.answer(planes[inside], state, base[inside], take_rows(sigma, slice(height), width))

    def _pad(self, origin: Origin | None) -> Origin | None:
        if origin is None:
            return None
        padded = pad_to(origin.state, self.align)
        return Origin(padded, spread_over(origin.sigma, padded), spread_over(origin.floor, padded))

    def in_strips(
        self,
        state: Tensor,
        sigma: Tensor,
        floor: Tensor,
        write: Writer[Estimate],
        origin: Origin | None = None,
    ) -> None:
        """Evaluate a frame without holding its finest level: the result of `forward`, for inference.

        Args:
            state: `[1, 4, h, w]`, as `forward` takes it.
            sigma: likewise.
            floor: likewise.
            write: `write(rows, estimate)` is given every row of the frame once.
            origin: likewise.
        """
        height, width = state.shape[-2:]
        padded = pad_to(state, self.align)
        sigma, floor = spread_over(sigma, padded), spread_over(floor, padded)
        base = torch.empty_like(padded)
        origin = self._pad(origin)

        def enter(rows: slice) -> Tensor:
            wide = slice(max(rows.start - BLUR_REACH, 0), rows.stop + BLUR_REACH)
            inner = slice(rows.start - wide.start, rows.stop - wide.start)
            base[:, :, rows] = blur(padded[:, :, wide])[:, :, inner]
            levels = take_rows(sigma, rows), take_rows(floor, rows)
            beside = None if origin is None else origin.rows(rows)
            return self.features(padded[:, :, rows], base[:, :, rows], *levels, beside)

        def leave(rows: slice, planes: Tensor) -> None:
            own = slice(rows.start, min(rows.stop, height))
            inside = planes[:, :, : own.stop - own.start, :width]
            level = take_rows(sigma, own, width)
            write(own, self.answer(inside, state[:, :, own], base[:, :, own, :width], level))

        run_in_strips(self.unet, padded.shape[-2:], enter, leave)


class StabilisedDenoiser(StabilisedNetwork[Tensor]):
    """A U-Net that weighs the measured detail and adds what is missing.

    out = base + gate * (state - base) + sigma * residual, where base is a 7x7 blur: at low light the blur
    is the better start, in bright light the measurement is, and the gate moves between the two.

    Args:
        widths: channels of the U-Net's levels.
        blocks: residual blocks a level.
    """

    def __init__(
        self, widths: Sequence[int] = (32, 64, 128, 256), blocks: Sequence[int] = (1, 1, 1, 2)
    ) -> None:
        super().__init__(8, widths, blocks)
        self.config = {"widths": list(widths), "blocks": list(blocks)}

    def answer(self, planes: Tensor, state: Tensor, base: Tensor, sigma: Tensor) -> Tensor:
        """Mix blur and measurement by the gate, add the residual."""
        gate = torch.sigmoid(planes[:, :4] + _GATE_AT_START)
        return base + gate * (state - base) + sigma * planes[:, 4:]
