"""A plain residual U-Net for packed raw, laid out so that a CPU runs it fast.

Pixel-unshuffle stem (the widest convolutions never see full resolution), residual blocks of two 3x3
convolutions, additive skips, no normalisation, no attention: noise in the stabilised domain has unit
variance already, and nothing depends on the size of the tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.1


class ResidualBlock(nn.Module):
    """x + conv(act(conv(x))), 3x3, zero padding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, width, h, w]` to the same shape."""
        inner = F.leaky_relu(self.first(x), _SLOPE, inplace=True)
        return self.second(inner).add_(x)  # type: ignore[no-any-return]


class UNet(nn.Module):
    """Encoder and decoder over pixel-unshuffled planes.

    The finest level has two thirds of the memory and a third of the work; `enter` and `leave` are its two
    halves, so that it can be run strip by strip around the coarse levels (`rawdiff.networks.strips`).

    Args:
        channels_in: planes given, before unshuffling.
        channels_out: planes returned, after shuffling.
        widths: channels of each level, from the finest to the coarsest; each level halves the resolution.
        blocks: residual blocks on the way down at each level; the way up has as many, the coarsest none.
        stem: pixel-unshuffle factor in front of the finest level.

    Raises:
        ValueError: fewer than two levels, or not one block count for each.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (1, 1, 1, 2),
        stem: int = 2,
    ) -> None:
        super().__init__()
        if len(widths) != len(blocks) or len(widths) < 2:
            raise ValueError(f"{len(widths)} widths but {len(blocks)} block counts, at least two of each")
        self.stem = stem
        self.widths = tuple(widths)
        self.blocks = tuple(blocks)
        self.align: int = stem * 2 ** (len(widths) - 1)
        self.inlet = nn.Conv2d(channels_in * stem**2, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(_stack(w, b) for w, b in zip(widths, blocks, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(widths))
        self.ups = nn.ModuleList(nn.Conv2d(b, a * 4, 1) for a, b in pairwise(widths))
        self.decoder = nn.ModuleList(_stack(w, b) for w, b in zip(widths[:-1], blocks[:-1], strict=True))
        self.outlet = nn.Conv2d(widths[0], channels_out * stem**2, 3, padding=1)
        nn.init.zeros_(self.outlet.weight)
        nn.init.zeros_(self.outlet.bias)  # type: ignore[arg-type]

    def reach(self) -> int:
        """Receptive field in packed pixels to one side: the halo that makes tiles exact."""
        cells = [self.stem * 2**level for level in range(len(self.blocks))]
        down = sum(2 * count * cell for count, cell in zip(self.blocks, cells, strict=True))
        up = sum(2 * count * cell for count, cell in zip(self.blocks[:-1], cells[:-1], strict=True))
        # Inlet and outlet see one cell more each; pooling aligns to the coarsest cell.
        reach: int = down + up + 2 * self.stem + self.align
        return reach

    def fine_reach(self) -> int:
        """Receptive field of `enter` or of `leave` at the finest level, in packed pixels to one side."""
        return self.stem * (2 * self.blocks[0] + 1)

    def forward(self, cells: Tensor) -> Tensor:
        """Map unshuffled planes to planes.

        Args:
            cells: `[B, channels_in stem^2, h/stem, w/stem]` with h and w multiples of `align`.

        Returns:
            `[B, channels_out, h, w]`.
        """
        skip = self.enter(cells)
        return self.leave(self.deepen(self.descend(skip)), skip)

    def enter(self, cells: Tensor) -> Tensor:
        """The finest level on the way down: cells to `[B, widths[0], h/stem, w/stem]`."""
        entered: Tensor = self.encoder[0](self.inlet(cells))
        return entered

    def descend(self, skip: Tensor, level: int = 0) -> Tensor:
        """Halve the resolution: from a level to the one below it."""
        below: Tensor = self.downs[level](F.leaky_relu(skip, _SLOPE))
        return below

    def deepen(self, x: Tensor) -> Tensor:
        """All levels but the finest: `[B, widths[1], h, w]` at half the finest resolution to the same."""
        skips = []
        for level in range(1, len(self.downs)):
            x = self.encoder[level](x)
            skips.append(x)
            x = self.descend(x, level)
        x = self.encoder[-1](x)
        for level in reversed(range(1, len(self.ups))):
            x = self.decoder[level](self._ascend(x, skips.pop(), level))
        return x

    def leave(self, below: Tensor, skip: Tensor) -> Tensor:
        """The finest level on the way up: `[B, channels_out, h, w]` from the level below and `enter`."""
        x = self.decoder[0](self._ascend(below, skip, 0))
        return F.pixel_shuffle(self.outlet(F.leaky_relu(x, _SLOPE, inplace=True)), self.stem)

    def _ascend(self, below: Tensor, skip: Tensor, level: int) -> Tensor:
        return F.pixel_shuffle(self.ups[level](below), 2).add_(skip)


def _stack(width: int, count: int) -> nn.Module:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


def pad_to(planes: Tensor, align: int) -> Tensor:
    """Extend `[B, C, h, w]` on the right and at the bottom to multiples of `align` by repeating the edge."""
    height, width = planes.shape[-2:]
    down, right = -height % align, -width % align
    return F.pad(planes, (0, right, 0, down), mode="replicate") if down or right else planes


def count_parameters(network: nn.Module) -> int:
    """Number of trained figures."""
    return sum(parameter.numel() for parameter in network.parameters())


def to_fast_layout(network: nn.Module) -> nn.Module:
    """Order the weights for CPU and GPU convolutions alike (channels last)."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
