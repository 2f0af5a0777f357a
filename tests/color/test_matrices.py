from __future__ import annotations

import numpy as np
import pytest

from rawdiff.color.matrices import (
    calibrate_for,
    camera_to_output,
    camera_to_xyz_d50,
    describe_calibration,
    find_white,
    neutral_of,
)
from rawdiff.color.spaces import D50, D65, SPACES, adapt_white, xyz_of
from rawdiff.color.temperature import temperature_of, white_of
from rawdiff.errors import InputError
from rawdiff.raw.frame import ColorTags

# Canon EOS Kiss X4 (ColorMatrix1 of the chart's file) and a plausible second calibration for tungsten.
DAYLIGHT = np.array([[6461, -1164, -857], [-3825, 11597, 2534], [-416, 1540, 6039]]) / 1e4
TUNGSTEN = np.array([[7250, -1630, -520], [-3920, 11750, 2410], [-350, 1210, 5480]]) / 1e4
FORWARD = np.array([[0.62, 0.24, 0.11], [0.25, 0.72, 0.03], [0.02, 0.09, 0.72]])
A, D65_CODE, D50_CODE = 17, 21, 23


def dual(**fields: object) -> ColorTags:
    given: dict[str, object] = {"color_matrices": (TUNGSTEN, DAYLIGHT), "illuminants": (A, D65_CODE)}
    return ColorTags(**(given | fields))  # type: ignore[arg-type]


def test_bradford_from_d65_to_d50_is_the_published_matrix() -> None:
    # Lindbloom, "Chromatic adaptation": D65 (0.95047, 1, 1.08883) to D50 (0.96422, 1, 0.82521).
    published = [
        [1.0478112, 0.0228866, -0.0501270],
        [0.0295424, 0.9904844, -0.0170491],
        [-0.0092345, 0.0150436, 0.7521316],
    ]
    found = adapt_white(np.array([0.95047, 1.0, 1.08883]), np.array([0.96422, 1.0, 0.82521]))
    assert np.abs(found - published).max() < 2e-6


def test_srgb_to_xyz_is_that_of_the_standard() -> None:
    # IEC 61966-2-1, rounded to four digits there.
    standard = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    assert np.abs(SPACES["srgb"].to_xyz() - standard).max() < 6e-5


def test_rec2020_luminance_is_that_of_the_standard() -> None:
    assert np.abs(SPACES["rec2020"].luminance() - [0.2627, 0.6780, 0.0593]).max() < 5e-5


@pytest.mark.parametrize(
    ("white", "kelvin"),
    [
        ((0.44757, 0.40745), 2856),
        (D50, 5003),
        ((0.33242, 0.34743), 5503),
        (D65, 6504),
        ((0.29902, 0.31485), 7504),
    ],
)
def test_standard_illuminants_have_their_temperatures(white: tuple[float, float], kelvin: float) -> None:
    # CIE 15; Robertson states his method good to 2 microreciprocal degrees at worst.
    found, _ = temperature_of(white)
    assert abs(1e6 / found - 1e6 / kelvin) < 1.0


@pytest.mark.parametrize("kelvin", [1700, 2400, 3200, 4567, 5500, 6500, 9000, 14000])
def test_the_locus_agrees_with_krystek(kelvin: float) -> None:
    # M. Krystek, Color Research and Application 10(1), 1985: rational fit of the Planckian locus in (u, v),
    # within 8e-5 of the exact one from 1000 to 15000 K.
    u = (0.860117757 + 1.54118254e-4 * kelvin + 1.28641212e-7 * kelvin**2) / (
        1 + 8.42420235e-4 * kelvin + 7.08145163e-7 * kelvin**2
    )
    v = (0.317398726 + 4.22806245e-5 * kelvin + 4.20481691e-8 * kelvin**2) / (
        1 - 2.89741816e-5 * kelvin + 1.61456053e-7 * kelvin**2
    )
    x, y = white_of(kelvin)
    scale = -2 * x + 12 * y + 3
    assert abs(4 * x / scale - u) < 2e-4 and abs(6 * y / scale - v) < 2e-4


@pytest.mark.parametrize("kelvin", [1800, 2850, 4000, 5200, 6500, 12000])
@pytest.mark.parametrize("tint", [-40, 0, 25])
def test_temperature_and_tint_come_back(kelvin: float, tint: float) -> None:
    found_k, found_tint = temperature_of(white_of(kelvin, tint))
    assert abs(1e6 / found_k - 1e6 / kelvin) < 1.0
    assert found_tint == pytest.approx(tint, abs=0.2)


def test_a_temperature_below_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="1667 K"):
        white_of(1000)


def test_one_matrix_is_inverted_in_one_step() -> None:
    color = ColorTags(color_matrices=(DAYLIGHT,), illuminants=(D65_CODE,))
    white = find_white(color, DAYLIGHT @ xyz_of((0.36, 0.37)))
    assert white == pytest.approx((0.36, 0.37), abs=1e-9)


@pytest.mark.parametrize("kelvin", [2000, 2600, 2850, 3400, 4300, 5000, 6000, 6500, 8000])
def test_the_iteration_finds_the_white_that_made_the_neutral(kelvin: float) -> None:
    color = dual(analog_balance=np.array([1.1, 1.0, 0.9]))
    white = white_of(kelvin, 5)
    assert find_white(color, neutral_of(color, white)) == pytest.approx(white, abs=1e-6)


def test_the_blend_is_linear_in_reciprocal_temperature() -> None:
    # DNG 1.7.1 chapter 6: at T between 2850 K and 6500 K the first weighs (1/T - 1/T2) / (1/T1 - 1/T2).
    white = white_of(4000)
    kelvin = temperature_of(white)[0]
    weight = (1 / kelvin - 1 / 6500) / (1 / 2850 - 1 / 6500)
    expected = weight * TUNGSTEN + (1 - weight) * DAYLIGHT
    assert np.allclose(calibrate_for(dual(), white).color_matrix, expected, atol=1e-12)


