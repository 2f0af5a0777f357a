"""The profile on disk: JSON, schema 1. Every figure is a `{"value", "se"}` pair, se null where unknown.

{"schema": 1, "camera": {"make", "model", "names", "serial_sha256", "firmware"},
 "levels": {"black_dn": [4 pairs] | null, "white_dn": pair | null}, "quantisation_dn": 1.0,
 "iso": [{"iso", "gain_dn_per_e", "read_noise_dn", "tukey_lambda", "tukey_scale_dn", "row_noise_dn",
          "column_noise_dn", "dark_current_e_per_s", ...}],
 "prnu": {"value", "se", "pixel", "row", "column"}, "dsnu_e": {the same},
 "laws": {"steps": [{"iso_below", "iso_above"}], NAME: {"form", "segments": [...]}},
 "defects": {...}, "maps": {...}, "provenance": {...},
 "emva_1288": [{"iso", "color", "exposures", "remarks", NAME: pair, ...}]}

An entry's further pairs are kept by name. A figure that was not measured is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from rawdiff_calibration.emva_sheet import EmvaSheet
from rawdiff_calibration.errors import CalibrationError
from rawdiff_calibration.laws import Law, Segment, Step
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.profile import SCHEMA, IsoFigures, ProfileCamera, ProfileLevels, SensorProfile

_T = TypeVar("_T")
_TUPLES = {"gain_rgb_dn_per_e": 3, "read_noise_rgb_dn": 3, "black_dn": 4, "bias_dn": 4}
_NAMED = {f.name for f in fields(IsoFigures)} - {"iso", "other"}
_POSITIVE = {"gain_dn_per_e", "tukey_scale_dn"}
_NOT_NEGATIVE = {"read_noise_dn", "row_noise_dn", "column_noise_dn"}


class ProfileProblem(CalibrationError):  # noqa: N818 - a sibling of the problems in errors.py
    """A stored profile cannot be meant; `where` names the place in it."""


def profile_to_json(profile: SensorProfile) -> str:
    """The profile as text, the same bytes for the same profile."""
    record = {
        "schema": SCHEMA,
        "camera": _camera_record(profile.camera),
        "levels": {
            "black_dn": _optional(profile.levels.black_dn, lambda four: [_pair(f) for f in four]),
            "white_dn": _optional(profile.levels.white_dn, _pair),
        },
        "quantisation_dn": profile.quantisation_dn,
        "iso": [_iso_record(entry) for entry in profile.iso],
        "prnu": _parts_record(profile.prnu),
        "dsnu_e": _parts_record(profile.dsnu_e),
        "laws": {
            "steps": [{"iso_below": s.iso_below, "iso_above": s.iso_above} for s in profile.steps],
            **{name: _law_record(law) for name, law in profile.laws.items()},
        },
        "defects": dict(profile.defects),
        "maps": dict(profile.maps),
        "provenance": dict(profile.provenance),
        "emva_1288": [_sheet_record(sheet) for sheet in profile.emva_1288],
    }
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def profile_from_json(text: str, where: str = "profile") -> SensorProfile:
    """Read and check a stored profile.

    Raises:
        ProfileProblem: not JSON, another schema, a field missing, or a figure that cannot be.
    """
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProfileProblem(f"not JSON: {error.msg}", where=f"{where}, line {error.lineno}") from None
    if not isinstance(record, dict) or "schema" not in record:
        raise ProfileProblem("not a sensor profile: no schema number", where=where)
    if record["schema"] != SCHEMA:
        raise ProfileProblem(
            f"profile schema {record['schema']}, this version reads {SCHEMA}",
            where=where,
            hint="calibrate again or use the version of rawdiff that wrote it",
        )
    try:
        return _read_profile(record)
    except ProfileProblem as problem:
        raise ProfileProblem(problem.what, where=f"{where}, {problem.where}") from None
    except KeyError as error:
        raise ProfileProblem(f"the field {error} is missing", where=where) from None
    except (TypeError, AttributeError, ValueError) as error:
        raise ProfileProblem(f"not a sensor profile: {error}", where=where) from None


def load_profile(path: Path) -> SensorProfile:
    """Read a profile file.

    Raises:
        ProfileProblem: unreadable, or not a valid profile.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ProfileProblem(f"cannot read the profile: {reason}", where=str(path)) from None
    return profile_from_json(text, str(path))


def _read_profile(record: Mapping[str, Any]) -> SensorProfile:
    camera, levels, laws = record["camera"], record["levels"], dict(record["laws"])
    steps = tuple(Step(float(s["iso_below"]), float(s["iso_above"])) for s in laws.pop("steps", []))
    entries = tuple(_read_iso(entry, f"iso[{i}]") for i, entry in enumerate(record["iso"]))
    if not entries:
        raise ProfileProblem("no measured ISO", where="iso")
    isos = [entry.iso for entry in entries]
    if isos != sorted(set(isos)):
        raise ProfileProblem("ISO settings must ascend, each once", where="iso")
    return SensorProfile(
        ProfileCamera(
            str(camera["make"]),
            str(camera["model"]),
            tuple(map(str, camera.get("names", ()))),
            camera.get("serial_sha256"),
            camera.get("firmware"),
        ),
        ProfileLevels(
            _optional(levels["black_dn"], lambda v: _read_tuple(v, 4, "levels.black_dn")),
            _optional(levels["white_dn"], lambda v: _read_pair(v, "levels.white_dn")),
        ),
        entries,
        {name: _read_law(law, f"laws.{name}") for name, law in laws.items()},
        steps,
        _read_parts(record.get("prnu", {}), "prnu"),
        _read_parts(record.get("dsnu_e", {}), "dsnu_e"),
        record.get("defects", {}),
        record.get("maps", {}),
        record.get("provenance", {}),
        float(record.get("quantisation_dn", 1.0)),
        tuple(_read_sheet(sheet, f"emva_1288[{i}]") for i, sheet in enumerate(record.get("emva_1288", ()))),
    )


