"""The page of a burst: how its frames lay, where their light counted, and what that did to the noise."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawdiff.pipeline.burst import MergedBurst
from rawdiff.pipeline.burst_crops import SIDE, Crop, crop_window
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.denoise import normalised_noise
from rawdiff.pipeline.develop import Developed, develop_mosaic
from rawdiff.pipeline.outputs import Destination
from rawdiff.raw.atomic import write_whole
from rawdiff.raw.demosaic import demosaic
from rawdiff.raw.frame import RawFrame, plane_sites
from rawdiff.report.burst_figures import draw_vectors
from rawdiff.report.figures import Axes, Series, draw_map, draw_plot, embed_picture
from rawdiff.report.page import Figure, Section, render_figures, render_page, render_table

_LEVELS = (0.002, 0.01, 0.05, 0.2, 0.8)
_SHOWN_FRAMES = 16


def write_burst_page(
    merged: MergedBurst,
    clean: Tensor,
    residual: Sequence[tuple[float, float]],
    config: ProcessConfig,
    place: Destination,
) -> None:
    """Write the page beside the other outputs, as `<stem of the reference>.html`.

    Raises:
        ConfigurationError: it stands there already and may not be replaced.
    """
    path = place.folder / f"{place.stem}.html"
    page = render_burst_page(merged, clean, config, residual)
    with write_whole(path, overwrite=place.overwrite) as partial:
        partial.write_text(page, encoding="utf-8")
    place.announce("report", path)


def render_burst_page(
    merged: MergedBurst, clean: Tensor, config: ProcessConfig, residual: Sequence[tuple[float, float]]
) -> str:
    """One self-contained HTML page about a burst.

    Args:
        merged: the burst.
        clean: its denoised mosaic `[H, W]`, black 0, white 1.
        config: how it was processed.
        residual: NoiseProfile pairs (S, O) of R, G, B after denoising.
    """
    added = sum(entry["role"] != "left out" for entry in merged.record)
    lead = (
        f"{added} of {len(merged.record)} frames merged on {merged.frame.source.path.name}: "
        f"{merged.exposure.mean():.2f} effective exposures on average. Noise: {merged.noise.origin}."
    )
    sections = [
        Section("The same place at 100 %", _crops(merged, clean, config)),
        Section("Frames", _frames(merged.record, merged)),
        Section("Where the light counted", _maps(merged)),
        Section("Noise", _noise(merged, residual)),
        Section("Alignment", _alignment(merged)),
    ]
    return render_page(
        f"Burst {merged.frame.source.path.stem}", lead, sections, f"rawdiff, recipe {config.recipe}"
    )


def _crops(merged: MergedBurst, clean: Tensor, config: ProcessConfig) -> str:
    developed = develop_mosaic(clean, merged.frame, config)
    rows = []
    for crop in merged.crops:
        window = crop_window(crop.top, crop.left, merged.frame.shape)
        result = clean[window[0], window[1]]
        cells = [
            (_to_light(crop.single_dn, merged.frame), "one frame"),
            (_to_light(crop.merged_dn, merged.frame), "merged"),
            (result, f"after {config.recipe}"),
        ]
        pictures = "".join(
            f'<figure class="crop"><img width="{SIDE}" alt="{escape(name)}" '
            f'src="{embed_picture(_render(light, crop, merged.frame, developed, config))}"/>'
            f"<figcaption>{escape(name)}</figcaption></figure>"
            for light, name in cells
        )
        where = f"{crop.title}, at row {crop.top}, column {crop.left}"
        rows.append(f'<p><b>{escape(where)}</b></p><div class="crops">{pictures}</div>')
    return "".join(rows) or "<p>No frame was added: there is nothing to compare.</p>"


def _to_light(mosaic_dn: NDArray[np.float32], frame: RawFrame) -> Tensor:
    """A part that begins at an even site, black 0, white 1."""
    light = torch.from_numpy(mosaic_dn.copy())
    for site in plane_sites(frame.phase):
        part = light[site[0] :: 2, site[1] :: 2]
        part -= float(frame.levels.black_dn[site])
        part /= float(frame.levels.range_dn()[site])
    return light


def _render(
    light: Tensor, crop: Crop, frame: RawFrame, developed: Developed, config: ProcessConfig
) -> NDArray[np.uint8]:
    """A part as the picture shows it: same white balance, exposure and curve for all."""
    _, _, down, right = crop_window(crop.top, crop.left, frame.shape)
    gains = torch.tensor(1.0 / np.asarray(developed.record["neutral"]), dtype=torch.float32)
    image = demosaic(light.contiguous(), frame.phase, config.demosaic, gains)
    shown: NDArray[np.uint8] = developed.renderer.apply(
        image[:, down : down + SIDE, right : right + SIDE].contiguous()
    ).numpy()
    return shown


def _frames(record: Sequence[dict[str, Any]], merged: MergedBurst) -> str:
    rows = []
    for entry in sorted(record, key=lambda entry: str(entry["file"])):
        alignment = merged.alignments.get(entry["file"])
        if alignment is None:
            moved = ["", "", ""]
        else:
            motion = alignment.motion
            moved = [f"{2 * motion.down:+.2f}, {2 * motion.right:+.2f}"]
            moved += [f"{np.degrees(motion.rotation):+.3f}", f"{alignment.unexplained:.1%}"]
        trusted = f"{entry['trusted']:.1%}" if "trusted" in entry else ""
        exposure = f"{entry['relative_exposure']:.3g}" if "relative_exposure" in entry else ""
        rows.append(
            [str(entry["file"]), entry.get("reason", entry["role"]), exposure, *moved, trusted],
        )
    header = ["frame", "role", "exposure", "shift [px]", "turn [deg]", "unexplained", "trusted"]
    return render_table(header, rows)


def _maps(merged: MergedBurst) -> str:
    value = merged.exposure.value
    exposures = value if isinstance(value, Tensor) else torch.full_like(merged.left_out, value)
    return render_figures(
        [
            Figure(
                "exposure",
                "Effective exposures",
                "What the noise of each pixel is worth, in frames; interpolation correlates noise, "
                "so that there can be more than there are frames.",
                draw_map(_small(exposures), "frames"),
            ),
            Figure(
                "left-out",
                "Left out",
                "Share of the other frames' light that disagreed with the reference beyond chance: "
                "what moved, what clipped, what was not seen.",
                draw_map(_small(merged.left_out), "of the light"),
            ),
        ]
    )


def _small(cells: Tensor, width: int = 460) -> NDArray[np.float32]:
    """Means of blocks, so that the map is not wider than `width`."""
    factor = max(1, cells.shape[1] // width)
    if factor > 1:
        cells = torch.nn.functional.avg_pool2d(cells[None, None], factor)[0, 0]
    small: NDArray[np.float32] = cells.numpy()
    return small


def _noise(merged: MergedBurst, residual: Sequence[tuple[float, float]]) -> str:
    """Signal-to-noise ratio of green over the light: one frame, merged, what smooth areas keep after all."""
    gain, sigma = normalised_noise(merged.noise.model, merged.frame.levels, merged.frame.phase)
    slope, floor = float(gain[1]), float(sigma[1]) ** 2
    exposures = merged.exposure.mean()
    after_slope, after_floor = residual[1]
    lines = {
        "one frame": [slope * light + floor for light in _LEVELS],
        "merged": [(slope * light + floor) / exposures for light in _LEVELS],
        "smooth areas of the result": [after_slope * light + after_floor for light in _LEVELS],
    }
    decibels = {
        name: [
            float(20 * np.log10(light / max(v, 1e-18) ** 0.5)) for light, v in zip(_LEVELS, var, strict=True)
        ]
        for name, var in lines.items()
    }
    colors = ("#7f7f7f", "#0072b2", "#009e73")
    series = [
        Series(_LEVELS, values, name, color, "line")
        for (name, values), color in zip(decibels.items(), colors, strict=True)
    ]
    plot = draw_plot(series, Axes("light, share of white", "signal to noise of green [dB]", x_log=True))
    header = ["light, share of white", *(f"{name} [dB]" for name in decibels)]
    rows = [
        [f"{light:g}", *(f"{values[i]:.1f}" for values in decibels.values())]
        for i, light in enumerate(_LEVELS)
    ]
    caption = "From the noise model and the mean effective exposure; the result's from flat fields."
    return render_figures([Figure("noise", "Signal to noise", caption, plot)]) + render_table(header, rows)


def _decibels(light: float, variance: float) -> float:
    return float(20 * np.log10(light / max(variance, 1e-18) ** 0.5))


def _alignment(merged: MergedBurst) -> str:
    shown = list(merged.alignments.items())[:_SHOWN_FRAMES]
    figures = [
        Figure(
            f"vectors-{number}",
            name,
            "Each tile's departure from the frame's own motion, drawn twenty times as long.",
            draw_vectors(alignment, merged.frame.shape),
        )
        for number, (name, alignment) in enumerate(shown)
    ]
    more = len(merged.alignments) - len(shown)
    note = f"<p>{more} more frames are not drawn.</p>" if more > 0 else ""
    return render_figures(figures) + note
