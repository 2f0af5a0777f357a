"""Laws over ISO: exact on exact data, steps found where they are and nowhere else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rawdiff_calibration.gain_steps import find_steps
from rawdiff_calibration.laws import Step, fit_law
from rawdiff_calibration.measure import Measured

STOPS = [100.0 * 2**i for i in range(8)]


def _points(values, relative_se=0.01, isos=STOPS):
    return [(iso, Measured(v, relative_se * v)) for iso, v in zip(isos, values, strict=True)]


def _noise(slope, jump=0.0, above=math.inf, scatter=0.0, rng=None, isos=STOPS):
    log = np.array([slope * math.log(iso / 100) + (jump if iso >= above else 0.0) for iso in isos])
    return np.exp(log + (scatter * rng.standard_normal(len(isos)) if rng is not None else 0.0))


def test_power_law_is_recovered_exactly():
    law = fit_law(_points(2.5 * np.array([iso / 100 for iso in STOPS]) ** 0.7))
    assert law.segments[0].slope.value == pytest.approx(0.7, abs=1e-9)
    assert law.at(320.0).value == pytest.approx(2.5 * 3.2**0.7, rel=1e-9)


def test_linear_form_takes_negative_figures():
    law = fit_law([(100.0, Measured(0.1, 0.01)), (800.0, Measured(-0.05, 0.01))], form="linear")
    assert law.at(800.0).value == pytest.approx(-0.05, abs=1e-9)


def test_log_law_refuses_figures_without_a_logarithm():
    with pytest.raises(ValueError, match="above 0"):
        fit_law([(100.0, Measured(0.0, 0.1))])


def test_gain_of_one_iso_is_carried_in_proportion():
    law = fit_law([(400.0, Measured(2.0, 0.01))], quantity="gain_dn_per_e")
    figure = law.at(1600.0)
    assert figure.value == pytest.approx(8.0, rel=1e-6)
    assert figure.se > 0.05 * 8.0 * 0.5, "a slope that was not measured must widen the error"


@pytest.mark.parametrize("above", [400.0, 800.0, 1600.0, 6400.0])
def test_dual_gain_step_is_found_at_its_iso(above):
    rng = np.random.default_rng(int(above))
    figures = {name: _points(_noise(0.8, -0.9, above, 0.03, rng)) for name in ("read", "tail", "row")}
    assert find_steps(figures) == (Step(above / 2, above),)


def test_step_of_a_four_iso_calibration_is_found():
    isos = [100.0, 400.0, 1600.0, 6400.0]
    figures = {"read": _points(_noise(0.8, -0.9, 1600.0, isos=isos), isos=isos)}
    assert find_steps(figures) == (Step(400.0, 1600.0),)


def test_no_step_where_there_is_none():
    # 60 cameras whose figures scatter 3 % about one line; a jump of 15 % would be a 3.5 sigma event at one
    # of 7 places in three figures at once, so none of 60 is expected (chance below 1 %).
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        figures = {name: _points(_noise(0.6, scatter=0.03, rng=rng)) for name in ("read", "tail", "row")}
        found += len(find_steps(figures))
    assert found == 0


def test_two_steps_are_both_found():
    values = _noise(0.9, -0.6, 800.0) * np.where(np.array(STOPS) >= 6400.0, np.exp(-0.6), 1.0)
    assert find_steps({"read": _points(values)}) == (Step(400.0, 800.0), Step(3200.0, 6400.0))


def test_gap_of_a_step_says_that_it_does_not_know():
    law = fit_law(_points(_noise(0.8, -0.9, 1600.0)), [Step(800.0, 1600.0)])
    inside, outside = law.at(1100.0), law.at(400.0)
    assert inside.se > 5 * outside.se
    assert law.at(1600.0).value < law.at(800.0).value


def test_published_sony_table_steps_between_1600_and_2000():
    # ISO: read noise [DN] of the Sony A7S II, the published per-ISO table (PMN, ACM MM 2022).
    table = {100: 1.007, 800: 3.548, 1600: 6.299, 2000: 2.65, 3200: 3.919, 6400: 7.116, 12800: 14.246}
    points = [(float(iso), Measured(v, math.nan)) for iso, v in table.items()]
    assert find_steps({"read": points}) == (Step(1600.0, 2000.0),)
    high = fit_law(points, find_steps({"read": points})).segments[1]
    # The authors' own line above the step has slope .829 over log K; ours is over fewer settings.
    assert high.slope.value == pytest.approx(0.829, abs=0.1)