def test_beyond_the_illuminants_the_nearest_holds() -> None:
    assert np.array_equal(calibrate_for(dual(), white_of(2000)).color_matrix, TUNGSTEN)
    assert np.array_equal(calibrate_for(dual(), white_of(9000)).color_matrix, DAYLIGHT)
    swapped = dual(color_matrices=(DAYLIGHT, TUNGSTEN), illuminants=(D65_CODE, A))
    assert np.array_equal(calibrate_for(swapped, white_of(2000)).color_matrix, TUNGSTEN)


def test_three_illuminants_blend_between_neighbours() -> None:
    middle = (DAYLIGHT + TUNGSTEN) / 2 + 0.01
    color = dual(color_matrices=(TUNGSTEN, DAYLIGHT, middle), illuminants=(A, D65_CODE, D50_CODE))
    assert np.allclose(calibrate_for(color, white_of(5000)).color_matrix, middle, atol=1e-3)
    white = white_of(5700)
    kelvin = temperature_of(white)[0]
    weight = (1 / kelvin - 1 / 6500) / (1 / 5000 - 1 / 6500)
    expected = weight * middle + (1 - weight) * DAYLIGHT
    assert np.allclose(calibrate_for(color, white).color_matrix, expected, atol=1e-12)


def test_unknown_illuminants_leave_the_known_calibration_alone() -> None:
    unknown = dual(illuminants=(255, D65_CODE))
    assert np.array_equal(calibrate_for(unknown, white_of(2500)).color_matrix, DAYLIGHT)
    neither = dual(illuminants=(0, 255))
    assert np.array_equal(calibrate_for(neither, white_of(9000)).color_matrix, TUNGSTEN)


def test_the_worked_example_without_forward_matrices() -> None:
    # DNG 1.7.1 chapter 6, written out: XYZtoCamera = AB CC CM; CameraToXYZ_D50 = CA (XYZtoCamera)^-1.
    calibration = np.diag([0.98, 1.0, 1.03])
    balance = np.array([1.05, 1.0, 0.95])
    color = ColorTags((DAYLIGHT,), (None,), (calibration,), (D65_CODE,), analog_balance=balance)
    neutral = np.array([0.45, 1.0, 0.7])
    to_camera = np.diag(balance) @ calibration @ DAYLIGHT
    white = np.linalg.solve(to_camera, neutral)
    expected = adapt_white(white / white[1], xyz_of(D50)) @ np.linalg.inv(to_camera) / white[1]
    assert np.allclose(camera_to_xyz_d50(color, neutral), expected, atol=1e-12)


def test_the_worked_example_with_forward_matrices() -> None:
    # D = Invert(AsDiagonal(ReferenceNeutral)); CameraToXYZ_D50 = FM D Invert(AB CC).
    calibration = np.diag([0.98, 1.0, 1.03])
    balance = np.array([1.05, 1.0, 0.95])
    forward = FORWARD * (xyz_of(D50) / FORWARD.sum(axis=1))[:, None]
    color = ColorTags((DAYLIGHT,), (forward,), (calibration,), (D65_CODE,), analog_balance=balance)
    neutral = np.array([0.45, 1.0, 0.7])
    individual = np.diag(balance) @ calibration
    reference = np.linalg.solve(individual, neutral)
    expected = forward @ np.diag(1 / reference) @ np.linalg.inv(individual)
    assert np.allclose(camera_to_xyz_d50(color, neutral), expected, atol=1e-12)


@pytest.mark.parametrize("forward", [(None, None), (FORWARD, FORWARD.T), (None, FORWARD)])
@pytest.mark.parametrize("space", ["srgb", "display-p3", "rec2020"])
def test_neutral_becomes_white(forward: tuple[np.ndarray | None, ...], space: str) -> None:
    color = dual(forward_matrices=forward)
    neutral = np.array([0.5, 1.0, 0.62])
    assert np.allclose(camera_to_xyz_d50(color, neutral) @ neutral, xyz_of(D50), atol=1e-9)
    assert np.allclose(camera_to_output(color, neutral, space) @ neutral, 1.0, atol=1e-9)  # type: ignore[arg-type]


def test_a_camera_that_is_a_colorimeter_is_inverted_exactly() -> None:
    # A camera whose RGB is linear sRGB under D65: its matrix is XYZ to sRGB, so colours come back.
    matrix = np.linalg.inv(SPACES["srgb"].to_xyz())
    color = ColorTags((matrix,), (None,), (None,), (D65_CODE,))
    assert np.allclose(camera_to_output(color, np.ones(3), "srgb"), np.eye(3), atol=1e-9)


def test_without_calibration_camera_rgb_is_linear_srgb() -> None:
    neutral = np.array([0.5, 1.0, 0.8])
    assert np.allclose(camera_to_output(ColorTags(), neutral, "srgb"), np.diag([2, 1, 1.25]), atol=1e-12)
    assert "linear sRGB" in describe_calibration(ColorTags())
    with pytest.raises(InputError, match="no colour matrix"):
        camera_to_xyz_d50(ColorTags(), neutral)


def test_impossible_tags_are_refused() -> None:
    with pytest.raises(InputError, match="three values above 0"):
        camera_to_xyz_d50(dual(), np.array([0.5, 0.0, 1.0]))
    with pytest.raises(InputError, match="cannot be inverted"):
        camera_to_xyz_d50(dual(color_matrices=(np.ones((3, 3)),)), np.ones(3))
