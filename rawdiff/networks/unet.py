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

    Args:
        channels_in: planes given, before unshuffling.
        channels_out: planes returned, after shuffling.
        widths: channels of each level, from the finest to the coarsest; each level halves the resolution.
        blocks: residual blocks on the way down at each level; the way up has as many, the coarsest none.
        stem: pixel-unshuffle factor in front of the finest level.
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
        if len(widths) != len(blocks):
            raise ValueError(f"{len(widths)} widths but {len(blocks)} block counts")
        self.stem = stem
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

    def forward(self, planes: Tensor) -> Tensor:
        """Map `[B, channels_in, h, w]`, h and w multiples of `align`, to `[B, channels_out, h, w]`."""
        x = self.inlet(F.pixel_unshuffle(planes, self.stem))
        skips = []
        for level, down in enumerate(self.downs):
            x = self.encoder[level](x)
            skips.append(x)
            x = down(F.leaky_relu(x, _SLOPE))
        x = self.encoder[-1](x)
        for level in reversed(range(len(self.ups))):
            x = F.pixel_shuffle(self.ups[level](x), 2).add_(skips[level])
            x = self.decoder[level](x)
        return F.pixel_shuffle(self.outlet(F.leaky_relu(x, _SLOPE)), self.stem)


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
