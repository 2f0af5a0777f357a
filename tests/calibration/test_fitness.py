"""Fitness: a true model has stabilised variance 1 and follows the darks; a wrong one is told how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rawdiff_calibration.dark_fitness import judge_darks
from rawdiff_calibration.errors import TooFewFramesError
from rawdiff_calibration.fitness import expected_variance, judge_frame, judge_pairs, stabilise
from rawdiff_calibration.sensor import SimulatedSensor

# No offset pattern: it bends the transform of the darkest pixels, and is corrected before denoising.
SENSOR = SimulatedSensor(shape=(256, 384), seed=3, dsnu_e=(0.0, 0.0, 0.0))
ISO = 1600.0
BLACK, WHITE = (512.0,) * 4, 16383.0
TRUTH = SENSOR.noise_model(ISO)
LEVELS_E = (2.0, 10.0, 60.0, 400.0, 2000.0)


@pytest.fixture(scope="module")
def pairs():
    return [
        tuple(SENSOR.flat(iso=ISO, seed=100 * i + j, level_e=level) for j in (0, 1))
        for i, level in enumerate(LEVELS_E)
    ]


@pytest.fixture(scope="module")
def darks():
    return [SENSOR.dark(0.01, iso=ISO, seed=500 + i) for i in range(8)]


@pytest.mark.parametrize(("light", "read"), [(0.5, 0.0), (2.0, 0.0), (1.0, 1.0), (5.0, 3.0), (50.0, 1.0)])
def test_expected_variance_is_that_of_a_sample(light, read):
    # 4e5 samples: standard error of a variance about 0.22 %, more for skewed laws; 5 of them.
    rng = np.random.default_rng(1)
    values = 2.0 * (rng.poisson(light, 400_000) + read * rng.standard_normal(400_000))
    seen = stabilise(values, 2.0, (2.0 * read) ** 2).astype(np.float64).var()
    assert seen == pytest.approx(expected_variance(light, read), rel=0.012)


def test_transform_makes_unit_variance():
    assert expected_variance(30.0, 2.0) == pytest.approx(1.0, abs=0.02)


def test_true_model_explains_flat_pairs(pairs):
    found = judge_pairs(TRUTH, pairs, "RGGB", BLACK, WHITE)
    assert found.good, found.verdict
    assert found.mean_variance == pytest.approx(1.0, abs=0.02)
    assert all(abs(one.variance - 1) < 4 * one.se for one in found.bins)  # of 48 one in 330 runs is beyond


@pytest.mark.parametrize(("factor", "word"), [(0.7, "too little"), (1.4, "too much")])
def test_wrong_gain_is_found_in_the_light(pairs, factor, word):
    gains = tuple(gain * factor for gain in TRUTH.gain_dn_per_e)
    found = judge_pairs(replace(TRUTH, gain_dn_per_e=gains), pairs, "RGGB", BLACK, WHITE)
    assert not found.good and word in found.verdict
    assert found.bins[-1].variance == pytest.approx(1 / factor, rel=0.06)


def test_wrong_read_noise_is_found_in_the_dark_levels(pairs):
    reads = tuple(3 * read for read in TRUTH.read_noise_dn)
    found = judge_pairs(replace(TRUTH, read_noise_dn=reads), pairs, "RGGB", BLACK, WHITE)
    assert found.bins[0].variance < 0.5 < 0.9 < found.bins[-1].variance


def test_photograph_judges_in_its_smooth_places():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:512, :768]
    scene = 300 + 280 * np.sin(x / 90) * np.cos(y / 70)
    scene = scene * np.where((x // 128 + y // 128) % 3 == 0, 1 + 0.5 * rng.random(scene.shape), 1)
    sensor = replace(SENSOR, shape=(512, 768), prnu=(0.0, 0.0, 0.0), hot=0.0, telegraph=0.0, dead=0.0)
    frame = sensor.expose(scene.astype(np.float32), 0.01, iso=ISO, seed=1)
    assert judge_frame(TRUTH, frame, "RGGB", BLACK, WHITE).mean_variance == pytest.approx(1.0, abs=0.05)
    double = replace(TRUTH, gain_dn_per_e=tuple(2 * gain for gain in TRUTH.gain_dn_per_e))
    assert judge_frame(double, frame, "RGGB", BLACK, WHITE).mean_variance == pytest.approx(0.5, abs=0.05)


def test_true_model_explains_darks(darks):
    found = judge_darks(TRUTH, darks, "RGGB")
    assert found.good, found.verdict
    assert [one.color for one in found.colors] == ["R", "G", "B"]
    middle = slice(3, -3)
    for one in found.colors:
        assert one.spread == pytest.approx(1.0, abs=0.03)
        assert np.allclose(one.seen_dn[middle], one.expected_dn[middle], rtol=0.08, atol=0.5)


def test_one_wrong_color_is_named(darks):
    red, green, blue = TRUTH.read_noise_dn
    found = judge_darks(replace(TRUTH, read_noise_dn=(red, green, 1.5 * blue)), darks, "RGGB")
    assert not found.good and "the noise of B in the dark" in found.verdict
    flats = [tuple(SENSOR.flat(level_e=level, iso=ISO, seed=k) for k in (1, 2)) for level in (300.0, 3000.0)]
    gains = TRUTH.gain_dn_per_e
    wrong = replace(TRUTH, gain_dn_per_e=(2 * gains[0], gains[1], gains[2]))
    judged = judge_pairs(wrong, flats, "RGGB", BLACK, WHITE)
    assert not judged.good and " in R: " in judged.verdict
    assert all(one.color == 0 for one in judged.bins if one.wrong)


def test_wrong_width_and_wrong_shape_are_told_apart(darks):
    wide = replace(
        TRUTH,
        read_noise_dn=tuple(2 * read for read in TRUTH.read_noise_dn),
        tukey_scale_dn=None,
        tukey_lambda=None,
    )
    assert "times as wide" in judge_darks(wide, darks, "RGGB").verdict
    heavy = [
        512 + 6 * np.random.default_rng(i).standard_t(2.5, (256, 384)).astype(np.float32) for i in range(6)
    ]
    # The same width between 2.3 % and 97.7 % as the Student law, but Gaussian: only the shape is off.
    level = np.quantile(heavy[0] - 512, 0.9772) / 2.0
    model = replace(TRUTH, read_noise_dn=(level,) * 3, tukey_lambda=None, tukey_scale_dn=None)
    assert "shape" in judge_darks(model, heavy, "RGGB").verdict


def test_smoothed_darks_are_not_white(darks):
    smooth = [(f + np.roll(f, 1, 0) + np.roll(f, 1, 1)) / 3 for f in darks]
    assert "not white" in judge_darks(TRUTH, smooth, "RGGB").verdict


def test_too_few_darks_and_too_small_frames_are_refused(darks):
    with pytest.raises(TooFewFramesError, match="three darks"):
        judge_darks(TRUTH, darks[:2], "RGGB")
    tiny = np.full((16, 16), 600.0, np.float32)
    with pytest.raises(ValueError, match="too few"):
        judge_pairs(TRUTH, [(tiny, tiny)], "RGGB", BLACK, WHITE)
