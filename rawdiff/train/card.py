"""The model card: what was trained on what, for how long, and how good it is; written by the program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rawdiff import __version__
from rawdiff.networks.unet import count_parameters
from rawdiff.networks.weights import identity
from rawdiff.train.curves import read_log
from rawdiff.train.loop import LOG_NAME, Run
from rawdiff.train.photographs import Photograph

ABLATION_NAME = "ablation.md"


def write_card(run: Run, photographs: Sequence[Photograph], command: str) -> Path:
    """Write `RECIPE.md` beside the run's weights and return its path.

    What `ablation.md` in the run's folder says, if there is one, becomes a part of it.
    """
    weights = run.write_weights()
    parts = [
        _head(run, weights, command),
        _validation(run),
        _data(run, photographs),
        *_ablation(run),
        "## Plan\n\n```json\n" + json.dumps(run.plan.as_json(), indent=2) + "\n```",
    ]
    target = weights.with_suffix(".md")
    target.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return target


def _head(run: Run, weights: Path, command: str) -> str:
    progress = run.progress
    cooled = "cooled down to rate 0" if run.finished() else "at the full learning rate, averaged weights"
    phases = ", ".join(
        f"from step {start:,} batches of {batch} patches of {side}x{side} {run.task.pixel}"
        for start, batch, side in progress.phases
    )
    return "\n".join(
        [
            f"# {run.plan.recipe}",
            "",
            f"- architecture: {run.task.architecture}, {count_parameters(run.network):,} parameters, "
            "stored in half precision",
            f"- identity: sha256 {identity(weights)}",
            f"- trained: {progress.step:,} steps, {progress.seconds / 3600:.2f} h on a CPU, {cooled}; "
            f"{phases}",
            *([f"- started from: {progress.started_from}"] if progress.started_from else []),
            f"- seed: {run.plan.seed}; rawdiff {__version__}",
            f"- command: `{command}`",
            "- licence: that of rawdiff; the photographs' own licences are listed below",
        ]
    )


def _validation(run: Run) -> str:
    looks = [event for event in read_log(run.folder / LOG_NAME) if event.get("psnr_db")]
    if not looks:
        return "## Validation\n\nNone: no photograph was held out."
    keys = sorted(looks[-1]["psnr_db"])
    rows = ["| steps | hours | " + " | ".join(keys) + " |", "|---" * (len(keys) + 2) + "|"]
    chosen = looks[:: max(1, len(looks) // 12)]
    chosen += [looks[-1]] if chosen[-1] is not looks[-1] else []
    for event in chosen:
        figures = " | ".join(f"{event['psnr_db'][key]:.2f}" for key in keys)
        rows.append(f"| {event['step']} | {event['seconds'] / 3600:.2f} | {figures} |")
    names = sorted({case.name for case in run.cases})
    text = f"{run.task.looked_at}; mean over {len(names)} photographs that never trained."
    return f"## Validation\n\n{text}\n\n" + "\n".join(rows) + "\n\nHeld out: " + ", ".join(names) + "."


def _ablation(run: Run) -> list[str]:
    told = run.folder / ABLATION_NAME
    return [told.read_text(encoding="utf-8").strip()] if told.is_file() else []


def _data(run: Run, photographs: Sequence[Photograph]) -> str:
    reductions = ", ".join(str(reduce) for reduce in run.plan.reductions)
    lines = [
        "## Data",
        "",
        f"{run.library.megapixels():.0f} MP after area reduction by {reductions} in linear light, "
        f"{run.plan.leaves} dead-leaves scenes among them.",
        "",
        "| photograph | licence | author | used for |",
        "|---|---|---|---|",
    ]
    trained = {photograph.path for photograph, _ in run.library.used}
    for photograph in sorted(photographs, key=lambda p: p.name):
        if photograph.held_out or photograph.path in trained:
            use = "validation" if photograph.held_out else "training"
            lines.append(f"| {photograph.name} | {photograph.licence} | {photograph.author} | {use} |")
    return "\n".join(lines)
