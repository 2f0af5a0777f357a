from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rawdiff_calibration.noise import NoiseModel

from rawdiff.pipeline.correct import correct_frame
from rawdiff.raw.frame import FrameTags, Levels, RawFrame, Source

NOISE = NoiseModel.uniform(4.0, 4.0)


def make_frame(mosaic: np.ndarray, defects: np.ndarray | None = None) -> RawFrame:
    levels = Levels(np.full((2, 2), 512.0), np.full((2, 2), 16095.0))
    source = Source(Path("a.dng"), "0" * 64, "test")
    return RawFrame(mosaic.astype(np.float32), "RGGB", levels, FrameTags(), source, defects=defects)


def flat(level_e: float, seed: int, size: int = 600) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.round(512 + 4.0 * rng.poisson(level_e, (size, size)) + 4.0 * rng.standard_normal((size, size)))


@pytest.mark.parametrize("level_e", [0.0, 0.5, 3.0, 100.0])
def test_a_flat_field_is_left_alone(level_e: float) -> None:
    """n = 360,000 pixels at a chance below 1e-7 each: one replacement in 28 such frames at most."""
    frame = make_frame(flat(level_e, 0))
    corrected, found = correct_frame(frame, NOISE)
    assert found.outliers == 0 and corrected is frame


def test_a_hot_and_a_dead_pixel_become_their_neighbours() -> None:
    mosaic = flat(500.0, 1)
    mosaic[100, 100], mosaic[0, 0], mosaic[599, 300] = 16000, 16000, 512
    corrected, found = correct_frame(make_frame(mosaic), NOISE)
    assert found.outliers == 3
    # Median of eight (of three in a corner) neighbours of 2512 +- 90 DN: five of its deviations.
    for row, column in ((100, 100), (0, 0), (599, 300)):
        assert abs(corrected.mosaic_dn[row, column] - 2512) < 5 * 90
    mask = np.ones(mosaic.shape, bool)
    mask[[100, 0, 599], [100, 0, 300]] = False
    assert (corrected.mosaic_dn[mask] == mosaic[mask].astype(np.float32)).all()


def test_an_edge_and_a_two_pixel_star_stay() -> None:
    mosaic = flat(20.0, 2)
    mosaic[:, 300:] += 4000
    mosaic[50:54, 50:54] += 3000
    _, found = correct_frame(make_frame(mosaic), NOISE)
    assert found.outliers == 0


def test_a_named_defect_is_replaced_from_good_neighbours_only() -> None:
    mosaic = np.full((20, 20), 1000.0)
    defects = np.zeros((20, 20), bool)
    for row, column in ((8, 8), (8, 10), (10, 8)):
        defects[row, column] = True
        mosaic[row, column] = 9000
    corrected, found = correct_frame(make_frame(mosaic, defects), NOISE)
    assert found.named_defects == 3
    assert (corrected.mosaic_dn == 1000).all()
