"""DNG's colour tags of IFD0: up to three calibrations, the as-shot white, baseline exposure (DNG 1.7, 6)."""

from __future__ import annotations

import numpy as np

from rawdiff.raw.frame import ColorTags, Matrix
from rawdiff.raw.tags import TagTable

# ColorMatrix, ForwardMatrix, CameraCalibration, CalibrationIlluminant of calibrations 1, 2, 3.
_CALIBRATIONS = ((50721, 50964, 50723, 50778), (50722, 50965, 50724, 50779), (52531, 52532, 52530, 52529))
_CAMERA_SIGNATURE, _PROFILE_SIGNATURE = 50931, 50932


def read_color_tags(table: TagTable) -> ColorTags:
    """Read the colour model of a DNG with three colour planes.

    CameraCalibration counts only where its signature equals the profile's (DNG 1.7,
    CameraCalibrationSignature). Matrices that are singular or not finite are passed over.
    """
    signed = table.text(_CAMERA_SIGNATURE) == table.text(_PROFILE_SIGNATURE)
    colors: list[Matrix] = []
    forwards: list[Matrix | None] = []
    calibrations: list[Matrix | None] = []
    illuminants: list[int] = []
    for color_code, forward_code, calibration_code, illuminant_code in _CALIBRATIONS:
        color = _matrix(table, color_code)
        if color is None:
            continue
        colors.append(color)
        forwards.append(_matrix(table, forward_code))
        calibrations.append(_matrix(table, calibration_code) if signed else None)
        illuminants.append(table.integer(illuminant_code) or 0)
    balance = table.finite(50727, 3)
    exposure = table.finite(50730, 1)
    return ColorTags(
        color_matrices=tuple(colors),
        forward_matrices=tuple(forwards),
        camera_calibrations=tuple(calibrations),
        illuminants=tuple(illuminants),
        analog_balance=np.array(balance) if balance and min(balance) > 0 else np.ones(3),
        as_shot_neutral=_neutral(table),
        as_shot_white_xy=_white_xy(table),
        baseline_exposure_ev=_bounded_ev(exposure),
        origin="the file" if colors else "no calibration",
    )


def _matrix(table: TagTable, code: int) -> Matrix | None:
    numbers = table.finite(code, 9)
    if numbers is None:
        return None
    matrix = np.array(numbers, np.float64).reshape(3, 3)
    # A matrix that cannot be inverted within single precision is no calibration.
    return matrix if np.linalg.cond(matrix) < 1e6 else None


def _neutral(table: TagTable) -> Matrix | None:
    numbers = table.finite(50728, 3)
    if numbers is None or min(numbers) <= 0:
        return None
    return np.array(numbers, np.float64) / max(numbers)


def _white_xy(table: TagTable) -> tuple[float, float] | None:
    numbers = table.finite(50729, 2)
    if numbers is None or not (0 < numbers[0] < 1 and 0 < numbers[1] < 1):
        return None
    return numbers[0], numbers[1]


def _bounded_ev(numbers: tuple[float, ...] | None) -> float:
    return numbers[0] if numbers and abs(numbers[0]) <= 20 else 0.0
