"""`rawdiff train`: make a network of your own, from your photographs, on this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import typer

from rawdiff.cli.console import Speaker, reporting_errors
from rawdiff.errors import ConfigurationError

if TYPE_CHECKING:
    from rawdiff.train.plan import TrainingPlan


def train(
    recipe: str = typer.Argument(..., help="Which network: mmse, exposure, quadprior, wavelet."),
    photos: Path = typer.Option(..., "--photos", help="Folder of photographs, or a photographs.json."),
    out: Path = typer.Option(..., "-o", "--out", help="Folder of the run."),
    hours: float = typer.Option(8.0, "--hours", help="How long this sitting lasts at most."),
    resume: bool = typer.Option(False, "--resume", help="Go on from the folder's last saved state."),
    cooldown: int = typer.Option(0, "--cooldown", help="Finish: the rate falls to zero in this many steps."),
    learning_rate: float = typer.Option(
        0.0, "--learning-rate", help="The highest; 0 for the recipe's own, less to refine trained weights."
    ),
    seed: int = typer.Option(1, "--seed", help="Of the weights and of everything drawn."),
    batch: int = typer.Option(0, "--batch", help="Samples a step; 0 for the recipe's own."),
    side: int = typer.Option(0, "--side", help="Their side in pixels; 0 for the recipe's own."),
    option: list[str] = typer.Option([], "--option", help="Of the network, such as steps=1 (ablations)."),
    blocks: str = typer.Option("", "--blocks", help="Of the network's levels, such as 3,3,2,1."),
    start_from: Path | None = typer.Option(None, "--start-from", help="Weights to begin with."),
    leave_out: str = typer.Option("", "--leave-out", help="A published camera that is never drawn."),
    threads: int = typer.Option(0, "--threads", help="CPU threads; 0 leaves torch's choice."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object per line on stdout."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Train a denoiser or an enhancer; kill it at any time and go on with --resume.

    The folder holds state.pt (to resume), log.jsonl and curves.svg, RECIPE.safetensors and its model card.
    A run that was finished by --cooldown goes on at the full rate. --start-from begins with trained weights,
    of the same network, of one with fewer --blocks, or, for exposure, of mmse.
    Photographs marked `held_out` in photographs.json never train; they are what the log's PSNR is of.
    """
    from rawdiff.simulate.cameras import NAMES, find
    from rawdiff.train.card import write_card
    from rawdiff.train.curves import write_curves
    from rawdiff.train.loop import LOG_NAME, Run
    from rawdiff.train.photographs import list_photographs
    from rawdiff.train.synthesis import SynthesisPlan
    from rawdiff.train.tasks import find_task

    with reporting_errors(Speaker(as_json), debug):
        if hours <= 0 or min(cooldown, threads, batch, side, learning_rate) < 0:
            raise ConfigurationError("hours must be above 0, the other numbers at least 0")
        if threads:
            torch.set_num_threads(threads)
        plan = find_task(recipe).plan
        plan = replace(plan, seed=seed, batch=batch or plan.batch, side=side or plan.side)
        plan = replace(plan, learning_rate=learning_rate or plan.learning_rate)
        plan = replace(plan, options=tuple(_option(word) for word in option))
        if blocks:
            plan = replace(plan, blocks=_blocks(blocks, len(plan.widths)))
        if leave_out:
            if not isinstance(plan.synthesis, SynthesisPlan):
                raise ConfigurationError(f"no cameras are drawn for '{recipe}'", hint="without --leave-out")
            index = NAMES.index(find(leave_out).name)
            plan = replace(plan, synthesis=replace(plan.synthesis, left_out=index))
        photographs = list_photographs(photos)
        if resume and start_from is not None:
            raise ConfigurationError("a run that is resumed has its weights", hint="without --start-from")
        run = Run(plan, photographs, out, resume, weights=start_from)
        run.reopen()
        if cooldown:
            run.begin_cooldown(cooldown)

        def tell(event: dict[str, Any]) -> None:
            print(json.dumps(event) if as_json else _line(event), flush=True)
            write_curves(out / LOG_NAME, out / "curves.svg", run.task.error)

        run.go(hours, report=tell)
        words = _command(recipe, photos, out, hours, resume, cooldown, plan)
        words += [f"--learning-rate {learning_rate:g}"] * bool(learning_rate)
        words += [f"--blocks {blocks}"] * bool(blocks) + [f"--leave-out {leave_out}"] * bool(leave_out)
        words += [] if start_from is None else [f"--start-from {start_from.name}"]
        write_card(run, photographs, " ".join(words))


def _option(word: str) -> tuple[str, bool | int | float]:
    name, _, text = word.partition("=")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not name or not isinstance(value, bool | int | float):
        raise ConfigurationError(f"'{word}' is not an option", hint="such as steps=1 or photon_map=false")
    return name, value


def _blocks(text: str, levels: int) -> tuple[int, ...]:
    words = text.split(",")
    if len(words) != levels or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ConfigurationError(f"'{text}' are no blocks of {levels} levels", hint="such as 3,3,2,1")
    return tuple(int(word) for word in words)


def _line(event: dict[str, Any]) -> str:
    head = f"step {event['step']:>7}  {event['seconds'] / 3600:6.2f} h"
    if "psnr_db" in event:
        return head + "  " + "  ".join(f"{key} {value:.2f} dB" for key, value in event["psnr_db"].items())
    return f"{head}  error {event['error']:.4f}  rate {event['rate']:.2e}"


def _command(
    recipe: str, photos: Path, out: Path, hours: float, resume: bool, cooldown: int, plan: TrainingPlan
) -> list[str]:
    words = ["rawdiff train", recipe, f"--photos {photos.name}", f"-o {out.name}", f"--hours {hours:g}"]
    words += ["--resume"] * resume + [f"--cooldown {cooldown}"] * bool(cooldown) + [f"--seed {plan.seed}"]
    words += [f"--batch {plan.batch}", f"--side {plan.side}"]
    return words + [f"--option {name}={value}" for name, value in plan.options]
