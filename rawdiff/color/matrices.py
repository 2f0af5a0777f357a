"""DNG's colour model: from the camera's RGB to XYZ D50 and on to an output space.

DNG 1.7.1, chapter 6 "Mapping camera color space to CIE XYZ space". A file carries one to three
calibrations, each for its illuminant; they are blended linearly in reciprocal temperature for the white of
the scene, which is itself found through the blend, by iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rawdiff.color.spaces import D50, SPACES, Chromaticity, Matrix, OutputSpace, adapt_white, xy_of, xyz_of
from rawdiff.color.temperature import temperature_of
from rawdiff.errors import InputError
from rawdiff.raw.frame import ColorTags

_ITERATIONS = 30
_CONVERGED = 1e-7

ILLUMINANT_K: dict[int, float] = {
    1: 5500, 2: 4150, 3: 2850, 4: 5500, 9: 5500, 10: 6500, 11: 7500, 12: 6400, 13: 5000, 14: 4150,
    15: 3525, 16: 2925, 17: 2850, 18: 5500, 19: 6500, 20: 5500, 21: 6500, 22: 7500, 23: 5000, 24: 3200,
}  # fmt: skip
"""Temperature of EXIF LightSource codes [K]: daylight, fluorescent (2, 12-16: the middle of their range),
tungsten (3, 17, 24), flash, weather (9-11), the CIE standard illuminants B to D75 (18-23)."""


@dataclass(frozen=True)
class Calibration:
    """The matrices of a file blended for one white, `[3, 3]` each."""

    color_matrix: Matrix
    """XYZ to the reference camera's RGB."""
    to_individual: Matrix
    """AnalogBalance times CameraCalibration: the reference camera's RGB to this camera's."""
    forward_matrix: Matrix | None
    """White-balanced reference camera RGB to XYZ D50; rows scaled so that (1, 1, 1) gives D50."""

    def xyz_to_camera(self) -> Matrix:
        """XYZ to this camera's RGB."""
        return self.to_individual @ self.color_matrix


def is_calibrated(color: ColorTags) -> bool:
    """True where the file (or the decoder's table) has a colour matrix at all."""
    return bool(color.color_matrices)


def describe_calibration(color: ColorTags) -> str:
    """Say in words which calibration colour rests on."""
    count = len(color.color_matrices)
    if not count:
        return "no colour calibration: camera RGB is taken for linear sRGB"
    forward = any(matrix is not None for matrix in color.forward_matrices)
    kind = "forward matrices" if forward else "Bradford adaptation"
    return f"{count} colour {'matrix' if count == 1 else 'matrices'} from {color.origin}, {kind}"


def calibrate_for(color: ColorTags, white: Chromaticity) -> Calibration:
    """Blend the file's calibrations for a white (x, y).

    With two or three calibrations of known illuminants, weights are linear in 1/T between the two nearest
    temperatures and constant beyond the outermost. Calibrations of unknown illuminant are used only where
    none is known, and then the first alone.

    Raises:
        InputError: no calibration, or a matrix without inverse.
    """
    if not color.color_matrices:
        raise InputError("the file has no colour matrix")
    weights = _weights(color, temperature_of(white)[0])
    color_matrix = _blend(color.color_matrices, weights)
    individual = _blend(color.camera_calibrations, weights)
    forward = _blend(color.forward_matrices, weights)
    to_individual = np.diag(np.asarray(color.analog_balance, dtype=np.float64)) @ (
        np.eye(3) if individual is None else individual
    )
    assert color_matrix is not None  # one per weight, by the check above
    for matrix in (color_matrix, to_individual):
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
            raise InputError("the file's colour matrices cannot be inverted")
    return Calibration(color_matrix, to_individual, _scale_forward(forward))


def find_white(color: ColorTags, neutral: Matrix) -> Chromaticity:
    """Chromaticity (x, y) of the white whose camera RGB is `neutral`.

    The matrix depends on the white and the white on the matrix: iterate from D50 until both agree. Where
    the last two rounds swing between two points, their middle is taken.

    Raises:
        InputError: no calibration, a singular one, or a neutral that no light can have.
    """
    white = previous = D50
    for _ in range(_ITERATIONS):
        xyz: Matrix = np.linalg.inv(calibrate_for(color, white).xyz_to_camera()) @ neutral
        if not (np.isfinite(xyz).all() and xyz.sum() > 0 and xyz[1] > 0):
            raise InputError(f"no light has the camera neutral {np.round(neutral, 4).tolist()}")
        previous, white = white, xy_of(xyz)
        if abs(white[0] - previous[0]) + abs(white[1] - previous[1]) < _CONVERGED:
            return white
    return (white[0] + previous[0]) / 2, (white[1] + previous[1]) / 2


