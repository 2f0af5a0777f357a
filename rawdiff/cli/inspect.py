"""`rawdiff inspect`: what a raw file says, and which noise model would be used and why."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from rawdiff.cli.console import Speaker, reporting_errors
from rawdiff.pipeline.noise_model import ChosenNoise, choose_noise_model
from rawdiff.raw.frame import FrameTags, LinearFrame, RawFrame
from rawdiff.raw.ingest import read_raw

_BARS = " ▁▂▃▄▅▆▇█"
_COLORS = ("R", "G", "B")


def inspect(
    file: Annotated[Path, typer.Argument(help="A raw file.")],
    profile: Annotated[Path | None, typer.Option(help="Sensor profile to consider first.")] = None,
    sidecar: Annotated[Path | None, typer.Option(help="TOML that describes a headerless dump.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Say what a raw file holds, which noise model would be used, and why."""
    speaker = Speaker(as_json)
    with reporting_errors(speaker, debug):
        frame = read_raw(file, sidecar=sidecar)
        chosen = choose_noise_model(frame, profile, None)
        record = {"event": "inspect", **_record(frame, chosen)}
        text = [*_describe(frame), "", *_draw_histogram(frame), "", *_describe_noise(frame, chosen)]
        speaker.result(record, "\n".join(text))


def _record(frame: RawFrame | LinearFrame, chosen: ChosenNoise) -> dict[str, object]:
    tags = frame.tags
    return {
        "file": str(frame.source.path),
        "kind": frame.source.kind,
        "decoder": frame.source.decoder,
        "sha256": frame.source.sha256,
        "height": frame.shape[0],
        "width": frame.shape[1],
        "phase": frame.phase if isinstance(frame, RawFrame) else None,
        "black_dn": _levels(frame)[0],
        "white_dn": _levels(frame)[1],
        "camera": asdict(tags.camera),
        "exposure": asdict(tags.exposure),
        "as_shot_neutral": None
        if tags.color.as_shot_neutral is None
        else tags.color.as_shot_neutral.tolist(),
        "orientation": tags.orientation,
        "noise_profile": tags.noise_profile,
        "noise": {"model": asdict(chosen.model), "origin": chosen.origin, "considered": chosen.considered},
    }


def _levels(frame: RawFrame | LinearFrame) -> tuple[list[float], list[float]]:
    if isinstance(frame, RawFrame):
        black, white = frame.levels.per_plane(frame.phase)
    else:
        black, white = frame.black_dn, frame.white_dn
    return black.tolist(), white.tolist()


def _describe(frame: RawFrame | LinearFrame) -> list[str]:
    tags, (height, width) = frame.tags, frame.shape
    black, white = _levels(frame)
    layout = f"CFA {frame.phase}" if isinstance(frame, RawFrame) else "demosaiced, linear"
    lines = [
        f"{frame.source.path.name}: {frame.source.kind}, decoded by {frame.source.decoder}",
        f"  camera     {_join(tags.camera.make, tags.camera.model) or 'not said'}",
        f"  pixels     {width} x {height}, {layout}, orientation {tags.orientation}",
        f"  exposure   {_describe_exposure(tags)}",
        f"  black      {_numbers(black)} DN",
        f"  white      {_numbers(white)} DN",
        f"  colour     {_describe_color(tags)}",
    ]
    if tags.applied_opcodes or tags.gain_maps or tags.pending_opcodes:
        parts = [f"applied {', '.join(tags.applied_opcodes)}"] if tags.applied_opcodes else []
        parts += [f"{len(tags.gain_maps)} gain maps to apply"] if tags.gain_maps else []
        parts += [f"{len(tags.pending_opcodes)} handed on to DNG output"] if tags.pending_opcodes else []
        lines.append(f"  opcodes    {'; '.join(parts)}")
    return lines


def _describe_exposure(tags: FrameTags) -> str:
    exposure = tags.exposure
    parts = []
    if exposure.time_s:
        time = exposure.time_s
        parts.append(f"{time:g} s" if time >= 0.4 else f"1/{1 / time:.0f} s")
    parts += [f"f/{exposure.aperture:g}"] if exposure.aperture else []
    parts += [f"ISO {exposure.iso:g}"] if exposure.iso else []
    parts += [exposure.captured_at] if exposure.captured_at else []
    return ", ".join(parts) or "not said"


