"""Published noise figures typed into a table: one line an ISO, as papers print them.

    # make: Sony
    # model: ILCE-7SM2
    # source: Feng et al., MM 2022, table 1
    # white_dn: 16383
    iso, K, gauss_std_dn, tukey_lambda, tukey_scale_dn, row_std_dn
    100, 0.0956, 1.007, 0.149, 0.702, 0.139

Columns go by the profile's names or by those of the papers; `<name>_se` holds a standard error. DN as stored.
"""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from rawdiff_calibration.exchange import ExchangeError
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.profile import IsoFigures, ProfileCamera, ProfileLevels, SensorProfile

COLUMNS = {
    "gain_dn_per_e": ("k", "gain"),
    "read_noise_dn": ("gauss_std_dn", "sigma_g", "read_noise"),
    "tukey_lambda": ("lambda", "lam"),
    "tukey_scale_dn": ("s_tl", "sigma_tl", "tukey_scale"),
    "row_noise_dn": ("row_std_dn", "sigma_r", "row_noise"),
    "column_noise_dn": ("column_std_dn", "sigma_c", "column_noise"),
    "dark_current_e_per_s": ("dark_current",),
}
"""Figures of a table, and the other names that a column may go by; case does not matter."""
_NEEDED = ("gain_dn_per_e", "read_noise_dn")


def from_table(text: str, make: str | None = None, model: str | None = None) -> SensorProfile:
    """A profile from a table of published figures.

    Args:
        text: comma-separated; `# key: value` lines before it say `make`, `model`, `source`, `white_dn`.
        make, model: the camera, where they shall not be those of the table.

    Raises:
        ExchangeError: a column, a figure or the camera is missing or cannot be.
    """
    notes, rows = _split(text)
    if not rows:
        raise ExchangeError("the table has no lines", hint="a line of names, then one line an ISO")
    camera = ProfileCamera(make or notes.get("make", ""), model or notes.get("model", ""))
    if not camera.model:
        raise ExchangeError(
            "the table names no camera", hint="--make and --model, or '# model: ...' above it"
        )
    names = {column: _figure_name(column) for column in rows[0]}
    missing = [name for name in ("iso", *_NEEDED) if name not in names.values()]
    if missing:
        raise ExchangeError(f"the table has no column {missing[0]}", hint=_known())
    entries = tuple(_entry(row, names, number) for number, row in enumerate(rows, start=1))
    white = notes.get("white_dn")
    levels = ProfileLevels(None, None if white is None else Measured(_number(white, "white_dn"), 0.0))
    source = {"method": "published table", "citation": notes.get("source", "not stated")}
    try:
        return SensorProfile.assemble(camera, levels, entries, provenance=source)
    except ValueError as error:
        raise ExchangeError(str(error)) from None


def _split(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    notes: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.lstrip("# ").partition(":")
        if line.startswith("#") and colon:
            notes[key.strip().lower()] = value.strip()
    table = io.StringIO("\n".join(line for line in lines if not line.startswith("#")))
    rows = []
    for number, row in enumerate(csv.DictReader(table), start=1):
        if None in row:
            raise ExchangeError(
                "there are more cells than names",
                where=f"line {number} of the table",
                hint="commas between cells, points in numbers",
            )
        rows.append({key.strip(): (value or "").strip() for key, value in row.items()})
    return notes, rows


def _figure_name(column: str) -> str:
    """The profile's name of a column, with `_se` where it is one of errors."""
    plain = column.lower()
    stem, suffix = (plain[:-3], "_se") if plain.endswith("_se") else (plain, "")
    if plain == "iso":
        return plain
    for name, others in COLUMNS.items():
        if stem == name or stem in others:
            return name + suffix
    raise ExchangeError(f"the column '{column}' is not known", hint=_known())


def _known() -> str:
    return "columns: iso, " + ", ".join(f"{name} (or {others[0]})" for name, others in COLUMNS.items())


def _entry(row: dict[str, str], names: dict[str, str], line: int) -> IsoFigures:
    cells = {names[column]: value for column, value in row.items() if value}
    where = f"line {line} of the table"
    iso = _number(cells.get("iso", ""), where)
    figures: dict[str, Any] = {}
    for name in COLUMNS:
        if name in cells:
            error = cells.get(f"{name}_se")
            se = math.nan if error is None else _number(error, where)
            value = _number(cells[name], where)
            if se < 0 or (value < 0 and name != "tukey_lambda") or (value == 0 and name == "gain_dn_per_e"):
                raise ExchangeError(f"{name} of {cells[name]} cannot be", where=where)
            figures[name] = Measured(value, se)
    for name in _NEEDED:
        if name not in figures:
            raise ExchangeError(f"{name} is missing", where=where)
    if iso <= 0:
        raise ExchangeError(f"ISO {iso:g} cannot be", where=where)
    return IsoFigures(iso, **figures)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ExchangeError(f"'{text}' is not a number", where=where)
    return value
