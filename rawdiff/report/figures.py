"""Small figures for reports, as SVG text: lines, points with errors, bands, and maps as embedded PNG.

Made to be read in print as in a browser: few inks, thin grids, labels with units. No extra package needed.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Okabe and Ito's colours, told apart by colour-blind readers too."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 14, 46
_LINE, _LETTER = 15, 6.4
_SPAN = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Points to draw: `dots`, a `line`, or hollow `rings` for points that were left out."""

    x: Sequence[float] | NDArray[np.floating]
    y: Sequence[float] | NDArray[np.floating]
    label: str = ""
    color: str = COLORS[0]
    kind: str = "dots"
    errors: Sequence[float] | NDArray[np.floating] | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Axes:
    """What the axes say, and how they run.

    `band` shades a range of y; `y_span` fixes the axis; `title` stands in the lower right corner.
    """

    x_label: str
    y_label: str
    x_log: bool = False
    y_log: bool = False
    band: _SPAN | None = None
    y_span: _SPAN | None = None
    width: int = 460
    height: int = 320
    title: str = ""


@dataclass(frozen=True)
class _Scale:
    """From a value to a place on the paper."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)


def draw_plot(series: Sequence[Series], axes: Axes) -> str:
    """Draw series into one pair of axes; points that a log axis cannot show are left out."""
    shown = [_showable(one, axes) for one in series]
    legend, top = _legend([one for one in series if one.label], axes.width)
    x = _scale([v for one in shown for v in one.x], _LEFT, axes.width - _RIGHT, axes.x_log, None)
    heights = [v for one in shown for v in one.y]
    y = _scale(heights, axes.height - _BOTTOM, top, axes.y_log, axes.y_span)
    body = [_frame(axes, x, y)]
    if axes.band is not None:
        high, low = y.place(min(axes.band[1], y.high)), y.place(max(axes.band[0], y.low))
        width = axes.width - _LEFT - _RIGHT
        body.append(
            f'<rect x="{_LEFT}" y="{high:.1f}" width="{width}" height="{low - high:.1f}" class="band"/>'
        )
    body += [_draw_series(one, x, y) for one in shown]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {axes.width} {axes.height}" '
        f'width="{axes.width}" height="{axes.height}" role="img">{"".join(body)}{legend}</svg>'
    )


def draw_panels(plots: Sequence[str]) -> str:
    """Plots side by side, as one drawing."""
    return plots[0] if len(plots) == 1 else f'<div class="panels">{"".join(plots)}</div>'


def draw_map(values: NDArray[np.floating], unit: str, width: int = 460, diverging: bool = False) -> str:
    """Draw a map `[H, W]` as an embedded picture with its scale: dark to light, or blue-white-red about 0."""
    finite = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(finite, [1, 99])) if finite.size else (0.0, 1.0)
    if diverging:
        high = max(abs(low), abs(high), 1e-12)
        low = -high
    share = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    picture = _colorize(np.nan_to_num(share), diverging)
    bar = _colorize(np.linspace(0, 1, 256)[None, :].repeat(8, 0), diverging)
    return (
        f'<img alt="map" width="{width}" src="{embed_picture(picture)}"/>'
        f'<div class="scale"><span>{low:.3g}</span><img alt="scale" src="{embed_picture(bar)}"/>'
        f"<span>{high:.3g} {escape(unit)}</span></div>"
    )


def draw_codes(codes: NDArray[np.integer], names: Sequence[tuple[int, str, str]], width: int = 460) -> str:
    """Draw a map of codes on black, each pixel of the picture showing the highest code of its cell.

    `names` are (code, name, colour `#rrggbb`).
    """
    reduced = _reduce_largest(codes, 2 * width)
    picture = np.full((*reduced.shape, 3), 24, np.uint8)
    for code, _, color in names:
        picture[reduced == code] = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    counts = "".join(
        f'<span><i style="background:{color}"></i>{escape(name)} {np.count_nonzero(codes == code)}</span>'
        for code, name, color in names
    )
    return f'<img alt="map" width="{width}" src="{embed_picture(picture)}"/><div class="key">{counts}</div>'


def _reduce_largest(codes: NDArray[np.integer], widest: int) -> NDArray[np.integer]:
    """Largest code of each cell, then spread over its neighbours so that single pixels can be seen."""
    cell = max(1, math.ceil(codes.shape[1] / widest))
    height, width = (extent // cell * cell for extent in codes.shape)
    cells = codes[:height, :width].reshape(height // cell, cell, width // cell, cell)
    reduced = np.asarray(cells.max(axis=(1, 3)))
    padded = np.pad(reduced, 1)
    shifted = [padded[i : i + reduced.shape[0], j : j + reduced.shape[1]] for i in range(3) for j in range(3)]
    return np.asarray(np.maximum.reduce(shifted))


def _showable(series: Series, axes: Axes) -> Series:
    x, y = np.asarray(series.x, np.float64), np.asarray(series.y, np.float64)
    good = np.isfinite(x) & np.isfinite(y)
    good &= (x > 0) if axes.x_log else True
    good &= (y > 0) if axes.y_log else True
    errors = None if series.errors is None else np.nan_to_num(np.asarray(series.errors, np.float64))[good]
    return Series(x[good], y[good], series.label, series.color, series.kind, errors, series.dashed)


def _scale(values: Sequence[float], start: float, end: float, log: bool, span: _SPAN | None) -> _Scale:
    if span is not None:
        return _Scale(*span, start, end, log)
    low, high = (min(values), max(values)) if len(values) else (1.0, 10.0)
    if log:
        low, high = low / 1.3, high * 1.3
    else:
        margin = 0.05 * (high - low) or max(abs(high) * 0.1, 1e-9)
        low, high = low - margin, high + margin
    return _Scale(low, high, start, end, log)


def _ticks(scale: _Scale) -> list[float]:
    if not scale.log:
        step = 10 ** math.floor(math.log10((scale.high - scale.low) / 4))
        step *= next(f for f in (1, 2, 5, 10) if (scale.high - scale.low) / (f * step) <= 6)
        first = math.ceil(scale.low / step)
        return [n * step for n in range(first, math.floor(scale.high / step) + 1)]
    decades = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    few = math.log10(scale.high / scale.low) < 2
    ticks = [m * 10.0**d for d in decades for m in ((1, 2, 5) if few else (1,))]
    return [tick for tick in ticks if scale.low <= tick <= scale.high]


def _frame(axes: Axes, x: _Scale, y: _Scale) -> str:
    """Grid, ticks, labels."""
    right, top, bottom = axes.width - _RIGHT, y.end, axes.height - _BOTTOM
    parts = []
    for tick in _ticks(x):
        at = x.place(tick)
        parts.append(f'<path d="M{at:.1f} {top:.1f}V{bottom}" class="grid"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{_number(tick)}</text>')
    for tick in _ticks(y):
        at = y.place(tick)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{right}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    parts.append(
        f'<rect x="{_LEFT}" y="{top:.1f}" width="{right - _LEFT}" height="{bottom - top:.1f}" class="box"/>'
    )
    middle = (top + bottom) / 2
    if axes.title:
        place = f'x="{right - 8}" y="{bottom - 8}" text-anchor="end"'
        parts.append(f'<text {place} class="title">{escape(axes.title)}</text>')
    parts.append(
        f'<text x="{(_LEFT + right) / 2}" y="{axes.height - 10}" text-anchor="middle" class="label">'
        f"{escape(axes.x_label)}</text>"
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle" class="label">'
        f"{escape(axes.y_label)}</text>"
    )
    return "".join(parts)


def _draw_series(series: Series, x: _Scale, y: _Scale) -> str:
    inside = [(float(a), min(max(float(b), y.low), y.high)) for a, b in zip(series.x, series.y, strict=True)]
    places = [(x.place(a), y.place(b)) for a, b in inside]
    if series.kind == "line":
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        dash = ' stroke-dasharray="5 4"' if series.dashed else ""
        return f'<polyline points="{path}" fill="none" stroke="{series.color}" stroke-width="1.5"{dash}/>'
    fill = "#fff" if series.kind == "rings" else series.color
    parts = []
    for index, (a, b) in enumerate(places):
        if series.errors is not None:
            value, error = inside[index][1], float(series.errors[index])
            low, high = (y.place(min(max(v, y.low), y.high)) for v in (value - error, value + error))
            parts.append(
                f'<path d="M{a:.1f} {low:.1f}V{high:.1f}" stroke="{series.color}" stroke-width="1"/>'
            )
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{fill}" stroke="{series.color}"/>')
    return "".join(parts)


def _legend(series: Sequence[Series], width: int) -> tuple[str, float]:
    """Marks and names in lines above the axes, where they hide no point; and where the axes begin."""
    parts, at, row = [], float(_LEFT), 0
    for one in series:
        needed = 30 + _LETTER * len(one.label)
        if at > _LEFT and at + needed > width - _RIGHT:
            at, row = float(_LEFT), row + 1
        y = _TOP + _LINE * row
        if one.kind == "line":
            dash = ' stroke-dasharray="5 4"' if one.dashed else ""
            mark = f'<path d="M{at:.0f} {y - 4}h14" stroke="{one.color}" stroke-width="1.5"{dash}/>'
        else:
            fill = "#fff" if one.kind == "rings" else one.color
            mark = f'<circle cx="{at + 7:.0f}" cy="{y - 4}" r="3" fill="{fill}" stroke="{one.color}"/>'
        parts.append(f'{mark}<text x="{at + 18:.0f}" y="{y}">{escape(one.label)}</text>')
        at += needed
    return "".join(parts), _TOP + (_LINE * row + 8 if parts else 0)


def _number(value: float) -> str:
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 1e-3):
        power = math.floor(math.log10(abs(value)) + 1e-9)
        lead = value / 10**power
        text = "" if abs(lead - 1) < 1e-6 else f"{lead:.3g}·"
        return f'{text}10<tspan dy="-5" font-size="8">{power}</tspan>'
    return f"{value:.6g}"


def _colorize(share: NDArray[np.floating], diverging: bool) -> NDArray[np.uint8]:
    stops = (
        ((33, 102, 172), (146, 197, 222), (247, 247, 247), (244, 165, 130), (178, 24, 43))
        if diverging
        else ((20, 14, 54), (114, 31, 129), (205, 64, 113), (252, 137, 97), (252, 253, 191))
    )
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(share, places, [stop[c] for stop in stops]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def embed_picture(picture: NDArray[np.uint8]) -> str:
    """A picture `[h, w]` or `[h, w, 3]` as the address of an embedded PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
