"""EMVA 1288 out of a calibration's own frames: the same figures as the definition gives, and honest gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rawdiff_calibration.dark import DarkAccumulator
from rawdiff_calibration.emva import linear_quantities, measure_stack, measure_step
from rawdiff_calibration.emva_series import EmvaSeries, measure_dark_levels
from rawdiff_calibration.emva_sheet import EmvaSheet, list_remarks
from rawdiff_calibration.mosaic import plane_slices
from rawdiff_calibration.sensor import SimulatedSensor

SENSOR = SimulatedSensor(
    (128, 192),
    seed=3,
    vignetting=0.0,
    dark_current_e_per_s=0.0,
    black_drift_dn=0.0,
    hot=0.0,
    dead=0.0,
    telegraph=0.0,
)
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.3)
RATE_P = 70000.0
"""Photons per pixel and second: green answers 30000 electrons to them."""


def shoot(sensor: SimulatedSensor, darks: int = 6, photons: bool = False, shares: tuple[float, ...] = SHARES):
    """Darks, then pairs over exposure; the sheets and the notes, and all frames."""
    gathered = DarkAccumulator(sensor.shape, sensor.phase, sensor.black_dn)
    dark = [sensor.dark(0.01, iso=100, seed=k) for k in range(darks)]
    for frame in dark:
        gathered.add(frame, 0.01)
    series = EmvaSeries(100.0, sensor.phase, measure_dark_levels(gathered), 15871.0)
    pairs = []
    for number, share in enumerate(shares):
        time = share * 60000 / sensor.flux_e_per_s
        pair = [sensor.flat(iso=100, seed=100 + 2 * number + k, exposure_s=time) for k in (0, 1)]
        series.add_pair(pair[0], pair[1], time, RATE_P * time if photons else None)
        pairs.append((time, pair))
    return series.solve(), dark, pairs


@pytest.fixture(scope="module")
def solved():
    return shoot(SENSOR, photons=True)


def test_figures_are_those_of_the_definition_on_the_same_frames(solved) -> None:
    (sheets, _), dark, pairs = solved
    place = plane_slices("RGGB")[0]
    red = [frame[place] for frame in dark]
    # The series takes its dark variance from all six frames; the definition from the same, pair by pair.
    darks = [measure_step((a, b), (a, b), 0.0, 0.0) for a, b in zip(red[::2], red[1::2], strict=True)]
    steps = [
        measure_step((one[place], two[place]), (red[0], red[1]), RATE_P * time, time)
        for time, (one, two) in pairs
    ]
    # Red answers 0.6 times as much as green: its half lies at the pair of 0.65.
    lit = next(pair for time, pair in pairs if time == pytest.approx(0.65 * 2))
    whole = linear_quantities(
        steps,
        light_is_photons=True,
        lit_stack=measure_stack(frame[place] for frame in lit),
        dark_stack=measure_stack(red),
    )
    found = sheets[0].figures
    assert (sheets[0].color, sheets[0].exposures) == ("R", len(SHARES))
    assert found["gain_dn_per_e"].value == pytest.approx(whole.gain_dn_per_e, rel=1e-3)
    spread = float(np.mean([step.variance_dn2 for step in darks]))
    assert found["dark_noise_dn"].value == pytest.approx(math.sqrt(spread), rel=0.02)
    assert found["dsnu_e"].value == pytest.approx(whole.dsnu_e.total, rel=1e-3)
    assert found["prnu_percent"].value == pytest.approx(whole.prnu_percent.total, rel=1e-3)
    assert found["quantum_efficiency"].value == pytest.approx(whole.quantum_efficiency, rel=2e-3)


def test_figures_are_the_sensors(solved) -> None:
    (sheets, notes), _, _ = solved
    assert notes == () and [sheet.color for sheet in sheets] == ["R", "G", "B"]
    truth = SENSOR.noise_model(100)
    green = {name: figure.value for name, figure in sheets[1].figures.items()}
    # 12 kP of green: K to 1 %, sigma_d to 1 %, non-uniformity to 1 %; 3 errors.
    assert green["gain_dn_per_e"] == pytest.approx(0.25, rel=0.03)
    total = math.sqrt(truth.read_noise_dn[1] ** 2 + truth.row_noise_dn**2 + truth.column_noise_dn**2)
    assert green["dark_noise_e"] == pytest.approx(total / 0.25, rel=0.03)
    assert green["quantum_efficiency"] == pytest.approx(30000 / RATE_P, rel=0.03)
    assert green["threshold_p"] == pytest.approx(green["threshold_e"] / green["quantum_efficiency"])
    assert green["snr_max_db"] == pytest.approx(10 * math.log10(green["saturation_e"]))
    assert green["linearity_error_min_percent"] <= 0 <= green["linearity_error_max_percent"]
    assert green["linearity_error_max_percent"] < 0.5
    assert green["prnu_percent"] == pytest.approx(100 * float(np.linalg.norm(SENSOR.prnu)), rel=0.06)


def test_electrons_alone_without_a_radiometer() -> None:
    (sheets, _), _, _ = shoot(SENSOR)
    assert not {"quantum_efficiency", "threshold_p", "saturation_p"} & set(sheets[0].figures)
    assert "threshold_e" in sheets[0].figures


def test_what_the_frames_do_not_hold_is_left_out_and_said() -> None:
    (sheets, _), _, _ = shoot(SENSOR, shares=(0.02, 0.05, 0.1, 0.2))
    red = sheets[0]
    assert "gain_dn_per_e" in red.figures and "saturation_e" not in red.figures
    assert any("beyond saturation" in remark for remark in red.remarks)
    assert any("4 exposures" in remark for remark in red.remarks)
    (none, notes), _, _ = shoot(SENSOR, shares=(0.1, 0.2))
    assert none == () and "3 exposure times" in notes[0]
    (none, notes), _, _ = shoot(SENSOR, darks=1)
    assert none == () and "two darks" in notes[0]


def test_light_that_was_not_constant_is_refused() -> None:
    gathered = DarkAccumulator(SENSOR.shape, SENSOR.phase, SENSOR.black_dn)
    for k in range(2):
        gathered.add(SENSOR.dark(0.01, iso=100, seed=k), 0.01)
    series = EmvaSeries(100.0, SENSOR.phase, measure_dark_levels(gathered), 15871.0)
    for number, (time, level) in enumerate(((0.1, 3000.0), (0.1, 4000.0), (0.2, 6000.0), (0.4, 12000.0))):
        pair = [SENSOR.flat(iso=100, seed=9 * number + k, level_e=level) for k in (0, 1)]
        series.add_pair(pair[0], pair[1], time, None)
    sheets, notes = series.solve()
    assert sheets == () and "light was not constant" in notes[0]


def test_remarks_are_said_once_with_whom_they_concern() -> None:
    sheets = [EmvaSheet(100, "R", 9, {}, ("a", "b")), EmvaSheet(100, "G", 9, {}, ("a",))]
    assert list_remarks(sheets)[:2] == ["a", "ISO 100 R: b"]
