"""Dark shading between measured ISOs: the line through the neighbours, never across a switch of the gain."""

from __future__ import annotations

import numpy as np
import pytest
from rawdiff_calibration.laws import Step
from rawdiff_calibration.shading import weigh_shading

ISOS = (100.0, 400.0, 1600.0, 6400.0)
STEPS = (Step(400.0, 1600.0),)


@pytest.mark.parametrize("iso", [100.0, 130.0, 250.0, 400.0, 1600.0, 3200.0])
def test_a_law_that_is_linear_in_iso_comes_back(iso: float) -> None:
    weights = weigh_shading(iso, ISOS, STEPS)
    assert sum(weights.values()) == pytest.approx(1)
    slope, offset = np.random.default_rng(1).normal(size=(2, 8))
    found = sum(weight * (slope * one + offset) for one, weight in weights.items())
    assert found == pytest.approx(slope * iso + offset)


def test_maps_of_both_conversion_gains_are_not_mixed() -> None:
    assert weigh_shading(500.0, ISOS, STEPS) == {400.0: 1.0}
    assert weigh_shading(1250.0, ISOS, STEPS) == {1600.0: 1.0}
    assert weigh_shading(800.0, ISOS, STEPS) == {}
    assert set(weigh_shading(800.0, ISOS, ())) == {400.0, 1600.0}


def test_far_beyond_the_measured_isos_nothing_speaks() -> None:
    assert weigh_shading(80.0, ISOS, STEPS) == {100.0: 1.0}
    assert weigh_shading(25600.0, ISOS, STEPS) == {} == weigh_shading(100.0, (), ())