def _describe_color(tags: FrameTags) -> str:
    color = tags.color
    if not color.color_matrices:
        return "no calibration: camera RGB is shown as linear sRGB"
    neutral = (
        "" if color.as_shot_neutral is None else f", neutral {_numbers(color.as_shot_neutral.tolist(), 3)}"
    )
    count = len(color.color_matrices)
    return f"{count} calibration{'s' * (count > 1)} from {color.origin}{neutral}"


def _signals(frame: RawFrame | LinearFrame) -> list[NDArray[np.float32]]:
    """Values of R, G and B with black at 0 and white at 1."""
    if isinstance(frame, LinearFrame):
        span = frame.white_dn - frame.black_dn
        return [((frame.rgb_dn[c] - frame.black_dn[c]) / span[c]).astype(np.float32) for c in range(3)]
    found: list[list[NDArray[np.float32]]] = [[], [], []]
    for row in range(2):
        for column in range(2):
            color = "RGB".index(frame.phase[2 * row + column])
            black, span = frame.levels.black_dn[row, column], frame.levels.range_dn()[row, column]
            values = (frame.mosaic_dn[row::2, column::2] - black) / span
            found[color].append(values.astype(np.float32).ravel())
    return [np.concatenate(values) for values in found]


def _draw_histogram(frame: RawFrame | LinearFrame, per_stop: int = 4) -> list[str]:
    """A histogram per colour over stops below white, each bar on a logarithmic scale of counts.

    It begins where a bar is two DN wide, so that whole numbers leave no gaps.
    """
    black, white = _levels(frame)
    narrowest = 2 / (2 ** (1 / per_stop) - 1) / max(white[1] - black[1], 2.0)
    stops = int(np.clip(-np.log2(narrowest), 4, 14))
    edges = 2.0 ** np.linspace(-stops, 0, stops * per_stop + 1)
    lines = [f"  histogram, from {stops} stops below white (left) to white (right); counts on a log scale"]
    for name, values in zip(_COLORS, _signals(frame), strict=True):
        counts = np.histogram(values, edges)[0].astype(float)
        scaled = np.log1p(counts) / max(np.log1p(counts).max(), 1e-9)
        bars = "".join(_BARS[int(np.ceil(value * (len(_BARS) - 1)))] for value in scaled)
        below, clipped = float((values <= 0).mean()), float((values >= 0.999).mean())
        lines.append(f"  {name} |{bars}|  {below:.1%} at or below black, {clipped:.1%} clipped")
    return lines


def _describe_noise(frame: RawFrame | LinearFrame, chosen: ChosenNoise) -> list[str]:
    model = chosen.model
    lines = [
        f"  noise model: {chosen.origin}",
        f"    system gain K  {_numbers(model.gain_dn_per_e, 4)} DN/e-  (R, G, B)",
        f"    read noise     {_numbers(model.read_noise_dn, 3)} DN,"
        f" row {model.row_noise_dn:.3g} DN, column {model.column_noise_dn:.3g} DN",
    ]
    lines += [f"    not taken: {origin}: {why}" for origin, why in chosen.considered]
    black, white = _levels(frame)
    span = white[1] - black[1]
    lines.append("    green, stops below white:    signal [e-]   noise [DN]   signal/noise")
    for stops in (12, 10, 8, 6, 4, 2, 0):
        signal = span * 2.0**-stops
        deviation = float(np.sqrt(model.variance_dn2(np.array(signal), 1)))
        ratio = signal / deviation
        bar = "█" * max(int(np.log2(max(ratio, 1)) * 3), 0)
        lines.append(
            f"    {stops:>24} {signal / model.gain_dn_per_e[1]:>14.1f}"
            f" {deviation:>12.2f} {ratio:>12.1f}  {bar}"
        )
    return lines


def _numbers(values: object, digits: int = 2) -> str:
    numbers = [float(value) for value in values]  # type: ignore[attr-defined]
    distinct = numbers[:1] if len(set(numbers)) == 1 else numbers
    return ", ".join(f"{number:.{digits}f}".rstrip("0").rstrip(".") for number in distinct)


def _join(make: str, model: str) -> str:
    return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
