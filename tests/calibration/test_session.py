"""A camera calibrated from frames: what goes in comes out, and the profile explains its own frames."""

from __future__ import annotations

import numpy as np
import pytest
from rawdiff_calibration.camera import assemble_camera, describe_certainty, join_defects
from rawdiff_calibration.errors import TooFewFramesError
from rawdiff_calibration.fitness import judge_pairs
from rawdiff_calibration.profile import ProfileCamera
from rawdiff_calibration.sensor import SimulatedSensor
from rawdiff_calibration.session import IsoCalibration

SENSOR = SimulatedSensor(shape=(384, 512), seed=1)
ISOS = (100.0, 400.0, 1600.0, 6400.0)
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
"""Of the range."""


def _calibrate(iso, darks=8, flats=LEVELS, sensor=SENSOR):
    one = IsoCalibration(iso, sensor.shape, sensor.phase, (512.0,) * 4, 16383.0)
    for i in range(darks):
        one.add_dark(sensor.dark(0.01, iso=iso, seed=i), 0.01, f"dark {i}")
    for i in range(darks // 2):
        one.add_dark(sensor.dark(4.0, iso=iso, seed=50 + i), 4.0, f"long dark {i}")
    for i, level in enumerate(flats):
        time = level * 15871 / sensor.gain_dn_per_e(iso)[1] / sensor.flux_e_per_s
        first, second = (sensor.flat(iso=iso, seed=100 + 2 * i + j, exposure_s=time) for j in (0, 1))
        one.add_flat_pair(first, second, time, f"pair {i}")
    return one.solve()


@pytest.fixture(scope="module")
def results():
    return [_calibrate(iso) for iso in ISOS]


@pytest.fixture(scope="module")
def profile(results):
    return assemble_camera(ProfileCamera("Acme", "One"), 16383.0, results, {"method": "test"})


@pytest.mark.parametrize("iso", ISOS)
def test_figures_are_the_sensors(profile, iso):
    # 0.2 MP and 6 pairs: K is known to about 0.3 %, read noise to 0.3 %, rows to 2 %; 4 errors each.
    truth, found = SENSOR.noise_model(iso), profile.at(iso)
    assert found.gain_dn_per_e.value == pytest.approx(truth.gain_dn_per_e[1], rel=0.012)
    assert found.read_noise_dn.value == pytest.approx(truth.read_noise_dn[1], rel=0.02)
    assert found.row_noise_dn.value == pytest.approx(truth.row_noise_dn, rel=0.1)
    assert found.tukey_lambda.value == pytest.approx(truth.tukey_lambda, abs=0.03)
    assert abs(found.gain_dn_per_e.value - truth.gain_dn_per_e[1]) < 4 * found.gain_dn_per_e.se


def test_gain_step_is_found_at_its_iso(profile):
    assert [(step.iso_below, step.iso_above) for step in profile.steps] == [(400.0, 1600.0)]


def test_non_uniformity_and_defects_are_counted(results, profile):
    assert profile.prnu["pixel"].value == pytest.approx(0.008, rel=0.05)
    assert profile.dsnu_e["pixel"].value == pytest.approx(1.5, rel=0.1)
    truth = SENSOR.defect_map > 0
    found = join_defects(results) > 0
    assert (found & truth).sum() >= 0.95 * truth.sum()
    assert profile.defects["hot"] + profile.defects["dead"] + profile.defects["telegraph"] == found.sum()


def test_profile_explains_fresh_frames(profile):
    sensor = SimulatedSensor(shape=(384, 512), seed=1, dsnu_e=(0.0, 0.0, 0.0))
    pairs = [
        tuple(sensor.flat(iso=1600.0, seed=900 + 2 * i + j, level_e=level) for j in (0, 1))
        for i, level in enumerate((20.0, 200.0, 1500.0))
    ]
    black = [figure.value for figure in profile.at(1600.0).black_dn]
    found = judge_pairs(profile.noise_model(1600.0), pairs, "RGGB", black, 16383.0)
    assert found.good, found.verdict


def test_iso_without_flats_takes_its_gain_from_the_law():
    results = [_calibrate(100.0), _calibrate(400.0, flats=())]
    profile = assemble_camera(ProfileCamera("A", "B"), 16383.0, results, {})
    figure = profile.at(400.0).gain_dn_per_e
    assert figure.value == pytest.approx(SENSOR.gain_dn_per_e(400.0)[1], rel=0.02)
    assert figure.se > profile.at(100.0).gain_dn_per_e.se


def test_without_darks_the_read_noise_comes_from_the_foot_of_the_curve():
    result = _calibrate(1600.0, darks=0, flats=(0.001, 0.003, *LEVELS))
    profile = assemble_camera(ProfileCamera("A", "B"), 16383.0, [result], {})
    figure = profile.at(1600.0).read_noise_dn
    assert figure.value == pytest.approx(SENSOR.read_noise_dn(1600.0)[1], rel=0.15)


def test_without_flats_there_is_no_profile():
    with pytest.raises(TooFewFramesError, match="no flats"):
        assemble_camera(ProfileCamera("A", "B"), 16383.0, [_calibrate(100.0, flats=())], {})


def test_without_darks_or_stated_black_nothing_is_measured():
    one = IsoCalibration(100.0, SENSOR.shape, "RGGB", None, 16383.0)
    frame = SENSOR.flat(iso=100.0, seed=0, level_e=1000.0)
    with pytest.raises(TooFewFramesError, match="no darks"):
        one.add_flat_pair(frame, frame, 0.1, "pair")


def test_poorly_known_figures_are_told(results, profile):
    few = _calibrate(6400.0, darks=2)
    words = describe_certainty(6400.0, profile.at(6400.0), few.darks)
    assert not words, "all is known well here"
    from dataclasses import replace

    from rawdiff_calibration.measure import Measured

    vague = replace(profile.at(6400.0), read_noise_dn=Measured(10.0, 0.9))
    assert describe_certainty(6400.0, vague, few.darks) == [
        "only 3 darks at ISO 6400: read noise is known to 9%"
    ]


def test_order_of_arrival_of_pairs_does_not_matter(results):
    again = _calibrate(100.0, flats=tuple(reversed(LEVELS)))
    assert np.isclose(
        again.transfer.gain_dn_per_e[1].value, results[0].transfer.gain_dn_per_e[1].value, rtol=0.01
    )
