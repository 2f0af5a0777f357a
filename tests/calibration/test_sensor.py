"""The simulated camera against the laws that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from rawdiff_calibration.defects import DEAD, HOT, TELEGRAPH
from rawdiff_calibration.mosaic import (
    block_means,
    cell_means,
    color_planes,
    evaluate_smooth,
    fit_smooth,
    plane_slices,
    split_planes,
)
from rawdiff_calibration.sensor import SimulatedSensor

PLAIN = {"hot": 0.0, "dead": 0.0, "telegraph": 0.0, "vignetting": 0.0, "prnu": (0.0, 0.0, 0.0)}


@pytest.mark.parametrize("iso", [100, 800])
def test_variance_of_a_flat_is_that_of_its_noise_model(iso: float) -> None:
    sensor = SimulatedSensor((256, 256), seed=1, dsnu_e=(0, 0, 0), color_response=(1, 1, 1), **PLAIN)  # type: ignore[arg-type]
    model = sensor.noise_model(iso)
    frame = sensor.flat(level_e=3000, iso=iso, seed=1)
    expected = model.variance_dn2(np.array(3000 * model.gain_dn_per_e[1]), 1)
    # 65 536 pixels: the variance is known to 0.55 %; rows and columns are few, yet a thousandth of it.
    assert float(frame.var()) == pytest.approx(float(expected), rel=0.03)
    assert float(frame.mean()) == pytest.approx(512 + 3000 * model.gain_dn_per_e[1], rel=1e-3)


def test_dual_gain_lowers_the_read_noise_in_electrons() -> None:
    sensor = SimulatedSensor(dual_gain_iso=800)
    below, above = (sensor.read_noise_dn(iso)[1] / sensor.gain_dn_per_e(iso)[1] for iso in (799, 800))
    assert above < 0.6 * below
    assert SimulatedSensor(dual_gain_iso=None).read_noise_dn(6400)[1] > 4 * sensor.gain_dn_per_e(6400)[1]


def test_frames_depend_on_their_seed_alone() -> None:
    first, second = (SimulatedSensor((64, 64), seed=5) for _ in range(2))
    assert np.array_equal(first.dark(1.0, iso=100, seed=3), second.dark(1.0, iso=100, seed=3))
    assert not np.array_equal(first.dark(1.0, iso=100, seed=3), first.dark(1.0, iso=100, seed=4))
    with pytest.raises(ValueError, match="level_e or exposure_s"):
        first.flat(iso=100, seed=0)


def test_defects_do_what_their_names_say() -> None:
    sensor = SimulatedSensor((256, 256), seed=6, hot=1e-3, dead=1e-3, telegraph=1e-3)
    codes = sensor.defect_map
    long, flat = sensor.dark(30.0, iso=100, seed=1), sensor.flat(level_e=20000, iso=100, seed=2)
    assert np.median(long[codes == HOT]) > 512 + 100
    assert np.all(flat[codes == DEAD] < 600)
    frames = np.stack([sensor.dark(1e-3, iso=100, seed=k) for k in range(12)])
    assert np.median(frames[:, codes == TELEGRAPH].std(axis=0)) > 5 * np.median(frames.std(axis=0))


def test_values_are_whole_and_within_range() -> None:
    frame = SimulatedSensor((64, 64)).flat(level_e=80000, iso=400, seed=0)
    assert np.array_equal(frame, np.rint(frame)) and frame.max() == 16383 and frame.dtype == np.float32


@pytest.mark.parametrize("phase", ["RGGB", "GRBG", "GBRG", "BGGR", None])
def test_planes_cover_the_mosaic_once(phase: str | None) -> None:
    seen = np.zeros((6, 8), int)
    for place in plane_slices(phase):  # type: ignore[arg-type]
        seen[place] += 1
    assert np.all(seen == 1)
    greens = color_planes(phase)  # type: ignore[arg-type]
    assert sum(len(planes) for planes in greens) == len(split_planes(seen, phase))  # type: ignore[arg-type]


def test_smooth_fit_gives_a_polynomial_back_beyond_the_last_whole_block() -> None:
    rows, columns = np.linspace(-1, 1, 70)[:, None], np.linspace(-1, 1, 103)[None, :]
    surface = 5 + 2 * rows - columns + rows * columns
    field = fit_smooth(block_means(surface, 8), 3)
    assert evaluate_smooth(field, (70, 103), (64, 96)) == pytest.approx(surface, abs=1e-5)
    covering = fit_smooth(cell_means(surface, 8), 3, (70, 103))
    assert evaluate_smooth(covering, (70, 103)) == pytest.approx(surface, abs=1e-5)
    with pytest.raises(ValueError, match="no whole block"):
        block_means(surface, 128)


def test_cells_cover_the_plane() -> None:
    plane = np.random.default_rng(0).normal(size=(37, 53))
    cells = cell_means(plane, 8)
    assert cells.shape == (5, 7)
    assert cell_means(plane, 200) == pytest.approx(plane.mean(), rel=1e-12)
    assert cells[-1, -1] == pytest.approx(plane[30:, 45:].mean(), rel=1e-12)
