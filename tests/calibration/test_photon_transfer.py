from __future__ import annotations

import numpy as np
import pytest
from rawdiff_calibration.chart import from_chart_frame
from rawdiff_calibration.mosaic import plane_slices
from rawdiff_calibration.photon_transfer import PhotonTransfer, PhotonTransferResult
from rawdiff_calibration.sensor import SimulatedSensor

SHAPE = (256, 384)


def transfer(
    sensor: SimulatedSensor, iso: float, levels_e: list[float], seed: int = 0, darks: int = 2
) -> PhotonTransferResult:
    curve = PhotonTransfer(sensor.phase, sensor.black_dn, sensor.white_dn)
    for number in range(darks):
        pair = [sensor.dark(1e-3, iso=iso, seed=seed + 500 + 2 * number + k) for k in (0, 1)]
        curve.add_dark_pair(pair[0], pair[1])
    for number, level in enumerate(levels_e):
        pair = [sensor.flat(level_e=level, iso=iso, seed=seed + 2 * number + k) for k in (0, 1)]
        curve.add_pair(pair[0], pair[1], level / sensor.flux_e_per_s)
    return curve.solve()


def test_gain_of_each_color_comes_back_within_its_error() -> None:
    sensor = SimulatedSensor(SHAPE, seed=1, color_gains=(1.3, 1.0, 0.8))
    found = transfer(sensor, 400, list(np.geomspace(200, 12000, 8)))
    assert found.colors == ("R", "G", "B")
    for gain, truth in zip(found.gain_dn_per_e, sensor.gain_dn_per_e(400), strict=True):
        assert gain.se < 0.005 * truth
        assert abs(gain.value - truth) < 4 * gain.se
    for chi2, freedom in zip(found.chi2, found.freedom, strict=True):
        assert chi2 < freedom + 4 * np.sqrt(2 * freedom)
    read2 = [noise**2 + 1 / 12 for noise in sensor.read_noise_dn(400)]
    for intercept, truth in zip(found.intercept_dn2, read2, strict=True):
        assert abs(intercept.value - truth) < 5 * intercept.se


def test_clipped_and_saturated_levels_are_left_out_with_the_reason() -> None:
    sensor = SimulatedSensor(SHAPE, seed=2)
    found = transfer(sensor, 100, [2000.0, 8000, 20000, 40000, 55000, 70000, 90000])
    full_dn = sensor.full_well_e * sensor.gain_dn_per_e(100)[1]
    assert found.saturation_dn == pytest.approx(full_dn, rel=0.01)
    out = [point for point in found.points if not point.used]
    assert out and all(point.mean_dn > 0.85 * full_dn and point.reason for point in out)
    green = found.gain_dn_per_e[1]
    assert abs(green.value - 0.25) < 4 * green.se


def test_bent_response_ends_the_linear_range() -> None:
    bent = SimulatedSensor(SHAPE, seed=3, curvature=0.35, full_well_e=60000)
    straight = SimulatedSensor(SHAPE, seed=3, full_well_e=60000)
    levels = list(np.geomspace(300, 50000, 14))
    limits = [transfer(sensor, 100, levels).linear_to_dn for sensor in (bent, straight)]
    assert limits[0] < 0.75 * limits[1]


def test_one_pair_and_darks_suffice() -> None:
    sensor = SimulatedSensor(SHAPE, seed=4, vignetting=0.0)
    found = transfer(sensor, 800, [3000.0])
    assert "one pair" in found.trust
    for gain, truth in zip(found.gain_dn_per_e, sensor.gain_dn_per_e(800), strict=True):
        assert abs(gain.value - truth) < 4 * gain.se < 0.05 * truth


def test_flicker_between_the_flats_of_a_pair_does_not_bias_the_gain() -> None:
    sensor = SimulatedSensor(SHAPE, seed=5, vignetting=0.4)
    curve = PhotonTransfer(sensor.phase, sensor.black_dn, sensor.white_dn)
    for number, level in enumerate((1000.0, 4000, 12000, 25000)):
        first = sensor.flat(level_e=level, iso=100, seed=2 * number)
        curve.add_pair(first, sensor.flat(level_e=1.03 * level, iso=100, seed=2 * number + 1))
    gain = curve.solve().gain_dn_per_e[1]
    assert abs(gain.value / 0.25 - 1) < 0.015


def test_defects_do_not_bias_the_gain() -> None:
    clean = SimulatedSensor(SHAPE, seed=6, hot=0, dead=0, telegraph=0)
    rough = SimulatedSensor(SHAPE, seed=6, hot=5e-4, dead=2e-3, telegraph=1e-3)
    levels = [500.0, 4000, 15000, 30000]
    gains = [transfer(sensor, 100, levels).gain_dn_per_e[1] for sensor in (clean, rough)]
    # 0.2 % of dead pixels would lower the variance by as much, and the jumps raise it by far more.
    assert abs(gains[0].value - gains[1].value) < 2 * gains[0].se
    assert abs(gains[1].value - 0.25) < 4 * gains[1].se


def test_monochrome_sensor_has_one_color() -> None:
    sensor = SimulatedSensor(SHAPE, phase=None, seed=7)
    found = transfer(sensor, 100, [1000.0, 6000, 20000])
    assert found.colors == ("Y",)
    assert abs(found.gain_dn_per_e[0].value - 0.25) < 4 * found.gain_dn_per_e[0].se


def test_stepped_chart_in_a_pair_is_a_whole_curve() -> None:
    sensor = SimulatedSensor(SHAPE, seed=8)
    light = np.repeat(np.geomspace(100, 20000, 6), SHAPE[1] // 6)[None, :] * np.ones((SHAPE[0], 1))
    curve = PhotonTransfer(sensor.phase, sensor.black_dn, sensor.white_dn)
    curve.add_pair(*(sensor.expose(light.astype(np.float32), 0.01, iso=100, seed=k) for k in (0, 1)))
    found = curve.solve()
    assert len({point.mean_dn for point in found.points if point.color == 0}) >= 6
    for gain in found.gain_dn_per_e:
        assert abs(gain.value - 0.25) < 4 * gain.se


def test_single_chart_frame_gives_the_gain_and_says_how_far_to_trust_it() -> None:
    sensor = SimulatedSensor((512, 768), seed=9, prnu=(0.004, 0.0, 0.0))
    light = np.kron(np.geomspace(100, 20000, 24).reshape(4, 6), np.ones((128, 128))).astype(np.float32)
    found = from_chart_frame(sensor.expose(light, 0.01, iso=100, seed=1), "RGGB", 512.0, 16383.0)
    assert "one frame" in found.trust
    for gain in found.gain_dn_per_e:
        assert gain.value == pytest.approx(0.25, rel=0.25)
        assert abs(gain.value - 0.25) < 2 * gain.se


def test_greens_are_tied() -> None:
    sensor = SimulatedSensor(SHAPE, seed=10)
    found = transfer(sensor, 100, [3000.0, 12000])
    of_green = [point for point in found.points if point.color == 1 and not point.dark]
    of_red = [point for point in found.points if point.color == 0 and not point.dark]
    assert len(of_green) == 2 * len(of_red)
    assert len(plane_slices("RGGB")) == 4
