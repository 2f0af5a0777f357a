"""Restoring the detail bands of a wavelet transform: what is flat across tells what is flat along.

The high-frequency restoration module of DiffLL (Jiang et al., "Low-light image enhancement with
wavelet-based diffusion models", ACM TOG 42(6), 2023, section 3.3): the two directional bands question the
diagonal one by attention over each row, dilated convolutions finish every band.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_DILATIONS = (1, 2, 3, 2, 1)
_SLOPE = 0.01
_HEADS = 8
_REFERENCE_WIDTH = 64
"""Row length at which attention normalised by width weighs as the published form does."""


class DetailRestoration(nn.Module):
    """Restores the three detail bands of one level; at its start it returns them as they are.

    Args:
        channels: of the picture.
        width: channels inside.
        published: take the attention as published, whose sharpness grows with the width of the picture.
    """

    def __init__(self, channels: int = 3, width: int = 16, published: bool = False) -> None:
        super().__init__()
        self.inlet = DepthwiseSeparable(channels, width)
        self.horizontal = CrossAttention(width, published)
        self.vertical = CrossAttention(width, published)
        self.merge = nn.Conv2d(2 * width, width, 3, padding=1)
        self.finish = nn.ModuleList(DilatedBlock(width) for _ in range(3))
        self.outlet = DepthwiseSeparable(width, channels)
        nn.init.zeros_(self.outlet.point.weight)
        nn.init.zeros_(self.outlet.point.bias)  # type: ignore[arg-type]

    @staticmethod
    def reach() -> int:
        """Rows to one side that a row of the answer depends on: its halo."""
        # Inlet, queries or keys, merging, dilated stack, outlet.
        return 1 + 1 + 1 + sum(_DILATIONS) + 1

    def forward(self, bands: Tensor) -> Tensor:
        """Map bands HL, LH, HH `[B, C, 3, h, w]` to the same."""
        batch, channels, _, height, width = bands.shape
        stacked = bands.transpose(1, 2).reshape(3 * batch, channels, height, width)
        inner = self.inlet(stacked).unflatten(0, (batch, 3))
        across, down, diagonal = inner.unbind(1)
        told = torch.cat([self.vertical(down, diagonal), self.horizontal(across, diagonal)], dim=1)
        restored = [self.finish[0](across), self.finish[1](down), self.finish[2](self.merge(told))]
        change = self.outlet(torch.stack(restored, dim=1).flatten(0, 1)).unflatten(0, (batch, 3))
        restored_bands: Tensor = bands + change.transpose(1, 2)
        return restored_bands


class CrossAttention(nn.Module):
    """Channels of one band attend to those of another, row by row: a C x C map per row.

    softmax(Q K^T / s) V with Q, K, V `[B, h, C, w]`. Q K^T sums over a row, so in the published form
    (s = sqrt(C / 8)) the map sharpens as pictures get wider. Here s grows with the width, and a picture
    repeated beside itself is treated as it was.
    """

    def __init__(self, width: int, published: bool = False) -> None:
        super().__init__()
        self.published = published
        self.scale = math.sqrt(width / _HEADS)
        self.query = DepthwiseSeparable(width, width)
        self.key = DepthwiseSeparable(width, width)
        self.value = DepthwiseSeparable(width, width)

    def weights(self, asking: Tensor, told: Tensor) -> Tensor:
        """The attention maps `[B, h, C, C]`, rows of each summing to 1."""
        query, key = self.query(asking).transpose(1, 2), self.key(told).transpose(1, 2)
        scale = self.scale if self.published else self.scale * asking.shape[-1] / _REFERENCE_WIDTH
        return torch.softmax(query @ key.transpose(2, 3) / scale, dim=-1)

    def forward(self, asking: Tensor, told: Tensor) -> Tensor:
        """Answer `asking` `[B, C, h, w]` with what `told` of that shape holds."""
        value = self.value(told).transpose(1, 2)
        answer: Tensor = (self.weights(asking, told) @ value).transpose(1, 2)
        return answer


class DilatedBlock(nn.Module):
    """x + five 3x3 convolutions of dilations 1, 2, 3, 2, 1, leaky ReLU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stack = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in _DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, width, h, w]` to the same shape."""
        inner = self.stack[0](x)
        for layer in self.stack[1:]:
            inner = layer(F.leaky_relu(inner, _SLOPE))
        return x + inner  # type: ignore[no-any-return]


class DepthwiseSeparable(nn.Module):
    """A 3x3 convolution of each channel, then a 1x1 across channels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in)
        self.point = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, channels_in, h, w]` to `[B, channels_out, h, w]`."""
        return self.point(self.depth(x))  # type: ignore[no-any-return]
