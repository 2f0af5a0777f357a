"""The report of a calibration: why its figures can be believed, and where they cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.profile import SensorProfile

from rawdiff.pipeline.calibration import Calibration
from rawdiff.pipeline.calibration_verdicts import IsoOutcome
from rawdiff.report.figures import COLORS, Axes, Series, draw_codes, draw_map, draw_plot
from rawdiff.report.page import (
    Figure,
    Section,
    render_figures,
    render_page,
    render_table,
    render_verdicts,
)

Values = NDArray[np.float64]

_DEFECTS = ((1, "hot", "#ffb000"), (2, "dead", "#56b4e9"), (3, "random telegraph", "#ff5fa2"))

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


def render_calibration(calibration: Calibration) -> str:
    """The whole report as one HTML text that loads nothing."""
    profile = calibration.profile
    name = f"{profile.camera.make} {profile.camera.model}".strip() or "Unnamed camera"
    isos = ", ".join(f"{entry.iso:g}" for entry in profile.iso)
    order = {"poor": 0, "good": 1, "note": 2}
    verdicts = sorted(calibration.verdicts, key=lambda v: order[v.grade])
    sections = [
        Section("Verdict", render_verdicts([(v.grade, v.subject, v.text) for v in verdicts])),
        Section("Photon transfer", render_figures(_transfer_figures(calibration.isos))),
        Section("Does the profile explain its frames?", render_figures(_fitness_figures(calibration.isos))),
        Section("Noise against ISO", render_figures(_iso_figures(profile))),
    ]
    if any(outcome.result.darks for outcome in calibration.isos):
        sections.append(Section("Rows and columns", render_figures(_line_figures(calibration.isos))))
    if maps := _map_figures(calibration):
        sections.append(Section("Maps", render_figures(maps)))
    sections.append(Section("Figures", _tables(profile)))
    footer = (
        f"{profile.provenance.get('program', '')}. Uncertainties are standard errors. {_sources(profile)}"
    )
    return render_page(f"Calibration of {name}", f"ISO {isos}.", sections, footer)


def _color(index: int) -> str:
    return COLORS[index % len(COLORS)]


def _green(outcome: IsoOutcome) -> int:
    return 1 if outcome.result.transfer and len(outcome.result.transfer.colors) == 3 else 0


def _transfer_figures(outcomes: Sequence[IsoOutcome]) -> list[Figure]:
    """Variance against mean with the fitted line, and what the line leaves."""
    curves, residuals = [], []
    left_out = False
    for index, outcome in enumerate(outcomes):
        transfer = outcome.result.transfer
        if transfer is None:
            continue
        color = _green(outcome)
        points = [p for p in transfer.points if p.color == color and not p.dark and p.mean_dn > 0]
        used, rest = [p for p in points if p.used], [p for p in points if not p.used]
        left_out |= bool(rest)
        top = max((p.mean_dn for p in points), default=1.0)
        x = np.geomspace(max(min((p.mean_dn for p in points), default=1.0) / 3, 0.1), top, 60)
        line = transfer.intercept_dn2[color].value + transfer.gain_dn_per_e[color].value * x
        label = f"ISO {outcome.result.iso:g}"
        curves += [
            Series(x, line, "", _color(index), "line"),
            Series([p.mean_dn for p in used], [p.variance_dn2 for p in used], label, _color(index)),
            Series([p.mean_dn for p in rest], [p.variance_dn2 for p in rest], "", _color(index), "rings"),
        ]
        relative = [(p, 100 / max(p.variance_dn2, 1e-9)) for p in used]
        residuals.append(
            Series(
                [p.mean_dn for p in used],
                [p.residual_dn2 * scale for p, scale in relative],
                label,
                _color(index),
                errors=[p.se_dn2 * scale for p, scale in relative],
            )
        )
    if not curves:
        return []
    rings = " Rings were left out of the fit." if left_out else ""
    mean = "signal above black [DN]"
    return [
        Figure(
            "photon-transfer",
            "Photon transfer",
            f"Variance of green from frame differences over its mean; the slope is the gain K.{rings}",
            draw_plot(curves, Axes(mean, "variance [DN²]", x_log=True, y_log=True, y_span=_span(curves))),
        ),
        Figure(
            "photon-transfer-residuals",
            "What the line leaves",
            "Residual of each level, with its standard error; without structure where the sensor is linear.",
            draw_plot(residuals, Axes(mean, "residual [% of variance]", x_log=True)),
        ),
    ]


def _span(curves: Sequence[Series]) -> tuple[float, float]:
    """Height of the fitted lines: what was left out must not squeeze them."""
    lines = [np.asarray(one.y) for one in curves if one.kind == "line"]
    return float(min(y.min() for y in lines)) / 2, float(max(y.max() for y in lines)) * 2


def _fitness_figures(outcomes: Sequence[IsoOutcome]) -> list[Figure]:
    """Stabilised variance over brightness, and quantiles in the dark."""
    series, quantiles = [], []
    for index, outcome in enumerate(outcomes):
        label = f"ISO {outcome.result.iso:g}"
        if outcome.fitness is not None:
            bins = outcome.fitness.bins
            levels, seen = [b.level_dn for b in bins], [b.variance for b in bins]
            series.append(Series(levels, seen, label, _color(index), errors=[b.se for b in bins]))
        if outcome.dark_fitness is not None:
            dark = outcome.dark_fitness
            unit = float(np.ptp(dark.quantiles_expected_dn)) / 8
            expected, seen_dark = dark.quantiles_expected_dn / unit, dark.quantiles_seen_dn / unit
            quantiles.append(Series(expected, seen_dark, label, _color(index)))
    figures = []
    if series:
        spread = [abs(float(v) - 1) for one in series for v in one.y]
        reach = min(max(0.25, 1.2 * max(spread)), 3.0)
        axes = Axes(
            "signal above black [DN]",
            "variance after stabilising",
            x_log=True,
            band=(0.9, 1.1),
            y_span=(max(1 - reach, 0.0), 1 + reach),
        )
        caption = "Variance of flats after the profile's stabilising transform: 1 if true; the band is 10 %."
        figures.append(Figure("stabilised-variance", "Variance check", caption, draw_plot(series, axes)))
    if quantiles:
        ends = [float(v) for one in quantiles for v in one.x]
        diagonal = Series([min(ends), max(ends)], [min(ends), max(ends)], "", "#999999", "line", dashed=True)
        axes = Axes("quantile of the profile's law [scaled]", "quantile of the darks [scaled]")
        caption = (
            "Green noise in the dark against the profile's law, from 0.01 to 99.99 %: on the line if true."
        )
        figures.append(
            Figure("dark-quantiles", "Quantiles", caption, draw_plot([diagonal, *quantiles], axes))
        )
    return figures


def _iso_figures(profile: SensorProfile) -> list[Figure]:
    """Read, row and column noise and K over ISO with their laws."""
    isos = [entry.iso for entry in profile.iso]
    grid = np.geomspace(min(isos) / 1.4, max(isos) * 1.4, 200)
    noises, electrons = [], []
    for index, (name, label) in enumerate(
        (("read_noise_dn", "read noise"), ("row_noise_dn", "row noise"), ("column_noise_dn", "column noise"))
    ):
        known = [(e.iso, getattr(e, name)) for e in profile.iso if getattr(e, name) is not None]
        if not known or name not in profile.laws:
            continue
        curve = [profile.figure(name, float(iso)) for iso in grid]
        heights = [math.nan if figure is None else figure.value for figure in curve]
        noises.append(Series(grid, heights, "", _color(index), "line"))
        noises.append(
            Series(
                [iso for iso, _ in known],
                [figure.value for _, figure in known],
                label,
                _color(index),
                errors=[figure.se for _, figure in known],
            )
        )
    law = profile.laws["gain_dn_per_e"]
    gains = [entry.gain_dn_per_e for entry in profile.iso]
    electrons = [
        Series(grid, [law.at(float(iso)).value for iso in grid], "law", "#999999", "line", dashed=True),
        Series(isos, [g.value for g in gains], "system gain", _color(0), errors=[g.se for g in gains]),
    ]
    steps = "; ".join(f"between ISO {s.iso_below:g} and {s.iso_above:g}" for s in profile.steps)
    text = (
        f"The conversion gain switches {steps}." if steps else "No switch of the conversion gain was found."
    )
    return [
        Figure(
            "noise-over-iso",
            "Noise in the dark",
            f"As measured, and as the profile tells it in between. {text}",
            draw_plot(noises, Axes("ISO", "standard deviation [DN]", x_log=True, y_log=True)),
        ),
        Figure(
            "gain-over-iso",
            "System gain",
            f"In proportion to ISO if the slope is 1; it is {law.segments[0].slope.value:.3f}.",
            draw_plot(electrons, Axes("ISO", "K [DN/e-]", x_log=True, y_log=True)),
        ),
    ]


def _line_figures(outcomes: Sequence[IsoOutcome]) -> list[Figure]:
    """Power spectra of the offsets that rows and columns share."""
    figures = []
    for name, what in (("rows", "row"), ("columns", "column")):
        series = []
        for index, outcome in enumerate(outcomes):
            if outcome.result.darks is None:
                continue
            power = _smooth(getattr(outcome.result.darks, name).spectrum_dn2[1:])
            frequency = np.linspace(0, 0.5, len(power) + 1)[1:]
            series.append(Series(frequency, power, f"ISO {outcome.result.iso:g}", _color(index), "line"))
        if series:
            axes = Axes(f"cycles per {what}", "power [DN²]", y_log=True)
            caption = f"Spectrum of the {what} offsets between frames: flat if white, a peak is banding."
            figures.append(
                Figure(f"{what}-spectrum", f"{what.capitalize()} noise", caption, draw_plot(series, axes))
            )
    return figures


def _smooth(
    power: Values,
) -> Values:
    """Means of neighbouring frequencies, at most 256 points."""
    step = max(1, math.ceil(len(power) / 256))
    count = len(power) // step * step
    return np.asarray(power[:count].reshape(-1, step).mean(axis=1))


def _map_figures(calibration: Calibration) -> list[Figure]:
    figures, maps = [], calibration.maps
    if (codes := maps.get("defects")) is not None:
        drawing = draw_codes(np.asarray(codes, np.int64), _DEFECTS)
        caption = "Each is drawn larger than it is."
        figures.append(Figure("defect-map", "Defects", caption, drawing))
    gains = sorted((name for name in maps if name.startswith("gain_map")), key=_iso_of)
    if gains:
        shading = 100 / np.asarray(maps[gains[0]], np.float64)
        plane = min(1, shading.shape[0] - 1)
        caption = (
            f"Light that arrives at ISO {_iso_of(gains[0]):g}, green: the lens, the lamp and the target."
        )
        figures.append(Figure("shading-map", "Shading", caption, draw_map(shading[plane], "%")))
    darks = sorted((name for name in maps if name.startswith("dark_shading")), key=_iso_of)
    if darks:
        values = _reduce_mean(np.asarray(maps[darks[-1]], np.float64), 230)
        caption = f"Mean dark frame above its black level at ISO {_iso_of(darks[-1]):g}."
        figures.append(
            Figure("dark-shading-map", "Dark shading", caption, draw_map(values, "DN", diverging=True))
        )
    return figures


def _iso_of(name: str) -> float:
    return float(name.rsplit("_", 1)[1])


def _reduce_mean(values: Values, widest: int) -> Values:
    cell = max(2, math.ceil(values.shape[1] / widest))
    height, width = (extent // cell * cell for extent in values.shape)
    return np.asarray(
        values[:height, :width].reshape(height // cell, cell, width // cell, cell).mean(axis=(1, 3))
    )


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


def _text(figure: Measured) -> str:
    """Value and error, with as many digits as the error allows."""
    if not math.isfinite(figure.se) or figure.se <= 0:
        return f"{figure.value:.4g}"
    digits = max(0, min(6, 1 - math.floor(math.log10(figure.se))))
    return f"{figure.value:.{digits}f} ± {figure.se:.{digits}f}"


def _sources(profile: SensorProfile) -> str:
    files = profile.provenance.get("files", ())
    return f"From {len(files)} files, named with their SHA-256 in the profile."
