from __future__ import annotations

import math

import numpy as np
import pytest
from rawdiff_calibration.measure import Measured, combine
from rawdiff_calibration.rounding import remove_rounding, rounded_variance


def test_errors_propagate_as_they_do_in_a_simulation() -> None:
    rng = np.random.default_rng(0)
    top, bottom = rng.normal(8, 0.1, 200_000), rng.normal(2, 0.05, 200_000)
    quotient = Measured(8, 0.1).over(Measured(2, 0.05))
    assert quotient.value == 4
    # 200 000 draws know a spread to 0.16 %, first order is short by (se/value)^2, 0.06 %.
    assert quotient.se == pytest.approx(float(np.std(top / bottom)), rel=0.01)
    assert Measured(4, 0.04).root().se == pytest.approx(0.01)


def test_a_variance_that_noise_made_negative_gives_zero_with_a_finite_error() -> None:
    assert Measured(-0.1, 0.04).root() == Measured(0.0, 0.2)


def test_combining_weighs_by_the_errors() -> None:
    both = combine([Measured(1.0, 0.1), Measured(2.0, 0.2)])
    assert both.value == pytest.approx(1.2)
    assert both.se == pytest.approx(0.1 / math.sqrt(1.25))
    assert combine([Measured(1.0, 0.0), Measured(9.0, 1.0)]) == Measured(1.0, 0.0)
    with pytest.raises(ValueError, match="nothing"):
        combine([])


def test_a_negative_error_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        Measured(1.0, -0.1)


@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.4, 0.8, 3.0])
def test_rounding_adds_what_its_law_says(sigma: float) -> None:
    rng = np.random.default_rng(1)
    levels = rng.uniform(0, 1, (4000, 1))
    stored = np.rint(levels + rng.normal(0, sigma, (4000, 100)))
    temporal = float(stored.var(axis=1, ddof=1).mean())
    # 4000 pixels of 99 degrees of freedom: 0.2 % by noise, a percent where few pixels flip at all.
    assert rounded_variance(sigma**2) == pytest.approx(temporal, rel=0.02)
    assert remove_rounding(Measured(temporal, 0.0)).root().value == pytest.approx(sigma, rel=0.02)


def test_rounding_hides_noise_far_below_a_step() -> None:
    hidden = remove_rounding(Measured(0.0, 1e-6))
    assert hidden.value == 0 and hidden.se > 0.01
    assert remove_rounding(Measured(4.0, 0.1), step=0.0) == Measured(4.0, 0.1)
