"""Output colour spaces: primaries, white, transfer function, and the adaptation between whites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

OutputSpace = Literal["srgb", "display-p3", "rec2020"]
Matrix = NDArray[np.float64]
Chromaticity = tuple[float, float]

D50: Chromaticity = (0.3457, 0.3585)
D65: Chromaticity = (0.3127, 0.3290)

BRADFORD: Matrix = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""XYZ to sharpened cone responses (Lam 1985; as used by ICC.1 and DNG)."""


@dataclass(frozen=True)
class Transfer:
    """Piecewise encoding: `linear_slope x` below `linear_end`, `(1 + offset) x^(1/gamma) - offset` above."""

    gamma: float
    offset: float
    linear_slope: float
    linear_end: float

    def encode(self, light: NDArray[np.floating]) -> Matrix:
        """Linear light 0..1 to display values 0..1 (float64; not for hot loops)."""
        x = np.asarray(light, dtype=np.float64)
        power = (1 + self.offset) * np.maximum(x, self.linear_end) ** (1 / self.gamma) - self.offset
        return np.where(x < self.linear_end, self.linear_slope * x, power)

    def decode(self, value: NDArray[np.floating]) -> Matrix:
        """Display values 0..1 to linear light 0..1."""
        y = np.asarray(value, dtype=np.float64)
        end = self.linear_slope * self.linear_end
        power = ((np.maximum(y, end) + self.offset) / (1 + self.offset)) ** self.gamma
        return np.where(y < end, y / self.linear_slope, power)


SRGB_TRANSFER = Transfer(gamma=2.4, offset=0.055, linear_slope=12.92, linear_end=0.0031308)
"""IEC 61966-2-1; Display P3 shares it."""

REC2020_TRANSFER = Transfer(
    gamma=1 / 0.45, offset=0.09929682680944, linear_slope=4.5, linear_end=0.018053968510807
)
"""ITU-R BT.2020-2, table 4."""


@dataclass(frozen=True)
class Space:
    """An RGB space with a D65 white."""

    name: str
    primaries: tuple[Chromaticity, Chromaticity, Chromaticity]
    transfer: Transfer

    def to_xyz(self) -> Matrix:
        """Linear RGB to XYZ relative to D65, `[3, 3]`; RGB (1, 1, 1) has Y = 1."""
        columns = np.stack([xyz_of(xy) for xy in self.primaries], axis=1)
        return columns * np.linalg.solve(columns, xyz_of(D65))

    def from_xyz_d50(self) -> Matrix:
        """XYZ relative to D50 to linear RGB, `[3, 3]`, by Bradford's adaptation to D65."""
        return np.linalg.inv(self.to_xyz()) @ adapt_white(D50, D65)

    def luminance(self) -> Matrix:
        """Y of the three primaries, `[3]`, summing to 1."""
        luminance: Matrix = self.to_xyz()[1]
        return luminance


SPACES: dict[OutputSpace, Space] = {
    "srgb": Space("sRGB", ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), SRGB_TRANSFER),
    "display-p3": Space("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), SRGB_TRANSFER),
    "rec2020": Space("Rec. 2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), REC2020_TRANSFER),
}


def xyz_of(xy: Chromaticity) -> Matrix:
    """XYZ of a chromaticity at Y = 1, `[3]`.

    Raises:
        ValueError: a chromaticity without luminance.
    """
    x, y = xy
    if not y > 0:
        raise ValueError(f"chromaticity ({x}, {y}) has no luminance")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def xy_of(xyz: Matrix) -> Chromaticity:
    """Chromaticity of a colour XYZ `[3]`."""
    total = float(xyz.sum())
    return float(xyz[0]) / total, float(xyz[1]) / total


def adapt_white(source: Chromaticity | Matrix, target: Chromaticity | Matrix) -> Matrix:
    """XYZ under one white to XYZ under another, `[3, 3]`: von Kries in Bradford's cone space.

    Whites are chromaticities (x, y) or XYZ arrays.
    """
    source_xyz = source if isinstance(source, np.ndarray) else xyz_of(source)
    target_xyz = target if isinstance(target, np.ndarray) else xyz_of(target)
    scale = (BRADFORD @ target_xyz) / (BRADFORD @ source_xyz)
    adapted: Matrix = np.linalg.inv(BRADFORD) @ (scale[:, None] * BRADFORD)
    return adapted
