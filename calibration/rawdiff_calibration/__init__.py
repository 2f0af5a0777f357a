"""Sensor calibration: arrays in, `SensorProfile` out. Reads no image files.

The names below are loaded when first asked for: SciPy's statistics are not fetched to know a noise model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawdiff_calibration.blind import BlindEstimate as BlindEstimate
    from rawdiff_calibration.blind import estimate_noise as estimate_noise
    from rawdiff_calibration.blind import estimate_noise_burst as estimate_noise_burst
    from rawdiff_calibration.camera import assemble_camera as assemble_camera
    from rawdiff_calibration.dark_fitness import judge_darks as judge_darks
    from rawdiff_calibration.errors import CalibrationError as CalibrationError
    from rawdiff_calibration.fitness import judge_frame as judge_frame
    from rawdiff_calibration.fitness import judge_pairs as judge_pairs
    from rawdiff_calibration.measure import Measured as Measured
    from rawdiff_calibration.noise import NoiseModel as NoiseModel
    from rawdiff_calibration.profile import IsoFigures as IsoFigures
    from rawdiff_calibration.profile import ProfileCamera as ProfileCamera
    from rawdiff_calibration.profile import SensorProfile as SensorProfile
    from rawdiff_calibration.profile_json import load_profile as load_profile
    from rawdiff_calibration.profile_json import profile_to_json as profile_to_json
    from rawdiff_calibration.published import builtin_names as builtin_names
    from rawdiff_calibration.published import find_builtin as find_builtin
    from rawdiff_calibration.published import load_builtin as load_builtin
    from rawdiff_calibration.sensor import SimulatedSensor as SimulatedSensor
    from rawdiff_calibration.session import IsoCalibration as IsoCalibration

_HOMES = {
    "blind": ("BlindEstimate", "estimate_noise", "estimate_noise_burst"),
    "camera": ("assemble_camera",),
    "dark_fitness": ("judge_darks",),
    "errors": ("CalibrationError",),
    "fitness": ("judge_frame", "judge_pairs"),
    "measure": ("Measured",),
    "noise": ("NoiseModel",),
    "profile": ("IsoFigures", "ProfileCamera", "SensorProfile"),
    "profile_json": ("load_profile", "profile_to_json"),
    "published": ("builtin_names", "find_builtin", "load_builtin"),
    "sensor": ("SimulatedSensor",),
    "session": ("IsoCalibration",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(name for names in _HOMES.values() for name in names)
