from __future__ import annotations

import numpy as np
import pytest
from rawdiff_calibration.dark import DarkAccumulator
from rawdiff_calibration.dark_result import DarkResult
from rawdiff_calibration.dark_solve import solve_darks
from rawdiff_calibration.defects import DEAD, GOOD, HOT, TELEGRAPH, find_defects
from rawdiff_calibration.sensor import SimulatedSensor

ISO = 400.0


def gather(sensor: SimulatedSensor, short: int, long: int, iso: float = ISO, seed: int = 0) -> DarkResult:
    darks = DarkAccumulator(sensor.shape, sensor.phase, sensor.black_dn)
    for number in range(short + long):
        time_s = 1e-3 if number < short else 30.0
        darks.add(sensor.dark(time_s, iso=iso, seed=seed + number), time_s)
    return solve_darks(darks)


@pytest.fixture(scope="module")
def sensor() -> SimulatedSensor:
    return SimulatedSensor(
        (256, 384), seed=1, hot=1e-3, telegraph=1e-3, bias_dn=(0.5, 0.0, 0.0, -0.5), row_noise_dn=0.6
    )


@pytest.fixture(scope="module")
def result(sensor: SimulatedSensor) -> DarkResult:
    return gather(sensor, 10, 6)


def test_noise_comes_back_within_its_error(sensor: SimulatedSensor, result: DarkResult) -> None:
    truth = sensor.noise_model(ISO)
    for read, true in zip(result.read_noise_dn, truth.read_noise_dn, strict=True):
        assert abs(read.value - true) < 4 * read.se < 0.02 * true
    assert abs(result.row_noise_dn.value - truth.row_noise_dn) < 4 * result.row_noise_dn.se
    assert abs(result.column_noise_dn.value - truth.column_noise_dn) < 4 * result.column_noise_dn.se
    shape, scale = result.tukey_lambda, result.tukey_scale_dn
    assert shape is not None and scale is not None
    assert abs(shape.value - sensor.tail(ISO)) < 4 * shape.se < 0.03
    assert abs(scale.value - (truth.tukey_scale_dn or 0)) < 5 * scale.se


def test_levels_come_back_within_their_error(sensor: SimulatedSensor, result: DarkResult) -> None:
    for black, bias, true in zip(result.black_dn, result.bias_dn, sensor.bias_dn, strict=True):
        assert abs(black.value - 512 - true) < 4 * black.se < 0.2
        assert abs(bias.value - true) < 4 * bias.se + 0.01
    k = sensor.gain_dn_per_e(ISO)[0]
    assert result.dark_current_dn_per_s and result.dark_variance_dn2_per_s
    for mean, variance in zip(result.dark_current_dn_per_s, result.dark_variance_dn2_per_s, strict=True):
        assert mean.value / k == pytest.approx(sensor.dark_current_e_per_s, rel=0.02)
        assert abs(variance.value / k**2 - sensor.dark_current_e_per_s) < 4 * variance.se / k**2


def test_fixed_pattern_is_split(sensor: SimulatedSensor, result: DarkResult) -> None:
    k = sensor.gain_dn_per_e(ISO)[0]
    pattern = result.dsnu_dn
    for found, true in zip((pattern.pixel, pattern.column, pattern.row), sensor.dsnu_e, strict=True):
        assert abs(found.value - k * true) < 4 * found.se


def test_shading_is_a_line_over_time(sensor: SimulatedSensor, result: DarkResult) -> None:
    assert result.rate_map_dn_per_s is not None
    good = result.defect_map == GOOD
    at_30_s = result.offset_map_dn + 30 * result.rate_map_dn_per_s
    frame = sensor.dark(30.0, iso=ISO, seed=900)
    assert float(np.mean((frame - at_30_s)[good])) == pytest.approx(0, abs=0.1)
    # Without the map the pattern stays in; with it little more than the frame's own noise is left.
    assert np.std((frame - at_30_s)[good]) < 1.1 * np.sqrt(np.mean(result.temporal_variance_dn2[good]) + 24)


