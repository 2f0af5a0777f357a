"""The record beside every output: what went in, what was chosen, what was done, by which versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rawdiff_calibration.noise import NoiseModel

from rawdiff import __version__
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.raw.atomic import write_whole
from rawdiff.raw.frame import Source
from rawdiff.recipes.catalog import Recipe


def describe_run(config: ProcessConfig, device: str) -> dict[str, Any]:
    """Versions and choices, the same for every photograph of a run."""
    return {
        "rawdiff": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": device,
        "configuration": config.as_record(),
    }


def describe_recipe(recipe: Recipe, reason: str) -> dict[str, Any]:
    """The recipe used, by its weights, and why it was taken."""
    return {
        "name": recipe.name,
        "citation": recipe.citation,
        "weights": recipe.weights_identity(),
        "reason": reason,
    }


def describe_source(source: Source) -> dict[str, Any]:
    """An input by name, content and kind."""
    return {
        "file": source.path.name,
        "sha256": source.sha256,
        "kind": source.kind,
        "decoder": source.decoder,
    }


def describe_noise(noise: NoiseModel, origin: str, considered: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The noise model used, where it comes from, and why the others were not taken."""
    return {"model": asdict(noise), "origin": origin, "considered": [list(pair) for pair in considered]}


def write_record(path: Path, record: dict[str, Any], overwrite: bool) -> None:
    """Write the record as JSON, whole or not at all."""
    with write_whole(path, overwrite=overwrite) as partial:
        partial.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
