"""What `rawdiff calibrate` says at its end: a short table, data sheets, verdicts, files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawdiff_calibration.emva_sheet import EmvaSheet
    from rawdiff_calibration.measure import Measured
    from rawdiff_calibration.profile import SensorProfile

    from rawdiff.pipeline.calibration_verdicts import Verdict

_MARKS = {"good": "+", "note": " ", "poor": "!"}
_SHEET = (
    ("K [DN/e-]", "gain_dn_per_e"),
    ("sigma_d [e-]", "dark_noise_e"),
    ("mu_e.min [e-]", "threshold_e"),
    ("mu_e.sat [e-]", "saturation_e"),
    ("DR [dB]", "dynamic_range_db"),
    ("SNR [dB]", "snr_max_db"),
    ("LE min [%]", "linearity_error_min_percent"),
    ("LE max [%]", "linearity_error_max_percent"),
    ("DSNU [e-]", "dsnu_e"),
    ("PRNU [%]", "prnu_percent"),
    ("QE", "quantum_efficiency"),
    ("mu_p.min", "threshold_p"),
    ("mu_p.sat", "saturation_p"),
)
"""EMVA 1288 R4.0 Linear: heads and names; those in photons only where photons were given."""

Record = dict[str, Any]


def describe_calibration(
    profile: SensorProfile, verdicts: Sequence[Verdict], targets: Sequence[Path]
) -> tuple[Record, str]:
    """The calibration as one record, and as text."""
    lines = [*_figure_lines(profile), *_sheet_lines(profile.emva_1288), *verdict_lines(verdicts)]
    lines += [f"wrote {target}" for target in targets]
    record = {
        "event": "calibrated",
        "iso": [_iso_record(profile, index) for index in range(len(profile.iso))],
        "emva_1288": [
            {"iso": s.iso, "color": s.color} | {n: f.value for n, f in s.figures.items()}
            for s in profile.emva_1288
        ],
        "verdicts": verdict_records(verdicts),
        "outputs": [str(target) for target in targets],
    }
    return record, "\n".join(lines)


def describe_import(profile: SensorProfile, output: Path, warnings: Sequence[str]) -> tuple[Record, str]:
    """An imported or estimated profile as one record, and as text."""
    lines = [*_figure_lines(profile), *(f"! {warning}" for warning in warnings), f"wrote {output}"]
    isos = [_iso_record(profile, index) for index in range(len(profile.iso))]
    record = {"event": "imported", "iso": isos, "warnings": list(warnings), "outputs": [str(output)]}
    return record, "\n".join(lines)


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """One line each; "!" is worth a second look, "+" is good."""
    return [f"{_MARKS[v.grade]} {v.subject}: {v.text}" for v in verdicts]


def verdict_records(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """The verdicts for `--json`."""
    return [{"subject": v.subject, "grade": v.grade, "text": v.text} for v in verdicts]


def with_error(figure: Measured | None) -> str:
    """Value and error; the value alone where no error is known."""
    if figure is None:
        return ""
    known = math.isfinite(figure.se) and figure.se > 0
    return f"{figure.value:.5g}" + (f" ± {figure.se:.2g}" if known else "")


def _figure_lines(profile: SensorProfile) -> list[str]:
    lines = [f"{'ISO':>8} {'K [DN/e-]':>20} {'read noise [DN]':>20} {'row noise [DN]':>20}"]
    for entry in profile.iso:
        cells = map(with_error, (entry.gain_dn_per_e, entry.read_noise_dn, entry.row_noise_dn))
        lines.append(f"{entry.iso:>8g} " + " ".join(f"{cell:>20}" for cell in cells))
    return lines


def _sheet_lines(sheets: Sequence[EmvaSheet]) -> list[str]:
    """One line a colour and ISO, columns that no sheet fills left out."""
    from rawdiff_calibration.emva_sheet import list_remarks

    if not sheets:
        return []
    shown = [(head, name) for head, name in _SHEET if any(name in sheet.figures for sheet in sheets)]
    lines = ["EMVA 1288 R4.0 Linear", f"{'ISO':>8}   " + " ".join(f"{head:>13}" for head, _ in shown)]
    for sheet in sheets:
        cells = [f"{sheet.figures[n].value:.5g}" if n in sheet.figures else "-" for _, n in shown]
        lines.append(f"{sheet.iso:>8g} {sheet.color} " + " ".join(f"{cell:>13}" for cell in cells))
    return lines + [f"  {remark}" for remark in list_remarks(sheets)]


def _iso_record(profile: SensorProfile, index: int) -> Record:
    entry = profile.iso[index]
    figures = {
        "gain_dn_per_e": entry.gain_dn_per_e,
        "read_noise_dn": entry.read_noise_dn,
        "row_noise_dn": entry.row_noise_dn,
    }
    known = {name: figure for name, figure in figures.items() if figure is not None}
    pairs = {
        name: {"value": f.value, "se": f.se if math.isfinite(f.se) else None} for name, f in known.items()
    }
    return {"iso": entry.iso, **pairs}