def test_defects_are_found_and_named(sensor: SimulatedSensor, result: DarkResult) -> None:
    truth = sensor.defect_map
    for code in (HOT, TELEGRAPH):
        assert np.mean(result.defect_map[truth == code] != GOOD) > 0.98
        # A pixel that shows its second level once in 16 frames can only be called hot.
        assert np.mean(result.defect_map[truth == code] == code) > 0.93
    assert np.mean(result.defect_map[truth == GOOD] != GOOD) < 2e-4
    response = np.ones(sensor.shape, np.float32)
    response[truth == DEAD] = 0.0
    joined = find_defects(result.defect_map, response, sensor.phase)
    assert np.mean(joined[truth != GOOD] != GOOD) > 0.98
    with pytest.raises(ValueError, match="at least one"):
        find_defects(None, None, sensor.phase)


def test_banding_is_found_with_its_period() -> None:
    sensor = SimulatedSensor((256, 384), seed=2)
    darks = DarkAccumulator(sensor.shape, sensor.phase)
    rows = np.arange(256)[:, None]
    for number in range(8):
        wave = 1.5 * np.sin(2 * np.pi * (rows / 16 + number * 0.37))
        frame = sensor.dark(1e-3, iso=ISO, seed=number) + np.rint(wave)
        darks.add(frame.astype(np.float32), 1e-3)
    found = solve_darks(darks)
    assert found.rows.banding.found
    assert found.rows.banding.period_px == pytest.approx(16, rel=0.1)
    assert not found.columns.banding.found


def test_one_exposure_time_says_nothing_about_dark_current() -> None:
    found = gather(SimulatedSensor((128, 192), seed=3), 4, 0)
    assert found.dark_current_dn_per_s is None and found.rate_map_dn_per_s is None
    assert any("only 4 darks" in note for note in found.notes)


def test_frames_are_not_kept() -> None:
    shape = (1200, 1600)
    darks = DarkAccumulator(shape, "RGGB")
    frame = np.random.default_rng(0).integers(500, 524, shape).astype(np.float32)
    darks.add(frame, 1e-3)
    kept = darks.groups[1e-3].frames[0]
    numbers = sum(array.size for array in (*kept.rows, *kept.columns, *kept.sample))
    assert numbers < 0.15 * frame.size
    assert all(array.size <= 256**2 for array in kept.sample)


def test_order_of_like_frames_does_not_matter_to_the_noise() -> None:
    sensor = SimulatedSensor((128, 192), seed=5)
    frames = [sensor.dark(1e-3, iso=ISO, seed=k) for k in range(6)]
    found = []
    for order in (range(6), (4, 5, 2, 3, 0, 1)):
        darks = DarkAccumulator(sensor.shape, sensor.phase)
        for number in order:
            darks.add(frames[number], 1e-3)
        found.append(solve_darks(darks, np.zeros(sensor.shape, np.uint8)))
    for first, second in zip(found[0].read_noise_dn, found[1].read_noise_dn, strict=True):
        assert first.value == pytest.approx(second.value, rel=1e-4)


@pytest.mark.parametrize(("adc_noise_dn", "dsnu_e"), [(0.35, 1.5), (0.2, 1.5), (0.2, 0.1), (0.05, 1.5)])
def test_noise_that_rounding_hides_is_not_claimed_to_be_known(adc_noise_dn: float, dsnu_e: float) -> None:
    sensor = SimulatedSensor(
        (256, 384), seed=6, read_e=(0.5, 0.5), adc_noise_dn=adc_noise_dn, dsnu_e=(dsnu_e, 0.0, 0.0)
    )
    found = gather(sensor, 8, 0, iso=100)
    true = sensor.read_noise_dn(100)[0]
    for noise in found.read_noise_dn:
        assert abs(noise.value - true) < 2 * noise.se
    assert bool(found.tails) == (true > 0.3)
    assert found.tails or any("hides in the rounding" in note for note in found.notes)
    assert np.count_nonzero(found.defect_map) < 2e-3 * found.defect_map.size
