"""Telling sRGB from other display profiles, since Exif has a word for sRGB alone (ICC.1:2022 section 9.2)."""

from __future__ import annotations

import struct

import numpy as np

# Red, green and blue of IEC 61966-2-1, adapted to D50.
_SRGB_D50 = np.array([[0.4360, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7141]])
_NEAR = 2e-3
_MOST_TAGS = 100


def has_srgb_primaries(profile: bytes) -> bool:
    """True where the colorants of a matrix profile are those of sRGB; False for any other or damaged one."""
    try:
        (count,) = struct.unpack_from(">I", profile, 128)
        places = {}
        for index in range(min(count, _MOST_TAGS)):
            name, place, _ = struct.unpack_from(">4sII", profile, 132 + 12 * index)
            places[name] = place
        colorants = [
            struct.unpack_from(">3i", profile, places[name] + 8) for name in (b"rXYZ", b"gXYZ", b"bXYZ")
        ]
    except (struct.error, KeyError):
        return False
    return bool(np.abs(np.array(colorants) / 65536 - _SRGB_D50).max() < _NEAR)