def _read_iso(record: Mapping[str, Any], where: str) -> IsoFigures:
    iso = float(record["iso"])
    if not (math.isfinite(iso) and iso > 0):
        raise ProfileProblem(f"ISO must be above 0, got {iso}", where=where)
    named: dict[str, Any] = {}
    other: dict[str, Measured] = {}
    for name, value in record.items():
        place = f"{where}.{name}"
        if name == "iso" or value is None:
            continue
        if name in _TUPLES:
            named[name] = _read_tuple(value, _TUPLES[name], place)
            continue
        figure = _read_pair(value, place)
        if (name in _POSITIVE and figure.value <= 0) or (name in _NOT_NEGATIVE and figure.value < 0):
            raise ProfileProblem(f"{figure.value} cannot be", where=place)
        (named if name in _NAMED else other)[name] = figure
    if "gain_dn_per_e" not in named:
        raise ProfileProblem("the system gain is missing", where=where)
    return IsoFigures(iso, other=other, **named)


def _read_pair(record: Any, where: str) -> Measured:
    if not isinstance(record, Mapping) or not {"value", "se"} <= set(record):
        raise ProfileProblem('a figure is a {"value", "se"} pair', where=where)
    value, error = float(record["value"]), record["se"]
    se = math.nan if error is None else float(error)
    if not math.isfinite(value) or se < 0:
        raise ProfileProblem(
            f"a figure needs a finite value and an error of at least 0, got {record}", where=where
        )
    return Measured(value, se)


def _read_tuple(record: Any, count: int, where: str) -> Any:
    if not isinstance(record, list) or len(record) != count:
        raise ProfileProblem(f"needs {count} figures", where=where)
    return tuple(_read_pair(figure, f"{where}[{i}]") for i, figure in enumerate(record))


def _read_parts(record: Mapping[str, Any], where: str) -> dict[str, Measured]:
    parts = {"total": _read_pair(record, where)} if "value" in record else {}
    rest = {name: value for name, value in record.items() if name not in ("value", "se")}
    return parts | {name: _read_pair(value, f"{where}.{name}") for name, value in rest.items()}


def _read_sheet(record: Mapping[str, Any], where: str) -> EmvaSheet:
    own = ("iso", "color", "exposures", "remarks")
    return EmvaSheet(
        float(record["iso"]),
        str(record["color"]),
        int(record["exposures"]),
        {name: _read_pair(value, f"{where}.{name}") for name, value in record.items() if name not in own},
        tuple(map(str, record.get("remarks", ()))),
    )


def _read_law(record: Mapping[str, Any], where: str) -> Law:
    if record["form"] not in ("log", "linear"):
        raise ProfileProblem(f"a law is log or linear, not {record['form']!r}", where=where)
    segments = tuple(
        Segment(
            float(s["iso_min"]),
            float(s["iso_max"]),
            _read_pair(s["intercept"], f"{where}.intercept"),
            _read_pair(s["slope"], f"{where}.slope"),
            float(s["spread"]),
            float(s.get("covariance", 0.0)),
        )
        for s in record["segments"]
    )
    steps = tuple(Step(float(s["iso_below"]), float(s["iso_above"])) for s in record.get("steps", []))
    return Law(record["form"], segments, steps)


def _pair(figure: Measured) -> dict[str, float | None]:
    return {"value": figure.value, "se": figure.se if math.isfinite(figure.se) else None}


def _optional(value: Any, convert: Callable[[Any], _T]) -> _T | None:
    return None if value is None else convert(value)


def _camera_record(camera: ProfileCamera) -> dict[str, Any]:
    record = {"make": camera.make, "model": camera.model, "names": list(camera.names)}
    return record | {"serial_sha256": camera.serial_sha256, "firmware": camera.firmware}


def _iso_record(entry: IsoFigures) -> dict[str, Any]:
    record: dict[str, Any] = {"iso": entry.iso}
    for f in fields(IsoFigures):
        value = getattr(entry, f.name)
        if f.name in ("iso", "other") or value is None:
            continue
        record[f.name] = [_pair(v) for v in value] if f.name in _TUPLES else _pair(value)
    return record | {name: _pair(figure) for name, figure in entry.other.items()}


def _parts_record(parts: Mapping[str, Measured]) -> dict[str, Any]:
    total = _pair(parts["total"]) if "total" in parts else {}
    return {**total, **{name: _pair(figure) for name, figure in parts.items() if name != "total"}}


def _sheet_record(sheet: EmvaSheet) -> dict[str, Any]:
    record = {"iso": sheet.iso, "color": sheet.color, "exposures": sheet.exposures}
    return record | {"remarks": list(sheet.remarks)} | {n: _pair(f) for n, f in sheet.figures.items()}


def _law_record(law: Law) -> dict[str, Any]:
    return {
        "form": law.form,
        "steps": [{"iso_below": s.iso_below, "iso_above": s.iso_above} for s in law.steps],
        "segments": [
            {
                "iso_min": s.iso_min,
                "iso_max": s.iso_max,
                "intercept": _pair(s.intercept),
                "slope": _pair(s.slope),
                "spread": s.spread,
                "covariance": s.covariance,
            }
            for s in law.segments
        ],
    }
