"""Packing: black 0, white 1 per plane, the inverse exact to float32, every phase."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from rawdiff.raw.frame import CfaPhase, FrameTags, Levels, RawFrame, Source, plane_sites
from rawdiff.raw.packed import pack_frame, unpack_to_dn


@pytest.mark.parametrize("phase", get_args(CfaPhase))
def test_planes_take_their_own_levels_and_return(phase: CfaPhase) -> None:
    rng = np.random.default_rng(3)
    mosaic = rng.uniform(0, 4000, (1030, 6)).astype(np.float32)  # more rows than one band
    levels = Levels(np.array([[64.5, 60.0], [70.25, 63.0]]), np.array([[4000.0, 4095.0], [3900.0, 4001.0]]))
    frame = RawFrame(mosaic, phase, levels, FrameTags(), Source(Path("x"), "", "test"))
    packed = pack_frame(frame)
    for plane, (row, column) in enumerate(plane_sites(phase)):
        black, white = levels.black_dn[row, column], levels.white_dn[row, column]
        expected = (mosaic[row::2, column::2] - black) / (white - black)
        np.testing.assert_allclose(packed.planes[plane].numpy(), expected, rtol=3e-7, atol=1e-7)
    assert packed.planes.min() < 0  # below black is kept
    # (x - b) s, then / s + b: three roundings of numbers up to 4000 -> 3 * 2^-24 * 4096 DN.
    np.testing.assert_allclose(unpack_to_dn(packed, levels), mosaic, atol=3 * 2.0**-12)
