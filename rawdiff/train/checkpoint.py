"""The state of a training run: everything that the next step depends on, in one file, never half written."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from rawdiff.errors import ConfigurationError, DamagedFileError

STATE_NAME = "state.pt"
_FORMAT = 1


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: optimiser steps done.
        seconds: time spent on them, over all sittings.
        cooldown_from: step at which the learning rate began to fall, or None.
        cooldown_steps: steps it takes to reach zero.
        phases: first step, batch and side of each stretch with the same patches.
        started_from: name and hash of the weights the run began with, empty where it began at random.
    """

    step: int = 0
    seconds: float = 0.0
    cooldown_from: int | None = None
    cooldown_steps: int = 0
    phases: list[list[int]] = field(default_factory=list)
    started_from: str = ""


def save_state(
    path: Path,
    plan: dict[str, Any],
    progress: Progress,
    network: nn.Module,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Write the state beside `path`, then rename it into place."""
    state = {
        "format": _FORMAT,
        "plan": plan,
        "progress": vars(progress),
        "network": network.state_dict(),
        "average": average,
        "optimiser": optimiser.state_dict(),
        "generator": generator.get_state(),
    }
    _write(state, path)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state.

    Raises:
        ConfigurationError: there is none to resume.
        DamagedFileError: the file is not one.
    """
    if not path.is_file():
        raise ConfigurationError("nothing to resume", hint="start without --resume", where=path)
    if not zipfile.is_zipfile(path):
        raise DamagedFileError("not a training state, or cut short", where=path)
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (RuntimeError, UnpicklingError, OSError) as error:
        raise DamagedFileError(f"the training state cannot be read: {error}", where=path) from error
    if state.get("format") != _FORMAT:
        raise DamagedFileError(f"training state of format {state.get('format')}, not {_FORMAT}", where=path)
    return state


def export_state(source: Path, target: Path) -> None:
    """Write a state in half precision, a quarter of the size: to go on elsewhere, not bit for bit.

    Weights and their average become fp16, the optimiser's moments bf16 (whose range they need).
    """
    state = load_state(source)
    for part in ("network", "average"):
        state[part] = {name: tensor.half() for name, tensor in state[part].items()}
    for moments in state["optimiser"]["state"].values():
        for name in ("exp_avg", "exp_avg_sq"):
            moments[name] = moments[name].bfloat16()
    _write(state, target)


def _write(state: dict[str, Any], path: Path) -> None:
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
