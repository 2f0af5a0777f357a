"""The real raw files: each reads right, against a decoder that is not ours where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from rawdiff.raw.frame import LinearFrame, RawFrame
from rawdiff.raw.ingest import read_raw, read_tags

pytestmark = pytest.mark.shared_data


def test_colorchart_is_its_stored_values_in_its_own_active_area(shared_data: Path) -> None:
    path = shared_data / "raw" / "colorchart.dng"
    frame = read_raw(path)
    assert isinstance(frame, RawFrame)
    stored = tifffile.imread(path)[26:1182, 152:1886]
    assert np.array_equal(frame.mosaic_dn, stored.astype(np.float32))
    assert frame.phase == "RGGB"
    assert np.array_equal(frame.levels.black_dn, np.full((2, 2), 2056.0))
    assert np.array_equal(frame.levels.white_dn, np.full((2, 2), 15000.0))
    assert frame.mosaic_dn.min() < 2056  # true negatives after black survive
    neutral = frame.tags.color.as_shot_neutral
    assert neutral is not None
    np.testing.assert_allclose(neutral, np.array([1.0, 2.477, 1.462]) / 2.477)
    np.testing.assert_allclose(frame.tags.color.color_matrices[0][0], [0.6461, -0.1164, -0.0857])
    assert frame.tags.default_crop == (0, 0, 1156, 1734)
    assert frame.tags.color.baseline_exposure_ev == 0  # stored as 0/0
    assert read_tags(path)[1:] == (frame.shape, "mosaic")


def test_linear_dngs_are_linear_frames(shared_data: Path) -> None:
    upright = read_raw(shared_data / "raw" / "sample_1mp.dng")
    rotated = read_raw(shared_data / "raw" / "sample_1mp_rotated.dng")
    assert isinstance(upright, LinearFrame) and isinstance(rotated, LinearFrame)
    assert upright.shape == (338, 600)
    assert np.array_equal(upright.rgb_dn, rotated.rgb_dn)
    assert upright.tags.orientation == 1 and rotated.tags.orientation != 1
    assert upright.tags.applied_opcodes == ("MapPolynomial",)
