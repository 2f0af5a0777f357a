"""Curves of a calibration, a panel for each colour: photon transfer, fitness, linearity, laws over ISO."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.photon_transfer import PhotonTransferResult
from rawdiff_calibration.profile import IsoFigures, SensorProfile
from rawdiff_calibration.transfer_fit import Point

from rawdiff.pipeline.calibration_verdicts import IsoOutcome
from rawdiff.report.figures import COLORS, Axes, Series, draw_panels, draw_plot
from rawdiff.report.page import Figure

_SIGNAL = "signal above black [DN]"
_PANEL = (320, 290)
_INKS = {"R": "#c0392b", "G": "#1e8449", "B": "#2471a3", "Y": "#333333"}


def draw_transfer(outcomes: Sequence[IsoOutcome]) -> list[Figure]:
    """Variance against mean with the fitted lines, and what the lines leave, colour by colour."""
    lit = [(index, o.result.transfer) for index, o in enumerate(outcomes) if o.result.transfer is not None]
    if not lit:
        return []
    isos = [outcome.result.iso for outcome in outcomes]
    colors = lit[0][1].colors
    curves = [[s for i, t in lit for s in _curve(t, color, isos[i], i)] for color in range(len(colors))]
    rests = [[_residuals(t, color, isos[i], i) for i, t in lit] for color in range(len(colors))]
    ends = [float(x) for panel in rests for one in panel for x in one.x] or [1.0]
    zero = Series([min(ends), max(ends)], [0, 0], "", "#999999", "line", dashed=True)
    left_out = any(not point.used for _, transfer in lit for point in transfer.points)
    rings = " Rings were left out of the fit." if left_out else ""
    span = _span([one for panel in curves for one in panel])
    axes = Axes(_SIGNAL, "variance [DN²]", x_log=True, y_log=True, y_span=span)
    reach = max(1.0, 1.2 * max((abs(float(y)) for panel in rests for one in panel for y in one.y), default=1))
    rest_axes = Axes(_SIGNAL, "residual [% of variance]", x_log=True, y_span=(-reach, reach))
    rests = [[zero, *panel] for panel in rests]
    caption = f"Variance of the noise over the mean, and the fitted line; its slope is the gain K.{rings}"
    rest_caption = "Of each level, with its standard error; without structure where the sensor is linear."
    return [
        _panels("photon-transfer", "Photon transfer", caption, curves, axes, colors),
        _panels("photon-transfer-residuals", "What the lines leave", rest_caption, rests, rest_axes, colors),
    ]


def _curve(transfer: PhotonTransferResult, color: int, iso: float, index: int) -> Iterator[Series]:
    """The line of one colour at one ISO, the levels that made it, and those that were left out."""
    points = _points(transfer, color)
    used, rest = [p for p in points if p.used], [p for p in points if not p.used]
    means = [p.mean_dn for p in points] or [1.0]
    x = np.geomspace(max(min(means) / 3, 0.1), max(means), 60)
    line = transfer.intercept_dn2[color].value + transfer.gain_dn_per_e[color].value * x
    ink = _ink(index)
    yield Series(x, line, "", ink, "line")
    yield Series([p.mean_dn for p in used], [p.variance_dn2 for p in used], f"ISO {iso:g}", ink)
    yield Series([p.mean_dn for p in rest], [p.variance_dn2 for p in rest], "", ink, "rings")


def _residuals(transfer: PhotonTransferResult, color: int, iso: float, index: int) -> Series:
    used = [p for p in _points(transfer, color) if p.used]
    scales = [100 / max(p.variance_dn2, 1e-9) for p in used]
    return Series(
        [p.mean_dn for p in used],
        [p.residual_dn2 * scale for p, scale in zip(used, scales, strict=True)],
        f"ISO {iso:g}",
        _ink(index),
        errors=[p.se_dn2 * scale for p, scale in zip(used, scales, strict=True)],
    )


def _points(transfer: PhotonTransferResult, color: int) -> list[Point]:
    return [p for p in transfer.points if p.color == color and not p.dark and p.mean_dn > 0]


def _span(curves: Sequence[Series]) -> tuple[float, float]:
    """Height of the fitted lines: what was left out must not squeeze them."""
    lines = np.concatenate([np.asarray(one.y) for one in curves if one.kind == "line"])
    above = lines[lines > 0]  # the line of a chart may cross zero near black
    return float(above.min()) / 2, float(above.max()) * 2


def draw_fitness(outcomes: Sequence[IsoOutcome]) -> list[Figure]:
    """Stabilised variance over brightness, and quantiles in the dark, colour by colour."""
    colors = next((o.result.transfer.colors for o in outcomes if o.result.transfer is not None), ("Y",))
    variances = [[s for i, o in enumerate(outcomes) for s in _bins(o, c, i)] for c in range(len(colors))]
    quantiles = [[s for i, o in enumerate(outcomes) for s in _quantiles(o, c, i)] for c in range(len(colors))]
    figures = []
    if any(variances):
        spread = [abs(float(v) - 1) for panel in variances for one in panel for v in one.y]
        reach = min(max(0.25, 1.2 * max(spread)), 3.0)
        span = (max(1 - reach, 0.0), 1 + reach)
        axes = Axes(_SIGNAL, "variance after stabilising", x_log=True, band=(0.9, 1.1), y_span=span)
        caption = (
            "Variance after the profile's stabilising transform: 1 if the profile is true; the band is 10 %."
        )
        figures.append(_panels("stabilised-variance", "Variance check", caption, variances, axes, colors))
    if any(quantiles):
        ends = [float(v) for panel in quantiles for one in panel for v in one.x]
        diagonal = Series([min(ends), max(ends)], [min(ends), max(ends)], "", "#999999", "line", dashed=True)
        axes = Axes("quantile of the profile's law [scaled]", "quantile of the darks [scaled]")
        caption = "Noise in the dark against the profile's law, from 0.01 to 99.99 %: on the line if true."
        panels = [[diagonal, *panel] for panel in quantiles]
        figures.append(_panels("dark-quantiles", "Quantiles", caption, panels, axes, colors))
    return figures


def _bins(outcome: IsoOutcome, color: int, index: int) -> Iterator[Series]:
    bins = [] if outcome.fitness is None else [b for b in outcome.fitness.bins if b.color == color]
    if bins:
        levels, seen, errors = zip(*((b.level_dn, b.variance, b.se) for b in bins), strict=True)
        yield Series(levels, seen, f"ISO {outcome.result.iso:g}", _ink(index), errors=errors)


def _quantiles(outcome: IsoOutcome, color: int, index: int) -> Iterator[Series]:
    if outcome.dark_fitness is not None and color < len(outcome.dark_fitness.colors):
        dark = outcome.dark_fitness.colors[color]
        unit = float(np.ptp(dark.expected_dn)) / 8
        yield Series(dark.expected_dn / unit, dark.seen_dn / unit, f"ISO {outcome.result.iso:g}", _ink(index))


def draw_linearity(outcomes: Sequence[IsoOutcome]) -> list[Figure]:
    """How far the levels stray from the exposure, and the signal over its noise."""
    strays: list[Series] = []
    ratios: list[Series] = []
    for index, outcome in enumerate(outcomes):
        linearity, transfer = outcome.result.linearity, outcome.result.transfer
        label = f"ISO {outcome.result.iso:g}"
        if linearity is not None:
            strays.append(Series(linearity.level_dn, linearity.deviation_percent, label, _ink(index)))
        if transfer is not None:
            ratios += _signal_to_noise(transfer, label, index)
    figures = []
    if any(np.isfinite(np.asarray(one.y)).any() for one in strays):
        axes = Axes(_SIGNAL, "deviation [%]", x_log=True)
        caption = "Mean level against exposure time: distance from the line, 5 to 95 % of saturation."
        figures.append(Figure("linearity", "Linearity", caption, draw_plot(strays, axes)))
    if ratios:
        axes = Axes("light [e-]", "signal to noise", x_log=True, y_log=True)
        caption = "Green, of one pixel of one frame; the dashed line is light's own limit, its square root."
        top = max(float(np.max(one.x)) for one in ratios if len(one.x))
        x = np.geomspace(max(top * 1e-4, 0.1), top, 40)
        limit = Series(x, np.sqrt(x), "", "#999999", "line", dashed=True)
        figures.append(
            Figure("signal-to-noise", "Signal to noise", caption, draw_plot([limit, *ratios], axes))
        )
    return figures


def _signal_to_noise(transfer: PhotonTransferResult, label: str, index: int) -> Iterator[Series]:
    color = 1 if len(transfer.colors) == 3 else 0
    gain, floor = transfer.gain_dn_per_e[color].value, max(transfer.intercept_dn2[color].value, 0.0)
    used = [p for p in _points(transfer, color) if p.used and p.variance_dn2 > 0]
    light = [p.mean_dn / gain for p in used]
    if light:
        x = np.geomspace(min(light) / 3, max(light), 60)
        yield Series(x, x / np.sqrt(x + floor / gain**2), "", _ink(index), "line")
        yield Series(light, [p.mean_dn / math.sqrt(p.variance_dn2) for p in used], label, _ink(index))


def draw_laws(profile: SensorProfile) -> list[Figure]:
    """Read, row and column noise and K over ISO with their laws."""
    isos = [entry.iso for entry in profile.iso]
    grid = np.geomspace(min(isos) / 1.4, max(isos) * 1.4, 200)
    apart = _by_color(profile, "read_noise_rgb_dn", "read noise")
    noises: list[Series] = []
    for name, label, ink in (
        ("read_noise_dn", "read noise", _INKS["Y"]),
        ("row_noise_dn", "row noise", COLORS[4]),
        ("column_noise_dn", "column noise", COLORS[3]),
    ):
        known = [(e.iso, getattr(e, name)) for e in profile.iso if getattr(e, name) is not None]
        if known and name in profile.laws:
            curve = [profile.figure(name, float(iso)) for iso in grid]
            heights = [math.nan if figure is None else figure.value for figure in curve]
            noises.append(Series(grid, heights, "", ink, "line"))
            told_apart = apart if name == "read_noise_dn" else []
            noises += told_apart or [_measured(known, label, ink)]
    law = profile.laws["gain_dn_per_e"]
    line = [law.at(float(iso)).value for iso in grid]
    gains = [Series(grid, line, "law", "#999999", "line", dashed=True)]
    whole = [(entry.iso, entry.gain_dn_per_e) for entry in profile.iso]
    gains += _by_color(profile, "gain_rgb_dn_per_e", "K") or [_measured(whole, "K", _ink(0))]
    steps = "; ".join(f"between ISO {s.iso_below:g} and {s.iso_above:g}" for s in profile.steps)
    told = (
        f"The conversion gain switches {steps}." if steps else "No switch of the conversion gain was found."
    )
    noise_axes = Axes("ISO", "standard deviation [DN]", x_log=True, y_log=True)
    gain_axes = Axes("ISO", "K [DN/e-]", x_log=True, y_log=True)
    slope = f"In proportion to ISO if the slope is 1; it is {law.segments[0].slope.value:.3f}."
    caption = f"As measured, and as the profile tells it in between. {told}"
    return [
        Figure("noise-over-iso", "Noise in the dark", caption, draw_plot(noises, noise_axes)),
        Figure("gain-over-iso", "System gain", slope, draw_plot(gains, gain_axes)),
    ]


def _measured(known: Sequence[tuple[float, Measured]], label: str, ink: str) -> Series:
    values, errors = [f.value for _, f in known], [f.se for _, f in known]
    return Series([iso for iso, _ in known], values, label, ink, errors=errors)


def _by_color(profile: SensorProfile, name: str, label: str) -> list[Series]:
    """One series a colour, where the colours were measured apart; dodged, so that none hides another."""
    known = [entry for entry in profile.iso if getattr(entry, name) is not None]
    found = []
    for index, color in enumerate("RGB"):
        points = [(entry.iso * 1.06 ** (index - 1), _of(entry, name, index)) for entry in known]
        found += [_measured(points, f"{label} {color}", _INKS[color])] if points else []
    return found


def _of(entry: IsoFigures, name: str, index: int) -> Measured:
    figure: Measured = getattr(entry, name)[index]
    return figure


def _panels(
    name: str,
    title: str,
    caption: str,
    panels: Sequence[Sequence[Series]],
    axes: Axes,
    colors: Sequence[str],
) -> Figure:
    """A figure of one panel a colour; a monochrome sensor's is of ordinary size."""
    if len(colors) == 1:
        return Figure(name, title, caption, draw_plot(panels[0], axes))
    width, height = _PANEL
    small = replace(axes, width=width, height=height)
    plots = [draw_plot(p, replace(small, title=color)) for p, color in zip(panels, colors, strict=True)]
    return Figure(name, title, caption, draw_panels(plots), wide=True)


def _ink(index: int) -> str:
    return COLORS[index % len(COLORS)]
