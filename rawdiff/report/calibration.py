"""The report of a calibration: why its figures can be believed, and where they cannot."""

from __future__ import annotations

import math
from html import escape

from rawdiff_calibration.emva_sheet import EmvaSheet, list_remarks
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.profile import SensorProfile

from rawdiff.pipeline.calibration import Calibration
from rawdiff.report.calibration_curves import (
    draw_fitness,
    draw_laws,
    draw_linearity,
    draw_transfer,
)
from rawdiff.report.calibration_maps import draw_lines, draw_maps
from rawdiff.report.page import Section, render_figures, render_page, render_table, render_verdicts

_ROWS = (
    ("system gain K [DN/e-]", "gain_dn_per_e"),
    ("read noise [DN]", "read_noise_dn"),
    ("read noise [e-]", "read_noise_e"),
    ("Tukey-lambda shape", "tukey_lambda"),
    ("Tukey-lambda scale [DN]", "tukey_scale_dn"),
    ("row noise [DN]", "row_noise_dn"),
    ("column noise [DN]", "column_noise_dn"),
    ("dark current [e-/s]", "dark_current_e_per_s"),
    ("dark current from variance [e-/s]", "dark_current_from_variance_e_per_s"),
    ("full well [e-]", "full_well_e"),
    ("dynamic range [dB]", "dynamic_range_db"),
    ("highest SNR [dB]", "snr_max_db"),
    ("PRNU", "prnu"),
    ("DSNU [e-]", "dsnu_e"),
    ("linear up to [DN]", "linear_to_dn"),
    ("linearity error, least [%]", "linearity_error_min_percent"),
    ("linearity error, largest [%]", "linearity_error_max_percent"),
)
_SHEET = (
    ("system gain K [DN/e-]", "gain_dn_per_e"),
    ("sigma_y.dark [DN]", "dark_noise_dn"),
    ("dark noise sigma_d [e-]", "dark_noise_e"),
    ("absolute threshold mu_e.min [e-]", "threshold_e"),
    ("saturation mu_e.sat [e-]", "saturation_e"),
    ("dynamic range DR [dB]", "dynamic_range_db"),
    ("SNR max [dB]", "snr_max_db"),
    ("linearity error LE min [%]", "linearity_error_min_percent"),
    ("linearity error LE max [%]", "linearity_error_max_percent"),
    ("DSNU1288 [e-]", "dsnu_e"),
    ("DSNU1288 row [e-]", "dsnu_row_e"),
    ("DSNU1288 column [e-]", "dsnu_column_e"),
    ("DSNU1288 pixel [e-]", "dsnu_pixel_e"),
    ("PRNU1288 [%]", "prnu_percent"),
    ("PRNU1288 row [%]", "prnu_row_percent"),
    ("PRNU1288 column [%]", "prnu_column_percent"),
    ("PRNU1288 pixel [%]", "prnu_pixel_percent"),
    ("quantum efficiency", "quantum_efficiency"),
    ("absolute threshold mu_p.min [photons]", "threshold_p"),
    ("saturation mu_p.sat [photons]", "saturation_p"),
)


def render_calibration(calibration: Calibration) -> str:
    """The whole report as one HTML text that loads nothing."""
    profile = calibration.profile
    name = f"{profile.camera.make} {profile.camera.model}".strip() or "Unnamed camera"
    isos = ", ".join(f"{entry.iso:g}" for entry in profile.iso)
    order = {"poor": 0, "good": 1, "note": 2}
    verdicts = sorted(calibration.verdicts, key=lambda v: order[v.grade])
    isos_seen = calibration.isos
    drawn = (
        ("Photon transfer", draw_transfer(isos_seen)),
        ("Does the profile explain its frames?", draw_fitness(isos_seen)),
        ("Linearity and signal to noise", draw_linearity(isos_seen)),
        ("Noise against ISO", draw_laws(profile)),
        ("Rows and columns", draw_lines(isos_seen)),
        ("Maps", draw_maps(calibration.maps)),
    )
    sections = [Section("Verdict", render_verdicts([(v.grade, v.subject, v.text) for v in verdicts]))]
    sections += [Section(heading, render_figures(figures)) for heading, figures in drawn if figures]
    sections.append(Section("Figures", _tables(profile)))
    if profile.emva_1288:
        sections.append(Section("EMVA 1288 Release 4 Linear", _sheets(profile.emva_1288)))
    footer = (
        f"{profile.provenance.get('program', '')}. Uncertainties are standard errors. {_sources(profile)}"
    )
    return render_page(f"Calibration of {name}", f"ISO {isos}.", sections, footer)


def _tables(profile: SensorProfile) -> str:
    header = ["", *(f"ISO {entry.iso:g}" for entry in profile.iso)]
    rows = []
    for label, name in _ROWS:
        found = [getattr(entry, name, None) or entry.other.get(name) for entry in profile.iso]
        if any(found):
            rows.append([label, *("" if figure is None else _text(figure) for figure in found)])
    planes = ("R", "Gr", "Gb", "B")
    for index, plane in enumerate(planes):
        levels = [entry.black_dn[index] if entry.black_dn else None for entry in profile.iso]
        if any(levels):
            rows.append([f"black level {plane} [DN]", *("" if one is None else _text(one) for one in levels)])
    return render_table(header, rows)


def _sheets(sheets: tuple[EmvaSheet, ...]) -> str:
    """A column for each colour of each ISO; rows that no sheet fills are left out."""
    header = ["", *(f"ISO {sheet.iso:g} {sheet.color}" for sheet in sheets)]
    rows = [
        [label, *(f"{s.figures[name].value:.4g}" if name in s.figures else "" for s in sheets)]
        for label, name in _SHEET
        if any(name in s.figures for s in sheets)
    ]
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in list_remarks(sheets))
    return f"{render_table(header, rows)}<ul>{remarks}</ul>"


def _text(figure: Measured) -> str:
    """Value and error, with as many digits as the error allows."""
    if not math.isfinite(figure.se) or figure.se <= 0:
        return f"{figure.value:.4g}"
    digits = max(0, min(6, 1 - math.floor(math.log10(figure.se))))
    return f"{figure.value:.{digits}f} ± {figure.se:.{digits}f}"


def _sources(profile: SensorProfile) -> str:
    files = profile.provenance.get("files", ())
    return f"From {len(files)} files, named with their SHA-256 in the profile."
