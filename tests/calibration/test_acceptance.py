"""A whole camera many times over: errors stay within their bounds, and are what the program says they are."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from rawdiff_calibration.dark import DarkAccumulator
from rawdiff_calibration.dark_solve import solve_darks
from rawdiff_calibration.defects import GOOD, find_defects
from rawdiff_calibration.flat import FlatAccumulator
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.photon_transfer import PhotonTransfer
from rawdiff_calibration.sensor import SimulatedSensor

SHAPE, SEEDS, ISOS = (400, 600), 12, (100.0, 1600.0)
Cases = dict[str, list[tuple[Measured, float]]]


def measure(sensor: SimulatedSensor, iso: float, cases: Cases) -> tuple[float, float]:
    """Calibrate one ISO; add each figure and its truth to the cases; return defects found and false ones."""
    darks = DarkAccumulator(sensor.shape, sensor.phase, sensor.black_dn)
    frames = [sensor.dark(1e-3 if k < 12 else 30.0, iso=iso, seed=k) for k in range(20)]
    for number, frame in enumerate(frames):
        darks.add(frame, 1e-3 if number < 12 else 30.0)
    dark = solve_darks(darks)
    blacks = [level.value for level in dark.black_dn]
    curve = PhotonTransfer(sensor.phase, blacks, sensor.white_dn, dark.defect_map != GOOD)
    curve.add_dark_pair(frames[0], frames[1])
    curve.add_dark_pair(frames[2], frames[3])
    flats = FlatAccumulator(sensor.shape, sensor.phase, blacks, sensor.white_dn)
    range_e = min(sensor.full_well_e, (sensor.white_dn - sensor.black_dn) / sensor.gain_dn_per_e(iso)[1])
    for number, share in enumerate(np.geomspace(0.01, 1.15, 12)):
        first, second = (
            sensor.flat(level_e=range_e * share, iso=iso, seed=100 + 2 * number + k) for k in (0, 1)
        )
        curve.add_pair(first, second)
        if 0.15 < share < 0.75:
            flats.add(first)
            flats.add(second)
    flat = flats.solve(dark.offset_map_dn, dark.defect_map, dark.dsnu_dn)
    truth, gain = sensor.noise_model(iso), curve.solve().gain_dn_per_e
    assert dark.dark_current_dn_per_s is not None
    for color in range(3):
        cases["gain"].append((gain[color], truth.gain_dn_per_e[color]))
        cases["read noise"].append((dark.read_noise_dn[color], truth.read_noise_dn[color]))
        current = dark.dark_current_dn_per_s[color].over(gain[color])
        cases["dark current"].append((current, sensor.dark_current_e_per_s))
    cases["black"] += [(level, sensor.black_dn) for level in dark.black_dn]
    cases["row noise"].append((dark.row_noise_dn, truth.row_noise_dn))
    cases["prnu"].append((flat.prnu.total, float(np.linalg.norm(sensor.prnu))))
    assert dark.tukey_lambda is not None and truth.tukey_lambda is not None
    cases["lambda"].append((dark.tukey_lambda, truth.tukey_lambda))
    codes = find_defects(dark.defect_map, flat.response_map, sensor.phase)
    bad = sensor.defect_map != GOOD
    return float(np.mean(codes[bad] != GOOD)), float(np.mean(codes[~bad] != GOOD))


@pytest.fixture(scope="module")
def runs() -> tuple[Cases, list[tuple[float, float]]]:
    cases: Cases = defaultdict(list)
    defects = [
        measure(SimulatedSensor(SHAPE, seed=seed), iso, cases) for seed in range(SEEDS) for iso in ISOS
    ]
    return cases, defects


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_figures_are_true_within_bounds(runs: tuple[Cases, list[tuple[float, float]]]) -> None:
    cases, defects = runs
    # The bounds of a 2 MP camera; these frames are an eighth of it, which costs K alone its margin.
    bounds = {"gain": 0.003, "read noise": 0.01, "dark current": 0.03, "row noise": 0.03, "prnu": 0.03}
    for name, bound in bounds.items():
        errors = [found.value / truth - 1 for found, truth in cases[name]]
        assert np.sqrt(np.mean(np.square(errors))) < bound, name
    assert np.sqrt(np.mean([(found.value - truth) ** 2 for found, truth in cases["lambda"]])) < 0.02
    assert np.mean([found for found, _ in defects]) > 0.99
    assert np.mean([false for _, false in defects]) < 1e-4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stated_errors_hold(runs: tuple[Cases, list[tuple[float, float]]]) -> None:
    cases, _ = runs
    for name, found in cases.items():
        scores = np.array([(figure.value - truth) / figure.se for figure, truth in found])
        # Of n independent cases 68.3 % lie within one error; colours share frames, so that n counts as n / 3
        # at worst. Four standard deviations of the binomial.
        independent = SEEDS * len(ISOS)
        slack = 4 * np.sqrt(0.683 * 0.317 / independent)
        assert abs(np.mean(np.abs(scores) < 1) - 0.683) < slack, name
        assert abs(scores.mean()) < 4 / np.sqrt(independent), name
