from __future__ import annotations

import numpy as np
import pytest
from rawdiff_calibration.defects import DEAD
from rawdiff_calibration.flat import FlatAccumulator, FlatResult
from rawdiff_calibration.linearity import measure_linearity
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.sensor import SimulatedSensor

SHAPE = (256, 384)


def gather(sensor: SimulatedSensor, levels_e: list[float], iso: float = 100) -> FlatResult:
    flats = FlatAccumulator(sensor.shape, sensor.phase, sensor.black_dn, sensor.white_dn)
    for number, level in enumerate(levels_e):
        flats.add(sensor.flat(level_e=level, iso=iso, seed=number))
    return flats.solve()


def test_response_is_split_into_pixels_rows_and_columns() -> None:
    sensor = SimulatedSensor(SHAPE, seed=1, prnu=(0.008, 0.003, 0.002))
    found = gather(sensor, [10000.0, 10000, 20000, 20000, 30000, 30000]).prnu
    truth = sensor.prnu
    for part, true in zip((found.pixel, found.column, found.row), truth, strict=True):
        assert abs(part.value - true) < 4 * part.se
    assert found.total.value == pytest.approx(float(np.linalg.norm(truth)), rel=0.05)


def test_noise_does_not_count_as_response() -> None:
    sensor = SimulatedSensor(SHAPE, seed=2, prnu=(0.0, 0.0, 0.0), hot=0, dead=0, telegraph=0)
    found = gather(sensor, [2000.0] * 4).prnu
    # Shot noise alone is 2 % of such a flat.
    assert found.pixel.value < 0.002


def test_gain_map_undoes_the_shading() -> None:
    sensor = SimulatedSensor(SHAPE, seed=3, vignetting=0.4)
    found = gather(sensor, [20000.0] * 4)
    rows, columns = found.gain_map.shape[1:]
    y, x = ((np.arange(count) * 2 + 1) / count - 1 for count in (rows, columns))
    truth = 1 - 0.2 * (y[:, None] ** 2 + x[None, :] ** 2)
    for plane in found.gain_map:
        assert plane == pytest.approx(truth.max() / truth, rel=0.01)
    assert found.falloff == pytest.approx(0.38, abs=0.03)
    assert found.gradient < 0.03


def test_dead_pixels_are_found_in_the_response() -> None:
    sensor = SimulatedSensor(SHAPE, seed=4, dead=1e-3)
    found = gather(sensor, [20000.0] * 2)
    truth = sensor.defect_map == DEAD
    assert np.all(found.defect_map[truth] == DEAD)
    assert np.mean(found.defect_map[~truth] == DEAD) < 1e-3


def test_linear_response_has_no_error_and_a_full_well() -> None:
    exposure = np.linspace(0.05, 2.0, 40)
    level = np.minimum(9000 * exposure, 12000.0)
    found = measure_linearity(list(exposure[::-1]), list(level[::-1]), 15000)
    assert found.saturation_dn == pytest.approx(12000)
    assert max(abs(found.error_min_percent), abs(found.error_max_percent)) < 1e-9
    assert found.slope_dn == pytest.approx(9000)
    well = found.full_well_e(Measured(0.25, 0.001))
    assert well is not None and well.value == pytest.approx(48000) and well.se == pytest.approx(192)


def test_bent_response_has_the_error_of_its_curve() -> None:
    exposure = np.linspace(0.05, 1.0, 30)
    level = 10000 * exposure * (1 - 0.06 * exposure)
    found = measure_linearity(list(exposure), list(level), 10000)
    assert found.saturation_dn is None and found.full_well_e(Measured(1.0, 0.0)) is None
    assert found.error_max_percent - found.error_min_percent > 1.0
    assert found.linear_to_dn < level.max()
    with pytest.raises(ValueError, match="3 frames"):
        measure_linearity([1.0, 2.0], [10.0, 20.0])
