"""Camera and exposure of a raw file from its EXIF and TIFF tags (EXIF 3.0, TIFF/EP, DNG 1.7)."""

from __future__ import annotations

import math
import re
from typing import Any

from rawdiff.raw.frame import Camera, Exposure
from rawdiff.raw.tags import TagTable, as_numbers

_DATE = re.compile(r"^(\d{4})[:\-](\d\d)[:\-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_RATIONAL_NAMES = frozenset({"ExposureTime", "FNumber", "ApertureValue", "ShutterSpeedValue"})


def read_exif(table: TagTable) -> dict[str, Any]:
    """Return the Exif directory of IFD0 as names to values, empty where absent or unreadable."""
    value = table.value(34665)
    return value if isinstance(value, dict) else {}


def read_camera(table: TagTable) -> Camera:
    """Read make, model, serial number, firmware and lens."""
    exif = read_exif(table)
    make, model = table.text(271), table.text(272)
    serial = table.text(50735) or _text(exif.get("BodySerialNumber"))
    return Camera(
        make=make,
        model=model,
        unique=table.text(50708) or _join_name(make, model),
        serial=serial or None,
        firmware=table.text(305) or None,
        lens=_text(exif.get("LensModel")) or None,
    )


def _join_name(make: str, model: str) -> str:
    """Make and model, the make only once: many models begin with it."""
    brand = make.split()[0].lower() if make else ""
    return model if model.lower().startswith(brand) and model else f"{make} {model}".strip()


def read_exposure(table: TagTable) -> Exposure:
    """Read exposure time, aperture, ISO and the time of capture; zeros mean unknown.

    APEX values (ShutterSpeedValue Tv, ApertureValue Av) stand in where the plain ones are absent.
    """
    exif = read_exif(table)
    time_s = _number(exif, "ExposureTime") or _first(table, 33434)
    if not time_s and (tv := _number(exif, "ShutterSpeedValue", signed=True)) is not None:
        time_s = 2.0**-tv if abs(tv) < 32 and tv != 0 else None
    aperture = _number(exif, "FNumber") or _first(table, 33437)
    if not aperture and (av := _number(exif, "ApertureValue")) is not None:
        aperture = 2.0 ** (av / 2) if av < 20 else None
    return Exposure(time_s or None, aperture or None, _iso(exif, table), _captured_at(exif, table))


def _iso(exif: dict[str, Any], table: TagTable) -> float | None:
    iso = _number(exif, "ISOSpeedRatings") or _number(exif, "PhotographicSensitivity") or _first(table, 34855)
    if iso is None or iso >= 65535:  # the 16-bit tag is full: EXIF 2.3 puts the figure elsewhere
        wide = ("RecommendedExposureIndex", "ISOSpeed", "StandardOutputSensitivity")
        iso = next((found for name in wide if (found := _number(exif, name))), iso)
    return iso or None


def _captured_at(exif: dict[str, Any], table: TagTable) -> str | None:
    for name, fraction in (("DateTimeOriginal", "Original"), ("DateTimeDigitized", "Digitized")):
        if match := _DATE.match(_text(exif.get(name))):
            digits = re.match(r"\d+", _text(exif.get(f"SubsecTime{fraction}")))
            offset = _text(exif.get(f"OffsetTime{fraction}"))
            return _iso_8601(match, digits.group() if digits else "", offset)
    match = _DATE.match(table.text(36867)) or _DATE.match(table.text(306))
    return _iso_8601(match, "", "") if match else None


def _iso_8601(match: re.Match[str], digits: str, offset: str) -> str | None:
    year, month, day, hour, minute, second = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31 and int(hour) < 24):
        return None
    zone = offset if re.fullmatch(r"[+-]\d\d:\d\d", offset) else ""
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}{'.' + digits if digits else ''}{zone}"


def _number(exif: dict[str, Any], name: str, *, signed: bool = False) -> float | None:
    if name not in exif:
        return None
    numbers = as_numbers(exif[name], rational=name in _RATIONAL_NAMES)
    if not numbers or not math.isfinite(numbers[0]) or (numbers[0] <= 0 and not signed):
        return None
    return numbers[0]


def _first(table: TagTable, code: int) -> float | None:
    numbers = table.finite(code)
    return numbers[0] if numbers and numbers[0] > 0 else None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.split(b"\0", 1)[0].decode("utf-8", "replace")
    return " ".join(value.split("\0", 1)[0].split()) if isinstance(value, str) else ""
