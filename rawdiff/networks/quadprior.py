"""The networks of the quadruple-prior enhancer: the generator, and the merges that bring detail back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from rawdiff_kernels import quadprior
from torch import Tensor, nn

from rawdiff.networks.unet import UNet

SPREAD = 0.5
"""Standard deviation of a picture in [-1, 1], which the denoiser is scaled for."""

_STEM = 2
_CONTRAST_SIGMA = 2.0
_SMALLEST = 1e-12


class QuadPriorNetwork(nn.Module):
    """A diffusion U-Net that is told H, C, W, O of a picture at several scales, and merges for its detail.

    The features are ratios of the picture to itself nearby, so they do not change with its gain. Where a
    kind is switched off its planes are 0 (ablations).

    Args:
        widths: channels of the U-Net's levels.
        blocks: residual blocks a level.
        scales: log2 of the Gaussians' sigma in pixels, where H, C and W are taken; at most 4 of them.
        hue: tell H, as the cosine and sine of twice the angle, whose period is pi.
        chroma: tell C.
        order: tell O.
        edges: tell W.
        contrast: tell the signed local contrast of R, G and B, finer than 2 pixels: detail, which the
            bypass carries in any case.
        z0_loss: trained with the loss of the clean picture beside that of the noise.
        hint_noise: trained with noise in what the features are taken from.
        hint_light: trained with uneven light in what the features are taken from.
        bypass: detail passes through the trained merges; without, the gain alone is applied.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 96, 128),
        blocks: Sequence[int] = (1, 1, 2, 2),
        scales: Sequence[float] = (-0.5, 0.5, 1.5),
        hue: bool = True,
        chroma: bool = True,
        order: bool = True,
        edges: bool = True,
        contrast: bool = True,
        z0_loss: bool = True,
        hint_noise: bool = True,
        hint_light: bool = True,
        bypass: bool = True,
    ) -> None:
        super().__init__()
        self.config = {
            "widths": list(widths),
            "blocks": list(blocks),
            "scales": list(scales),
            "hue": hue,
            "chroma": chroma,
            "order": order,
            "edges": edges,
            "contrast": contrast,
            "z0_loss": z0_loss,
            "hint_noise": hint_noise,
            "hint_light": hint_light,
            "bypass": bypass,
        }
        self.scales = tuple(scales)
        self.z0_loss, self.hint_noise, self.hint_light, self.bypass = z0_loss, hint_noise, hint_light, bypass
        self.told = (hue, hue, chroma, edges) * len(self.scales) + (order,) * 3 + (contrast,) * 3
        self.unet = UNet((4 + len(self.told)) * _STEM**2, 3 * _STEM**2, widths, blocks, stem=1)
        self.merges = DetailMerges()
        with torch.no_grad():
            # Planes 4 and up are the condition; unshuffling keeps a plane's pixels together.
            self.unet.inlet.weight[:, 4 * _STEM**2 :] = 0

    @property
    def align(self) -> int:
        """Sides of a generated picture are multiples of this."""
        return _STEM * self.unet.align

    def features(self, linear: Tensor) -> Tensor:
        """What the generator is told of linear RGB `[B, 3, h, w]` at any gain: `[B, channels, h, w]`."""
        level = linear.mean(dim=(1, 2, 3), keepdim=True).clamp(min=_SMALLEST)
        light = (linear / level).contiguous()
        matrix = quadprior.default_matrix()
        planes = []
        for scale in self.scales:
            told = quadprior.prior(light, matrix, torch.full((light.shape[0],), scale))
            angle = 2 * told[:, :1]
            planes += [angle.cos(), angle.sin(), 0.5 * told[:, 1:2] + 1.0, told[:, 5:].clamp(min=0).sqrt()]
        planes += [told[:, 2:5], 2 * local_contrast(light, _CONTRAST_SIGMA)]
        features = torch.cat(planes, dim=1)
        return features * torch.tensor(self.told, dtype=features.dtype)[:, None, None]

    def estimate(self, scaled: Tensor, level: Tensor, features: Tensor) -> Tensor:
        """F of the preconditioned denoiser.

        Args:
            scaled: state of unit variance, `[B, 3, h, w]`, sides multiples of `align`.
            level: ln(sigma) / 4, a scalar or `[B, 1, 1, 1]`.
            features: as `features` gives them.
        """
        told = level.to(scaled.dtype).expand(scaled.shape[0], 1, *scaled.shape[2:])
        planes = F.pixel_unshuffle(torch.cat([scaled, told, features], dim=1), _STEM)
        return F.pixel_shuffle(self.unet(planes), _STEM)


