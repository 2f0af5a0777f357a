"""Correlated colour temperature and tint of a white, and back.

A. R. Robertson, "Computation of correlated color temperature and distribution temperature", Journal of the
Optical Society of America 58(11), 1968: the point is placed between two of 31 isotemperature lines of the
CIE 1960 diagram. Tint is the distance from the Planckian locus along the line, 3000 to the unit, positive
for light greener than the locus: the picture is turned towards magenta by it, as raw developers count.
"""

from __future__ import annotations

import numpy as np

from rawdiff.color.spaces import Chromaticity, Matrix

_TINT_SCALE = -3000.0

# Reciprocal temperature [MK^-1], u, v of the Planckian locus, slope of the isotemperature line
# (Wyszecki and Stiles, Color Science, 2nd edition, table 1(3.11); u at 325 as corrected by later prints).
_ISOTHERMS: Matrix = np.array([
    (0, 0.18006, 0.26352, -0.24341), (10, 0.18066, 0.26589, -0.25479), (20, 0.18133, 0.26846, -0.26876),
    (30, 0.18208, 0.27119, -0.28539), (40, 0.18293, 0.27407, -0.30470), (50, 0.18388, 0.27709, -0.32675),
    (60, 0.18494, 0.28021, -0.35156), (70, 0.18611, 0.28342, -0.37915), (80, 0.18740, 0.28668, -0.40955),
    (90, 0.18880, 0.28997, -0.44278), (100, 0.19032, 0.29326, -0.47888), (125, 0.19462, 0.30141, -0.58204),
    (150, 0.19962, 0.30921, -0.70471), (175, 0.20525, 0.31647, -0.84901), (200, 0.21142, 0.32312, -1.0182),
    (225, 0.21807, 0.32909, -1.2168), (250, 0.22511, 0.33439, -1.4512), (275, 0.23247, 0.33904, -1.7298),
    (300, 0.24010, 0.34308, -2.0637), (325, 0.24792, 0.34655, -2.4681), (350, 0.25591, 0.34951, -2.9641),
    (375, 0.26400, 0.35200, -3.5814), (400, 0.27218, 0.35407, -4.3633), (425, 0.28039, 0.35577, -5.3762),
    (450, 0.28863, 0.35714, -6.7262), (475, 0.29685, 0.35823, -8.5955), (500, 0.30505, 0.35907, -11.324),
    (525, 0.31320, 0.35968, -15.628), (550, 0.32129, 0.36011, -23.325), (575, 0.32931, 0.36038, -40.770),
    (600, 0.33724, 0.36051, -116.45),
])  # fmt: skip

LOWEST_K = float(1e6 / _ISOTHERMS[-1, 0])
"""The redmost temperature of the table [K]."""


def temperature_of(white: Chromaticity) -> tuple[float, float]:
    """Correlated colour temperature [K] and tint of a chromaticity (x, y).

    Colours beyond the table's ends take the temperature of the end (from 1667 K to infinity, here 10^6 K).
    """
    x, y = white
    scale = -2 * x + 12 * y + 3
    point = np.array([4 * x / scale, 6 * y / scale])
    directions = _directions()
    offsets = point - _ISOTHERMS[:, 1:3]
    distances = directions[:, 0] * offsets[:, 1] - directions[:, 1] * offsets[:, 0]
    above = np.flatnonzero(distances[1:] <= 0)
    index = int(above[0]) + 1 if above.size else len(_ISOTHERMS) - 1
    before, after = distances[index - 1], -distances[index]
    share = float(np.clip(before / (before + after), 0.0, 1.0)) if before + after > 0 else 1.0
    reciprocal = float(_between(_ISOTHERMS[index - 1, :1], _ISOTHERMS[index, :1], share)[0])
    locus = _between(_ISOTHERMS[index - 1, 1:3], _ISOTHERMS[index, 1:3], share)
    line = _between(directions[index - 1], directions[index], share)
    tint = float((point - locus) @ (line / np.linalg.norm(line))) * _TINT_SCALE
    return 1e6 / max(reciprocal, 1.0), tint


def white_of(temperature_k: float, tint: float = 0.0) -> Chromaticity:
    """Chromaticity (x, y) of a colour temperature [K] and tint: the inverse of `temperature_of`.

    Raises:
        ValueError: a temperature below the table's 1667 K.
    """
    if not temperature_k >= LOWEST_K - 1e-6:
        raise ValueError(f"colour temperature must be at least {LOWEST_K:.0f} K, got {temperature_k:g} K")
    reciprocal = 1e6 / temperature_k
    index = int(np.clip(np.searchsorted(_ISOTHERMS[:, 0], reciprocal), 1, len(_ISOTHERMS) - 1))
    low, high = _ISOTHERMS[index - 1, 0], _ISOTHERMS[index, 0]
    share = min((reciprocal - low) / (high - low), 1.0)
    directions = _directions()
    line = _between(directions[index - 1], directions[index], share)
    u, v = _between(_ISOTHERMS[index - 1, 1:3], _ISOTHERMS[index, 1:3], share) + (
        line / np.linalg.norm(line) * (tint / _TINT_SCALE)
    )
    scale = u - 4 * v + 2
    return float(1.5 * u / scale), float(v / scale)


def _directions() -> Matrix:
    """Unit vectors (u, v) along the isotemperature lines, `[31, 2]`."""
    slopes = _ISOTHERMS[:, 3]
    lines: Matrix = np.stack([np.ones_like(slopes), slopes], axis=1)
    units: Matrix = lines / np.linalg.norm(lines, axis=1, keepdims=True)
    return units


def _between(first: Matrix, second: Matrix, share: float) -> Matrix:
    """Linear interpolation, `share` 0 at the first."""
    return first + (second - first) * share
