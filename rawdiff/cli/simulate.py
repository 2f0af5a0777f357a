"""`rawdiff simulate`: a dark burst of a photograph, as DNG files, with the truth beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rawdiff.cli.console import Speaker, reporting_errors
from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.events import Event
from rawdiff.raw.frame import CfaPhase
from rawdiff.simulate.burst import BurstPlan, Motion, write_burst
from rawdiff.simulate.cameras import find as find_camera
from rawdiff.simulate.scene import load_photograph


def simulate(
    photo: Annotated[Path, typer.Argument(help="An ordinary photograph (JPEG, PNG, TIFF).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the burst.")],
    camera: Annotated[str, typer.Option(help="One of the published cameras.")] = "SonyA7S2",
    iso: Annotated[float, typer.Option(help="Sensitivity; sets K and the noise.")] = 3200.0,
    ratio: Annotated[float, typer.Option(help="How many times too dark, at least 1.")] = 100.0,
    frames: Annotated[int, typer.Option(help="How many frames.")] = 1,
    phase: Annotated[CfaPhase, typer.Option(help="CFA phase.")] = "RGGB",
    shake: Annotated[float, typer.Option(help="Largest shift of a hand-held frame, pixels.")] = 0.0,
    rotation: Annotated[float, typer.Option(help="Its largest rotation, degrees.")] = 0.0,
    motion: Annotated[Motion, typer.Option(help="`object`: a disc crosses the scene.")] = "none",
    brackets: Annotated[str, typer.Option(help="Relative exposures of the frames, such as 1,4,16.")] = "1",
    defects: Annotated[float, typer.Option(help="Share of stuck pixels.")] = 0.0,
    reduce: Annotated[int, typer.Option(help="Area-average the photograph by this factor first.")] = 1,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Simulate a dark DNG burst of a photograph, with its truth."""
    speaker = Speaker(as_json)
    with reporting_errors(speaker, debug):
        plan = BurstPlan(
            camera=find_camera(camera),
            iso=iso,
            ratio=ratio,
            frames=frames,
            phase=phase,
            shake_px=shake,
            rotation_deg=rotation,
            motion=motion,
            brackets=_parse_brackets(brackets),
            defects=defects,
            seed=seed,
        )
        scene = load_photograph(photo, reduce=reduce)
        with speaker.working(1):
            speaker.hear(Event("start", output.name))
            for number, path in enumerate(write_burst(scene, output, plan, overwrite=overwrite)):
                fraction = {"fraction": min((number + 1) / (frames + 2), 1.0)}
                speaker.hear(Event("progress", output.name, path.name, fraction))
            speaker.hear(Event("done", output.name))
        record = {"event": "summary", "folder": str(output), "frames": frames, "camera": plan.camera.name}
        speaker.result(
            record, f"{frames} frame{'s' * (frames > 1)}, truth.npz and simulation.json in {output}"
        )


def _parse_brackets(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(f"'{text}' are not exposures", hint="for example 1,4,16") from None
