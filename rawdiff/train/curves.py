"""The log of a run as one SVG picture: error and validation PSNR against hours."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 760, 250, 60, 24, 50
_COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#8d6a9f")

Points = list[tuple[float, float]]


def read_log(path: Path) -> list[dict[str, Any]]:
    """Events of a run. Steps that a killed run took after its last saved state appear once, as redone."""
    events: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        while events and events[-1]["step"] > event["step"]:
            events.pop()
        events.append(event)
    return events


def write_curves(log: Path, target: Path, unit: str = "noise variances") -> None:
    """Draw the log's curves; `unit` is what the error is counted in."""
    events = read_log(log)
    errors = {f"error ({unit})": _series(events, lambda event: event.get("error"))}
    keys = sorted({key for event in events for key in event.get("psnr_db", {})})
    quality = {key: _series(events, lambda event, key=key: event.get("psnr_db", {}).get(key)) for key in keys}
    panels = [_panel(errors, 0, logarithmic=True)]
    if quality:
        panels.append(_panel(quality, _HEIGHT + _GAP, logarithmic=False))
    height = len(panels) * (_HEIGHT + _GAP)
    body = "\n".join(panels)
    target.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n'
        f"{body}\n</svg>\n",
        encoding="utf-8",
    )


def _series(events: list[dict[str, Any]], value: Any) -> Points:
    found = [(event["seconds"] / 3600, value(event)) for event in events]
    return [(hours, float(figure)) for hours, figure in found if figure is not None]


def _panel(series: dict[str, Points], top: int, logarithmic: bool) -> str:
    points = [point for line in series.values() for point in line]
    if not points:
        return ""
    heights = [math.log10(y) if logarithmic else y for _, y in points]
    low, high = min(heights), max(heights)
    span, longest = max(high - low, 1e-6), max(max(x for x, _ in points), 1e-6)
    inner_width, inner_height = _WIDTH - _LEFT - 140, _HEIGHT - 2 * _TOP

    def place(point: tuple[float, float]) -> str:
        level = math.log10(point[1]) if logarithmic else point[1]
        x = _LEFT + inner_width * point[0] / longest
        return f"{x:.1f},{top + _TOP + inner_height * (1 - (level - low) / span):.1f}"

    parts = [
        f'<rect x="{_LEFT}" y="{top + _TOP}" width="{inner_width}" height="{inner_height}" '
        f'fill="none" stroke="#bbb"/>'
    ]
    for level, y in ((high, top + _TOP + 8), (low, top + _TOP + inner_height)):
        label = f"{10**level:.3g}" if logarithmic else f"{level:.2f} dB"
        parts.append(f'<text x="4" y="{y}">{label}</text>')
    parts.append(f'<text x="{_LEFT + inner_width - 40}" y="{top + _HEIGHT - 8}">{longest:.2f} h</text>')
    for number, (name, line) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(place(point) for point in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        at = top + _TOP + 12 + 16 * number
        parts.append(f'<text x="{_LEFT + inner_width + 8}" y="{at}" fill="{colour}">{name}</text>')
    return "\n".join(parts)
