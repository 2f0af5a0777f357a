"""How a picture compares with the one it should be, or with the dark one it was made of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from rawdiff.color.spaces import SPACES
from rawdiff.report.color_difference import ciede2000, lab_of
from rawdiff.report.enhance_methods import encode_srgb, luminance_of
from rawdiff.report.metrics import psnr, ssim

_LOE_SIDE = 50
_TO_XYZ = torch.from_numpy(np.asarray(SPACES["srgb"].to_xyz()))
_WHITE = _TO_XYZ.sum(dim=1).view(3, 1, 1)


def align_level(output: Tensor, truth: Tensor) -> Tensor:
    """A result, clipped and brought to the mean luminance of its reference by one linear gain."""
    shown = output.clamp(0, 1)
    return shown * float(luminance_of(truth).mean() / luminance_of(shown).mean().clamp(min=1e-9))


def compare(output: Tensor, truth: Tensor) -> dict[str, float]:
    """Figures of a result against its reference, both linear display light `[3, H, W]`.

    PSNR [dB] and SSIM of sRGB values as they come; the same after one linear gain that gives the result the
    reference's mean luminance (`aligned`); mean CIEDE2000; the error of the mean sRGB value, relative.
    """
    shown, meant = encode_srgb(output), encode_srgb(truth)
    aligned = encode_srgb(align_level(output, truth))
    return {
        "psnr": psnr(shown, meant),
        "ssim": ssim(shown, meant),
        "aligned psnr": psnr(aligned, meant),
        "aligned ssim": ssim(aligned, meant),
        "delta e": float(ciede2000(to_lab(output), to_lab(truth)).mean()),
        "level": float(shown.mean() / meant.mean()) - 1,
    }


def to_lab(light: Tensor) -> Tensor:
    """CIELAB under D65 of linear sRGB `[3, H, W]`, clipped as a display does."""
    xyz = torch.einsum("ij,jhw->ihw", _TO_XYZ, light.double().clamp(0.0, 1.0))
    return lab_of(xyz / _WHITE)


def lightness_order_error(output: Tensor, source: Tensor) -> float:
    """How many pixels' order of lightness was turned, per pixel.

    Wang, Zheng, Hu and Li, "Naturalness preserved enhancement algorithm for non-uniform illumination images",
    TIP 22(9), 2013, equations 9 to 12: lightness is the largest channel; both pictures are reduced to 50
    pixels on the shorter side, as published; for every pixel those are counted that were lighter and are not
    any more, or the other way round.

    Args:
        output: the result, linear `[3, H, W]`.
        source: what it was made of.
    """
    before, after = (_lightness(encode_srgb(light)) for light in (source, output))
    turned = (before[:, None] >= before) ^ (after[:, None] >= after)
    return float(turned.sum()) / before.numel()


def _lightness(shown: Tensor) -> Tensor:
    height, width = shown.shape[1:]
    share = max(min(height, width) / _LOE_SIDE, 1.0)
    small = adaptive_avg_pool2d(shown.amax(dim=0)[None], (round(height / share), round(width / share)))
    return small.flatten()
