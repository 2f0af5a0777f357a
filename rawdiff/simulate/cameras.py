"""Cameras to simulate: colour, levels and published noise of five bodies, and virtual ones in between.

The colour matrices are the D65 calibrations that Adobe's DNG Converter writes for these bodies (DNG tag
ColorMatrix2, XYZ to camera RGB). The noise is that of `rawdiff_calibration.published`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rawdiff_calibration.noise import NoiseModel
from rawdiff_calibration.published import load_builtin
from torch import Tensor

from rawdiff.errors import ConfigurationError

XYZ_FROM_SRGB = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""IEC 61966-2-1 primaries, D65 white, Y of white 1."""

Matrix3 = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class SimulatedCamera:
    """A camera as the simulator needs it.

    Attributes:
        name: plain name, as in `rawdiff_calibration.published`.
        make: EXIF Make.
        model: EXIF Model.
        color_matrix: XYZ to camera RGB under D65, `[3, 3]`.
        black_dn: black level of every CFA site.
        white_dn: largest value the camera stores.
    """

    name: str
    make: str
    model: str
    color_matrix: Matrix3
    black_dn: float
    white_dn: float

    def noise_model(self, iso: float) -> NoiseModel:
        """The published noise of one frame at an ISO.

        Raises:
            ValueError: ISO not above 0.
        """
        return load_builtin(self.name).noise_model(iso, self.white_dn)

    def from_srgb(self) -> Tensor:
        """Linear sRGB to camera RGB, `[3, 3]` float64; white under D65 has 1 as its largest entry."""
        return camera_from_srgb(torch.tensor(self.color_matrix, dtype=torch.float64))


def camera_from_srgb(color_matrix: Tensor) -> Tensor:
    """Linear sRGB to camera RGB from XYZ-to-camera matrices, `[..., 3, 3]`.

    Scaled so that the strongest channel of white is 1: exposing a white wall to the right fills that
    channel first.
    """
    matrix = color_matrix @ torch.tensor(XYZ_FROM_SRGB, dtype=color_matrix.dtype)
    neutral = matrix.sum(dim=-1)
    return matrix / neutral.amax(dim=-1)[..., None, None]


def _matrix(*figures: int) -> Matrix3:
    rows = [tuple(figure / 10000 for figure in figures[i : i + 3]) for i in (0, 3, 6)]
    return tuple((a, b, c) for a, b, c in rows)


_CAMERAS = (
    SimulatedCamera(
        "SonyA7S2",
        "SONY",
        "ILCE-7SM2",
        _matrix(5838, -1430, -246, -3497, 11477, 2297, -748, 1885, 5778),
        512.0,
        16383.0,
    ),
    SimulatedCamera(
        "NikonD850",
        "NIKON CORPORATION",
        "NIKON D850",
        _matrix(10405, -3755, -1270, -5461, 13787, 1793, -1040, 2015, 6785),
        400.0,
        16383.0,
    ),
    SimulatedCamera(
        "CanonEOS5D4",
        "Canon",
        "Canon EOS 5D Mark IV",
        _matrix(6446, -366, -864, -4436, 12204, 2513, -952, 2496, 6348),
        512.0,
        16383.0,
    ),
    SimulatedCamera(
        "CanonEOS70D",
        "Canon",
        "Canon EOS 70D",
        _matrix(7034, -804, -1014, -4420, 12564, 2058, -851, 1994, 5758),
        2048.0,
        16383.0,
    ),
    SimulatedCamera(
        "CanonEOS700D",
        "Canon",
        "Canon EOS 700D",
        _matrix(6602, -841, -939, -4472, 12458, 2247, -975, 2039, 6148),
        2048.0,
        16383.0,
    ),
)

NAMES = tuple(camera.name for camera in _CAMERAS)


def find(name: str) -> SimulatedCamera:
    """The camera of a plain name; case does not matter.

    Raises:
        ConfigurationError: no such camera; the message lists the names.
    """
    for camera in _CAMERAS:
        if camera.name.lower() == name.lower():
            return camera
    raise ConfigurationError(f"no simulated camera '{name}'", hint=f"one of {', '.join(NAMES)}")


def color_matrices() -> Tensor:
    """XYZ-to-camera matrices of all cameras, `[5, 3, 3]` float32: the stock virtual cameras mix."""
    return torch.tensor([camera.color_matrix for camera in _CAMERAS])
