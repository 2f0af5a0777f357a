"""Parity with the reference implementation of EMVA 1288, and laws that its figures obey."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from rawdiff_calibration.emva import (
    EmvaQuantities,
    ExposureStep,
    NonUniformity,
    linear_quantities,
    measure_stack,
    measure_step,
)
from rawdiff_calibration.errors import FitError, TooFewFramesError

Frame = NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """A 12-bit camera seen over exposure times, lit by a constant lamp."""

    seed: int
    gain_dn_per_e: float
    dark_noise_e: float
    full_series_e: float
    dark_e_per_s: float
    steps: int = 20
    shape: tuple[int, int] = (60, 80)
    efficiency: float = 0.5
    stack: int = 12


SERIES = {
    "ordinary": Series(1, 0.4, 4.0, 9500.0, 30.0),
    "noisy": Series(2, 0.25, 45.0, 15000.0, 800.0),
    "near saturation": Series(3, 1.0, 6.0, 5200.0, 60.0),
}


@dataclass(frozen=True)
class Shots:
    """The frames: (photons, exposure time, lit pair, dark pair) per step, and the two stacks."""

    steps: list[tuple[float, float, tuple[Frame, Frame], tuple[Frame, Frame]]]
    lit_stack: list[Frame]
    dark_stack: list[Frame]
    stack_photons: float
    stack_exposure_s: float


def shoot(series: Series) -> Shots:
    """Take all frames of a series."""
    rng = np.random.RandomState(series.seed)
    response = (
        1 + 0.01 * rng.standard_normal(series.shape) + 0.004 * rng.standard_normal((series.shape[0], 1))
    )
    response = response + 0.006 * rng.standard_normal((1, series.shape[1]))
    offset_e = 3 * rng.standard_normal(series.shape) + 1.5 * rng.standard_normal((1, series.shape[1]))
    offset_e = offset_e + 1.0 * rng.standard_normal((series.shape[0], 1))

    def take(photons: float, exposure_s: float) -> Frame:
        mean = series.efficiency * photons * response + series.dark_e_per_s * exposure_s
        electrons = rng.poisson(np.maximum(mean, 0)) + offset_e
        electrons = electrons + series.dark_noise_e * rng.standard_normal(series.shape)
        return np.clip(np.rint(64 + series.gain_dn_per_e * electrons), 0, 4095).astype(np.int64)

    steps = []
    for number in range(1, series.steps + 1):
        exposure_s = number / series.steps
        photons = series.full_series_e / series.efficiency * exposure_s
        lit = (take(photons, exposure_s), take(photons, exposure_s))
        dark = (take(0.0, exposure_s), take(0.0, exposure_s))
        steps.append((photons, exposure_s, lit, dark))
    middle_s = 0.4
    photons = series.full_series_e / series.efficiency * middle_s
    lit_stack = [take(photons, middle_s) for _ in range(series.stack)]
    dark_stack = [take(0.0, middle_s) for _ in range(series.stack)]
    return Shots(steps, lit_stack, dark_stack, photons, middle_s)


ORACLE: dict[str, dict[str, float | list[float]]] = {
    "ordinary": {
        "gain_dn_per_e": 0.3960300928125941,
        "responsivity": 0.20020266690432986,
        "quantum_efficiency": 0.5055238744169576,
        "dark_noise_dn": 1.6281719263019239,
        "dark_noise_e": 4.046097864082081,
        "threshold_p": 9.121691538609195,
        "threshold_e": 4.611232847834099,
        "saturation_p": 19000.0,
        "saturation_e": 9604.953613922195,
        "snr_max": 98.00486525638507,
        "dynamic_range": 2082.9469972295265,
        "linearity_error_min_percent": -0.03967444181455629,
        "linearity_error_max_percent": 0.01760662475252611,
        "dark_current_mean_e_per_s": 30.32524261355257,
        "dark_current_variance_e_per_s": 30.198348824341572,
        "dsnu_e": [3.523125325572847, 1.0394697062183471, 1.5003576499478255, 3.013443497361475],
        "prnu_percent": [1.2168738065241642, 0.3900837155434081, 0.5571376445880772, 1.0090660042114725],
        "saturation_index": 19,
    },
    "noisy": {
        "gain_dn_per_e": 0.2525307129413809,
        "responsivity": 0.12485958282458265,
        "quantum_efficiency": 0.4944332567324826,
        "dark_noise_dn": 11.269410913363322,
        "dark_noise_e": 44.61125876983675,
        "threshold_p": 91.26793484360739,
        "threshold_e": 45.125902259972825,
        "saturation_p": 28500.0,
        "saturation_e": 14091.347816875754,
        "snr_max": 118.70698301648372,
        "dynamic_range": 312.2673921441995,
        "linearity_error_min_percent": -0.08526651967668719,
        "linearity_error_max_percent": 0.05312228389217361,
        "dark_current_mean_e_per_s": 792.2396302896194,
        "dark_current_variance_e_per_s": 744.8278390730496,
        "dsnu_e": [2.418271945270923, 1.3102789491091675, 1.5083481439811561, 1.362385464306776],
        "prnu_percent": [1.2722383746173704, 0.3902914747328135, 0.6827493797591224, 1.0000581638277184],
        "saturation_index": 18,
    },
    "near saturation": {
        "gain_dn_per_e": 0.9853350054646285,
        "responsivity": 0.4999354560278099,
        "quantum_efficiency": 0.5073761241153393,
        "dark_noise_dn": 6.0056808463541875,
        "dark_noise_e": 6.088019734868676,
        "threshold_p": 12.998374631634485,
        "threshold_e": 6.595064940397856,
        "saturation_p": 7279.999999999999,
        "saturation_e": 3693.69818355967,
        "snr_max": 60.77580261551196,
        "dynamic_range": 560.0700246231149,
        "linearity_error_min_percent": -0.047522552256006455,
        "linearity_error_max_percent": 0.035778048020245465,
        "dark_current_mean_e_per_s": 60.87218906721537,
        "dark_current_variance_e_per_s": 61.50973134853307,
        "dsnu_e": [3.4062435588834616, 0.8331312503669162, 1.482055883486607, 2.9515924278802212],
        "prnu_percent": [1.1996962533010556, 0.41717929725793385, 0.5299991937684916, 0.9921357713179765],
        "saturation_index": 13,
    },
}
"""Figures that the package emva1288 1.0.2 gives on these frames (numpy 1.26)."""


def measure(shots: Shots) -> EmvaQuantities:
    steps = [measure_step(lit, dark, photons, time) for photons, time, lit, dark in shots.steps]
    return linear_quantities(
        steps,
        light_is_photons=True,
        lit_stack=measure_stack(shots.lit_stack),
        dark_stack=measure_stack(shots.dark_stack),
    )


def figure(found: EmvaQuantities, name: str) -> list[float]:
    value = getattr(found, name)
    if isinstance(value, NonUniformity):
        return [value.total, value.row, value.column, value.pixel]
    return [value]


@pytest.mark.parametrize("name", SERIES)
def test_figures_equal_those_of_the_reference_implementation(name: str) -> None:
    found = measure(shoot(SERIES[name]))
    for key, expected in ORACLE[name].items():
        assert figure(found, key) == pytest.approx(np.atleast_1d(expected), rel=1e-6), key


@pytest.mark.skipif(
    importlib.util.find_spec("emva1288") is None or int(np.__version__[0]) > 1,
    reason="emva1288 1.0.2 is not installed beside numpy 1",
)
@pytest.mark.parametrize("name", SERIES)
def test_the_reference_implementation_still_says_the_same(name: str) -> None:
    from emva1288.process.data import Data1288
    from emva1288.process.results import Results1288
    from emva1288.process.routines import get_int_imgs

    series, shots = SERIES[name], shoot(SERIES[name])
    temporal: dict[float, dict[float, dict[str, float]]] = {}
    for photons, time, lit, dark in shots.steps:
        entry = temporal[time * 1e9] = {}
        for light, pair in ((0.0, dark), (photons, lit)):
            sums = get_int_imgs(list(pair))
            entry[light] = {"sum": sums["sum"].sum(), "pvar": sums["pvar"].sum(), "dmean": sums["dmean"]}
    stacks = {0.0: get_int_imgs(shots.dark_stack), shots.stack_photons: get_int_imgs(shots.lit_stack)}
    height, width = series.shape
    frames = {"height": height, "width": width, "temporal": temporal}
    data = Data1288({**frames, "spatial": {shots.stack_exposure_s * 1e9: stacks}})
    reference, ours = Results1288(data.data), measure(shots)
    assert ours.gain_dn_per_e == pytest.approx(reference.K, rel=1e-6)
    assert ours.dark_noise_e == pytest.approx(reference.sigma_d, rel=1e-6)
    assert ours.threshold_p == pytest.approx(reference.u_p_min, rel=1e-6)
    assert ours.dsnu_e.total == pytest.approx(reference.DSNU1288, rel=1e-6)
    assert ours.prnu_percent.total == pytest.approx(reference.PRNU1288, rel=1e-6)
    assert ours.dynamic_range_db == pytest.approx(reference.DR_dB(), rel=1e-6)


def test_figures_in_electrons_do_not_depend_on_the_unit_of_light() -> None:
    shots = shoot(SERIES["ordinary"])
    steps = [measure_step(lit, dark, photons, time) for photons, time, lit, dark in shots.steps]
    in_seconds = [
        ExposureStep(
            s.exposure_s, s.exposure_s, s.mean_dn, s.variance_dn2, s.dark_mean_dn, s.dark_variance_dn2
        )
        for s in steps
    ]
    photons, seconds = linear_quantities(steps, light_is_photons=True), linear_quantities(in_seconds)
    for name in ("gain_dn_per_e", "dark_noise_e", "threshold_e", "saturation_e", "dynamic_range", "snr_max"):
        assert getattr(seconds, name) == pytest.approx(getattr(photons, name), rel=1e-12)
    assert seconds.quantum_efficiency is None and seconds.threshold_p is None
    assert math.isnan(seconds.prnu_percent.total)


def test_the_parts_of_the_spatial_variance_add_up() -> None:
    rng = np.random.default_rng(5)
    stack = measure_stack(rng.normal(100, 3, (8, 30, 40)))
    assert stack.row_dn2 + stack.column_dn2 + stack.pixel_dn2 == pytest.approx(stack.total_dn2, rel=1e-3)


def test_a_series_of_two_steps_and_a_stack_of_one_frame_are_refused() -> None:
    step = ExposureStep(1.0, 1.0, 10.0, 2.0, 1.0, 1.0)
    with pytest.raises(TooFewFramesError, match="3 exposures"):
        linear_quantities([step, step])
    with pytest.raises(TooFewFramesError, match="2 frames"):
        measure_stack([np.zeros((4, 4))])


def test_variance_that_falls_with_light_is_refused() -> None:
    steps = [ExposureStep(x, 1.0, 10.0 * x, 30.0 - x, 0.0, 40.0) for x in (1.0, 2.0, 3.0, 4.0)]
    with pytest.raises(FitError, match="below saturation"):
        linear_quantities(steps)
