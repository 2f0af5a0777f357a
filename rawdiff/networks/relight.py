"""The networks of the wavelet enhancer: how much light, which light, which detail."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rawdiff.networks.detail import DetailRestoration
from rawdiff.networks.unet import UNet, pad_to

AVERAGE_RANGE = 4.0
"""Largest magnitude of a second-level average of a picture in [-1, 1]: each level doubles it."""

CHANGE_STD = 0.5
"""Standard deviation of the change of light that the network is scaled for, in units of the average band."""

_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_LEAST_SHARE = 1e-3


class LightLevel(nn.Module):
    """How bright the mean of a picture wants to be, from the shape of its histogram alone.

    log mean = bias + weights . log(quantiles / mean). The features do not change with the gain, so neither
    does the picture after its light was set. It starts at the least absolute deviations over the training
    photographs: the brighter the brightest hundredth stands out, the darker the mean.
    """

    def __init__(self) -> None:
        super().__init__()
        self.law = nn.Linear(len(_SHARES), 1)
        with torch.no_grad():
            self.law.weight.zero_()
            self.law.weight[0, -1] = -0.73
            self.law.bias.fill_(-0.49)

    def forward(self, light: Tensor) -> Tensor:
        """Logarithm of the gain that sets the light of luminance `[B, h, w]`, `[B]`."""
        flat = light.clamp(min=0).flatten(1)
        mean = flat.mean(dim=1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)
        ordered = flat.sort(dim=1).values
        at = [round(share * (flat.shape[1] - 1)) for share in _SHARES]
        wanted = self.law((ordered[:, at] / mean).clamp(min=_LEAST_SHARE).log())
        return (wanted - mean.log())[:, 0]  # type: ignore[no-any-return]


class WaveletRelight(nn.Module):
    """A small U-Net for the diffusion on the average band, and a restoration of detail for each level.

    Args:
        widths: channels of the U-Net's levels.
        blocks: residual blocks a level.
        detail_width: channels of the detail restoration.
        steps: evaluations of the roll-out it is trained with, and its own number at inference.
        published_attention: attention over rows as published, not normalised by their length.
        start_at_photograph: the walk starts at the diffused condition; otherwise at noise alone, as
            published.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 128),
        blocks: Sequence[int] = (1, 1, 1, 1),
        detail_width: int = 16,
        steps: int = 4,
        published_attention: bool = False,
        start_at_photograph: bool = True,
    ) -> None:
        super().__init__()
        self.config = {
            "widths": list(widths),
            "blocks": list(blocks),
            "detail_width": detail_width,
            "steps": steps,
            "published_attention": published_attention,
            "start_at_photograph": start_at_photograph,
        }
        self.steps = steps
        self.start_at_photograph = start_at_photograph
        self.level = LightLevel()
        self.unet = UNet(7, 3, widths, blocks, stem=1)
        self.details = nn.ModuleList(
            DetailRestoration(3, detail_width, published_attention) for _ in range(2)
        )

    def estimate(self, scaled: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """The change of light, of about unit size.

        Args:
            scaled: state less condition, of about unit variance, `[B, 3, h, w]`.
            level: ln(sigma) / 4, a scalar or `[B, 1, 1, 1]`.
            condition: average band of the input, `[B, 3, h, w]`, within `AVERAGE_RANGE`.
        """
        height, width = scaled.shape[-2:]
        told = level.to(scaled.dtype).expand(scaled.shape[0], 1, height, width)
        planes = torch.cat([scaled, condition / AVERAGE_RANGE, told], dim=1)
        answer: Tensor = self.unet(pad_to(planes, self.unet.align))[..., :height, :width]
        return answer

    def restore(self, level: int, bands: Tensor) -> Tensor:
        """Restore detail bands HL, LH, HH `[B, 3, 3, h, w]` of a level, 0 the finest."""
        restored: Tensor = self.details[level](bands)
        return restored
