"""The EMVA 1288 data sheet of one colour at one ISO, as the profile keeps it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rawdiff_calibration.emva import EmvaQuantities, NonUniformity
from rawdiff_calibration.measure import Measured

STANDARD_EXPOSURES = 50
"""Steps that the standard asks for."""
_BEYOND_SATURATION = (
    "saturation_e",
    "saturation_p",
    "snr_max_db",
    "dynamic_range_db",
    "linearity_error_min_percent",
    "linearity_error_max_percent",
)
"""Figures that mean something only where the brightest step lies beyond saturation."""
_PLAIN = ("gain_dn_per_e", "dark_noise_dn", "dark_noise_e", "threshold_e", *_BEYOND_SATURATION)
_IN_PHOTONS = ("quantum_efficiency", "threshold_p")


@dataclass(frozen=True)
class EmvaSheet:
    """EMVA 1288 Release 4 Linear, one colour as a camera of its own.

    Attributes:
        iso, color: whose sheet it is; the colour is R, G, B, or Y of a monochrome sensor.
        exposures: steps that it rests on.
        figures: by the names of `EmvaQuantities`, ratios in dB; non-uniformities as `dsnu_e`, `dsnu_row_e`,
            ..., `prnu_percent`, `prnu_row_percent`, ...; what could not be measured is left out. The
            standard states no errors: `se` is NaN.
        remarks: what is missing or weak, and why.
    """

    iso: float
    color: str
    exposures: int
    figures: Mapping[str, Measured]
    remarks: tuple[str, ...] = ()


def make_sheet(iso: float, color: str, exposures: int, found: EmvaQuantities) -> EmvaSheet:
    """Take from the quantities what these exposures can tell."""
    saturated = found.saturation_index < exposures - 1
    values: dict[str, float | None] = {name: getattr(found, name) for name in (*_PLAIN, *_IN_PHOTONS)}
    values |= _parts("dsnu", "_e", found.dsnu_e) | _parts("prnu", "_percent", found.prnu_percent)
    remarks = []
    if exposures < STANDARD_EXPOSURES:
        remarks.append(f"{exposures} exposures, the standard asks for {STANDARD_EXPOSURES}")
    if not saturated:
        values = {name: value for name, value in values.items() if name not in _BEYOND_SATURATION}
        remarks.append("no flat lies beyond saturation: saturation, DR, SNR and linearity need some")
    if math.isnan(found.dsnu_e.total):
        remarks.append("the pattern of the darks is hidden by their noise: no DSNU")
    if math.isnan(found.prnu_percent.total):
        remarks.append("no pair near half of saturation shows a pattern above its noise: no PRNU")
    figures = {
        name: Measured(v, math.nan) for name, v in values.items() if v is not None and math.isfinite(v)
    }
    return EmvaSheet(iso, color, exposures, figures, tuple(remarks))


def list_remarks(sheets: Sequence[EmvaSheet]) -> list[str]:
    """What is missing or weak in the sheets of a camera, each once, with the sheets that it concerns."""
    remarks = []
    for remark in dict.fromkeys(remark for sheet in sheets for remark in sheet.remarks):
        named = [f"ISO {sheet.iso:g} {sheet.color}" for sheet in sheets if remark in sheet.remarks]
        remarks.append(remark if len(named) == len(sheets) else f"{', '.join(named)}: {remark}")
    return [*remarks, "PRNU1288 holds the shading of lens and light, the profile's own PRNU does not"]


def _parts(name: str, unit: str, found: NonUniformity) -> dict[str, float | None]:
    return {
        f"{name}{unit}": found.total,
        f"{name}_row{unit}": found.row,
        f"{name}_column{unit}": found.column,
        f"{name}_pixel{unit}": found.pixel,
    }