def local_contrast(light: Tensor, sigma: float) -> Tensor:
    """(x - b) / (|x| + |b|) of each plane, b its Gaussian blur; in [-1, 1]."""
    blurred = gaussian_mean(light, sigma)
    return (light - blurred) / (light.abs() + blurred.abs() + 1e-6)


def gaussian_mean(planes: Tensor, sigma: float) -> Tensor:
    """Gaussian means of `[B, C, h, w]`, of what lies inside the picture."""
    down, across = (_gaussian_matrix(side, sigma) for side in planes.shape[-2:])
    return down @ planes @ across.T


def _gaussian_matrix(side: int, sigma: float) -> Tensor:
    at = torch.arange(side, dtype=torch.float32)
    weights = torch.exp(-((at[:, None] - at) ** 2) / (2 * sigma**2))
    return weights / weights.sum(dim=1, keepdim=True)


class DetailMerges(nn.Module):
    """Three levels of detail, merged back from the coarsest to the finest; the identity at the start.

    The levels are those of an undecimated pyramid, so that the result does not depend on where a band of
    rows begins. Each merge is a 3x3 convolution of what came so far and the detail of the level; a small
    residual block looks at the result beside the input.
    """

    LEVELS: int = 3

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.merges = nn.ModuleList(nn.Conv2d(6, 3, 3) for _ in range(self.LEVELS))
        self.look = nn.Conv2d(6, width, 3)
        self.correct = nn.Conv2d(width, 3, 3)
        with torch.no_grad():
            for merge in self.merges:
                assert isinstance(merge, nn.Conv2d) and merge.bias is not None
                merge.weight.zero_()
                merge.bias.zero_()
                for channel in range(3):
                    merge.weight[channel, channel, 1, 1] = 1
                    merge.weight[channel, channel + 3, 1, 1] = 1
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)  # type: ignore[arg-type]

    @classmethod
    def reach(cls) -> int:
        """Pixels that the result looks to each side."""
        return (2 << cls.LEVELS) - 2 + cls.LEVELS + 2

    def forward(self, encoded: Tensor) -> Tensor:
        """Map `[B, 3, h, w]`, encoded light, to the same shape; the edge is repeated."""
        detail, base = [], encoded
        for level in range(self.LEVELS):
            softer = _atrous(base, 2**level)
            detail.append(base - softer)
            base = softer
        for level in reversed(range(self.LEVELS)):
            base = self.merges[level](_extend(torch.cat([base, detail.pop()], dim=1), 1))
        both = torch.cat([base, encoded], dim=1)
        inner = F.relu(self.look(_extend(both, 1)), inplace=True)
        corrected: Tensor = base + self.correct(_extend(inner, 1))
        return corrected


def _atrous(planes: Tensor, step: int) -> Tensor:
    """Binomial (1, 2, 1) / 4 along rows and columns, neighbours `step` pixels apart."""
    wide = _extend(planes, step)
    rows = planes.shape[-2] + 2 * step
    tall = 0.25 * (wide[..., : -2 * step] + wide[..., 2 * step :]) + 0.5 * wide[..., step:-step]
    return (
        0.25 * (tall[..., : rows - 2 * step, :] + tall[..., 2 * step :, :]) + 0.5 * tall[..., step:-step, :]
    )


def _extend(planes: Tensor, by: int) -> Tensor:
    return F.pad(planes, (by, by, by, by), mode="replicate")
