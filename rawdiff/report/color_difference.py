"""How different two pictures look: CIEDE2000 between renderings of packed raw.

Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test
data, and mathematical observations", Color Research and Application 30 (2005); equation numbers are theirs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rawdiff.simulate.cameras import XYZ_FROM_SRGB, SimulatedCamera

_WHITE_D65 = (0.9504700, 1.0, 1.0888300)
_POWER_7 = 25.0**7


def render_lab(planes: Tensor, camera: SimulatedCamera) -> Tensor:
    """CIELAB of packed raw `[4, h, w]` at the reference exposure, black 0 and white 1: `[3, h, w]`.

    Half size, no demosaicing: one colour a 2x2 cell, the greens averaged. Colours outside sRGB are clipped,
    as a display does.
    """
    rgb = torch.stack([planes[0], (planes[1] + planes[2]) / 2, planes[3]]).double()
    to_srgb = torch.linalg.inv(camera.from_srgb())
    shown = torch.einsum("ij,jhw->ihw", to_srgb, rgb).clamp(0.0, 1.0)
    xyz = torch.einsum("ij,jhw->ihw", torch.tensor(XYZ_FROM_SRGB, dtype=torch.float64), shown)
    return lab_of(xyz / torch.tensor(_WHITE_D65, dtype=torch.float64).view(3, 1, 1))


def lab_of(relative: Tensor) -> Tensor:
    """CIELAB of XYZ relative to white, `[3, ...]` (CIE 15:2004, 8.2.1)."""
    low = relative / (3 * (6 / 29) ** 2) + 4 / 29
    x, y, z = torch.where(relative > (6 / 29) ** 3, relative.clamp(min=1e-12) ** (1 / 3), low)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(first: Tensor, second: Tensor) -> Tensor:
    """Colour difference of CIELAB colours `[3, ...]`, kL = kC = kH = 1: `[...]`."""
    lightness1, chroma1, hue1 = _lightness_chroma_hue(first, first, second)
    lightness2, chroma2, hue2 = _lightness_chroma_hue(second, first, second)
    grey = chroma1 * chroma2 == 0
    turn = torch.remainder(hue2 - hue1 + 180, 360) - 180  # (10)
    d_hue = torch.where(grey, 0.0, 2 * torch.sqrt(chroma1 * chroma2) * _sin(turn / 2))  # (11)
    hue = torch.where((hue1 - hue2).abs() > 180, (hue1 + hue2 + 360) / 2 % 360, (hue1 + hue2) / 2)
    hue = torch.where(grey, hue1 + hue2, hue)  # (14)
    lightness, chroma = (lightness1 + lightness2) / 2, (chroma1 + chroma2) / 2
    weight = (
        1
        - 0.17 * _cos(hue - 30)
        + 0.24 * _cos(2 * hue)
        + 0.32 * _cos(3 * hue + 6)
        - 0.20 * _cos(4 * hue - 63)
    )  # (15)
    away = (lightness - 50) ** 2
    scaled_l = (lightness2 - lightness1) / (1 + 0.015 * away / torch.sqrt(20 + away))  # (18)
    scaled_c = (chroma2 - chroma1) / (1 + 0.045 * chroma)  # (19)
    scaled_h = d_hue / (1 + 0.015 * chroma * weight)  # (20)
    rotation = -_sin(60 * torch.exp(-(((hue - 275) / 25) ** 2))) * 2 * _saturation(chroma)  # (16, 17, 21)
    square = scaled_l**2 + scaled_c**2 + scaled_h**2 + rotation * scaled_c * scaled_h
    return torch.sqrt(square.clamp(min=0))  # (22)


def _lightness_chroma_hue(lab: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L, C' and h' in degrees of `lab`, a member of the pair (2-7)."""
    mean = (torch.hypot(first[1], first[2]) + torch.hypot(second[1], second[2])) / 2
    red = lab[1] * (1.5 - 0.5 * _saturation(mean))
    hue = torch.remainder(torch.rad2deg(torch.atan2(lab[2], red)), 360)
    return lab[0], torch.hypot(red, lab[2]), hue


def _saturation(chroma: Tensor) -> Tensor:
    return torch.sqrt(chroma**7 / (chroma**7 + _POWER_7))


def _sin(degrees: Tensor) -> Tensor:
    return torch.sin(degrees * (math.pi / 180))


def _cos(degrees: Tensor) -> Tensor:
    return torch.cos(degrees * (math.pi / 180))
