"""Pictures of a calibration: spectra of rows and columns, defects, shading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rawdiff.pipeline.calibration_verdicts import IsoOutcome
from rawdiff.report.figures import COLORS, Axes, Series, draw_codes, draw_map, draw_panels, draw_plot
from rawdiff.report.page import Figure

Values = NDArray[np.float64]

_DEFECTS = ((1, "hot", "#ffb000"), (2, "dead", "#56b4e9"), (3, "random telegraph", "#ff5fa2"))


def draw_lines(outcomes: Sequence[IsoOutcome]) -> list[Figure]:
    """Power spectra of the offsets that rows and columns share."""
    figures = []
    for name, what in (("rows", "row"), ("columns", "column")):
        series = []
        for index, outcome in enumerate(outcomes):
            if outcome.result.darks is None:
                continue
            power = _smooth(getattr(outcome.result.darks, name).spectrum_dn2[1:])
            frequency = np.linspace(0, 0.5, len(power) + 1)[1:]
            series.append(
                Series(frequency, power, f"ISO {outcome.result.iso:g}", COLORS[index % len(COLORS)], "line")
            )
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


def draw_maps(maps: Mapping[str, NDArray[np.generic]]) -> list[Figure]:
    """Where the defects lie, how the light falls off, and what the darks look like."""
    figures = []
    if (codes := maps.get("defects")) is not None:
        drawing = draw_codes(np.asarray(codes, np.int64), _DEFECTS)
        caption = "Each is drawn larger than it is."
        figures.append(Figure("defect-map", "Defects", caption, drawing))
    darks = sorted((name for name in maps if name.startswith("dark_shading")), key=_iso_of)
    if darks:
        values = _reduce_mean(np.asarray(maps[darks[-1]], np.float64), 230)
        caption = f"Mean dark frame above its black level at ISO {_iso_of(darks[-1]):g}."
        figures.append(
            Figure("dark-shading-map", "Dark shading", caption, draw_map(values, "DN", diverging=True))
        )
    gains = sorted((name for name in maps if name.startswith("gain_map")), key=_iso_of)
    if gains:
        shading = 100 / np.asarray(maps[gains[0]], np.float64)
        chosen = ((0, "R"), (1, "G"), (3, "B")) if len(shading) == 4 else ((0, ""),)
        drawings = [
            f'<div class="map"><b>{name}</b>{draw_map(shading[plane], "%")}</div>' for plane, name in chosen
        ]
        caption = f"Light that arrives at ISO {_iso_of(gains[0]):g}: the lens, the lamp and the target."
        figures.append(Figure("shading-map", "Shading", caption, draw_panels(drawings), len(drawings) > 1))
    return figures


def _iso_of(name: str) -> float:
    return float(name.rsplit("_", 1)[1])


def _reduce_mean(values: Values, widest: int) -> Values:
    cell = max(2, math.ceil(values.shape[1] / widest))
    height, width = (extent // cell * cell for extent in values.shape)
    return np.asarray(
        values[:height, :width].reshape(height // cell, cell, width // cell, cell).mean(axis=(1, 3))
    )