def neutral_of(color: ColorTags, white: Chromaticity) -> Matrix:
    """Camera RGB of a neutral object under a white (x, y), `[3]`, its largest entry 1.

    Raises:
        InputError: no calibration, or a white outside what the camera sees.
    """
    return scale_neutral(calibrate_for(color, white).xyz_to_camera() @ xyz_of(white))


def scale_neutral(neutral: Matrix) -> Matrix:
    """Scale a camera neutral `[3]` so that its largest entry is 1.

    Raises:
        InputError: entries that are not all above 0.
    """
    values = np.asarray(neutral, dtype=np.float64)
    if values.shape != (3,) or not np.isfinite(values).all() or not (values > 0).all():
        raise InputError(f"a camera neutral has three values above 0, not {np.round(values, 4).tolist()}")
    scaled: Matrix = values / values.max()
    return scaled


def camera_to_xyz_d50(color: ColorTags, neutral: Matrix) -> Matrix:
    """Camera RGB (not white-balanced) to XYZ D50, `[3, 3]`; `neutral` goes to D50's white with Y = 1.

    With forward matrices: FM D (AB CC)^-1 with D the white balance of the reference camera. Without: the
    inverse of AB CC CM, adapted from the scene's white to D50.

    Raises:
        InputError: no calibration, a singular one, or an impossible neutral.
    """
    neutral = scale_neutral(neutral)
    white = find_white(color, neutral)
    calibration = calibrate_for(color, white)
    if calibration.forward_matrix is None:
        to_xyz = np.linalg.inv(calibration.xyz_to_camera())
        scene_white = to_xyz @ neutral
        adapted: Matrix = adapt_white(scene_white / scene_white[1], xyz_of(D50)) @ to_xyz / scene_white[1]
        return adapted
    reference = np.linalg.inv(calibration.to_individual)
    reference_neutral = reference @ neutral
    if not (reference_neutral > 0).all():
        raise InputError("the file's camera calibration turns its neutral negative")
    forward: Matrix = calibration.forward_matrix @ np.diag(1 / reference_neutral) @ reference
    return forward


def camera_to_output(color: ColorTags, neutral: Matrix, space: OutputSpace) -> Matrix:
    """Camera RGB (not white-balanced) to a linear output space, `[3, 3]`; `neutral` goes to (1, 1, 1).

    Without any calibration the white-balanced camera RGB is taken for linear sRGB
    (`describe_calibration` says so).
    """
    from_xyz = SPACES[space].from_xyz_d50()
    if is_calibrated(color):
        return from_xyz @ camera_to_xyz_d50(color, neutral)
    srgb_to_xyz = np.linalg.inv(SPACES["srgb"].from_xyz_d50())
    return from_xyz @ srgb_to_xyz @ np.diag(1 / scale_neutral(neutral))


def _weights(color: ColorTags, temperature_k: float) -> Matrix:
    """Weight of each calibration at a temperature, summing to 1."""
    count = len(color.color_matrices)
    weights = np.zeros(count)
    codes = (*color.illuminants, *([0] * count))[:count]
    known = sorted(
        (1 / ILLUMINANT_K[code], index) for index, code in enumerate(codes) if code in ILLUMINANT_K
    )
    if not known:
        weights[0] = 1.0
        return weights
    coldness = [reciprocal for reciprocal, _ in known]
    place = float(np.clip(1 / temperature_k, coldness[0], coldness[-1]))
    upper = min(int(np.searchsorted(coldness, place)), len(known) - 1)
    lower = max(upper - 1, 0)
    span = coldness[upper] - coldness[lower]
    share = (place - coldness[lower]) / span if span > 0 else 1.0
    weights[known[lower][1]] += 1 - share
    weights[known[upper][1]] += share
    return weights


def _blend(matrices: tuple[Matrix | None, ...], weights: Matrix) -> Matrix | None:
    """Weighted mean of the matrices there are, None where none of the weighted ones is there."""
    present = [
        (np.asarray(matrix, dtype=np.float64), weight)
        for matrix, weight in zip(matrices, weights, strict=False)
        if matrix is not None and weight > 0
    ]
    total = sum(weight for _, weight in present)
    if not present or not total > 0:
        return None
    blended: Matrix = sum(matrix * weight for matrix, weight in present) / total
    return blended


def _scale_forward(forward: Matrix | None) -> Matrix | None:
    """Scale the rows so that camera white gives D50's white exactly, whatever the file's rounding."""
    if forward is None:
        return None
    white = forward @ np.ones(3)
    if not (np.isfinite(forward).all() and (white > 0).all()):
        raise InputError("the file's forward matrix does not map white to white")
    return (xyz_of(D50) / white)[:, None] * forward
