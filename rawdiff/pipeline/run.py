"""The way of one photograph: ingest, correct, denoise, develop, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.burst import merge_files
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.correct import correct_frame
from rawdiff.pipeline.denoise import denoise_frame, residual_profile
from rawdiff.pipeline.develop import develop_linear, develop_mosaic
from rawdiff.pipeline.device import choose_device
from rawdiff.pipeline.events import Event, Listener
from rawdiff.pipeline.memory import fit_tile
from rawdiff.pipeline.noise_model import ChosenNoise, choose_noise_model
from rawdiff.pipeline.outputs import (
    Destination,
    OutputListener,
    refuse_existing,
    write_cfa,
    write_linear,
    write_pictures,
)
from rawdiff.pipeline.profile_maps import apply_profile_maps
from rawdiff.pipeline.provenance import describe_noise, describe_run, describe_source, write_record
from rawdiff.raw.frame import LinearFrame, RawFrame
from rawdiff.raw.image import ExposureMap
from rawdiff.raw.ingest import read_raw
from rawdiff.recipes.catalog import Recipe, find_recipe

_READY, _DENOISE = 0.5, 0.3
"""Shares of the time until denoising starts and for it, for the progress bar."""


def process_item(
    frames: Sequence[Path],
    folder: Path,
    config: ProcessConfig,
    *,
    stem: str,
    overwrite: bool,
    listen: Listener,
    on_output: OutputListener,
) -> None:
    """Make every output of one photograph.

    Args:
        frames: its raw files in order of capture; several are merged.
        folder: where outputs go.
        config: the choices.
        stem: what the work goes under; outputs are called after the reference frame.
        overwrite: replace what stands there.
        listen: told of progress.
        on_output: told of every output that stands whole.

    Raises:
        RawdiffError: the file cannot be used, a choice does not fit it, or a stage failed.
    """
    recipe = find_recipe(config.recipe)
    if config.steps is not None and not recipe.stepwise:
        raise ConfigurationError(f"the recipe '{recipe.name}' takes no steps", hint="leave out --steps")
    record = describe_run(config, recipe, str(choose_device(config.device)))
    listen(Event("stage", stem, "reading", {"fraction": 0.0}))
    if len(frames) > 1:
        merged = merge_files(frames, config, stem, listen)
        reference = merged.frame.source.path.stem
        if reference != stem and not overwrite:
            refuse_existing(folder, reference, config.formats)
        chosen, record["inputs"] = merged.noise, merged.record
        place = Destination(folder, reference, overwrite, listen, on_output, stem, record)
        clean = _denoise(merged.frame, chosen, merged.exposure, recipe, config, place)
        applied = _write_mosaic(clean, merged.frame, chosen, merged.exposure, recipe, config, place)
        record["applied"] = applied
    else:
        frame = read_raw(frames[0], timeout_s=config.timeout_s, sidecar=config.sidecar)
        chosen = choose_noise_model(frame, config.profile, None)
        record["inputs"] = [describe_source(frame.source)]
        place = Destination(folder, stem, overwrite, listen, on_output, stem, record)
        if isinstance(frame, LinearFrame):
            record["applied"] = _finish_linear(frame, config, place)
        else:
            # Each step lets the pixels before it go: of a large frame there is no room for two.
            frame, maps = apply_profile_maps(frame, chosen)
            frame, corrections = correct_frame(frame, chosen.model)
            clean = _denoise(frame, chosen, ExposureMap(), recipe, config, place)
            frame = frame.without_pixels()
            applied = _write_mosaic(clean, frame, chosen, ExposureMap(), recipe, config, place)
            record["applied"] = {"profile_maps": asdict(maps), **asdict(corrections), **applied}
    path = folder / f"{place.stem}.json"
    write_record(path, record, overwrite)
    place.announce("provenance", path)


def _denoise(
    frame: RawFrame,
    chosen: ChosenNoise,
    exposure: ExposureMap,
    recipe: Recipe,
    config: ProcessConfig,
    place: Destination,
) -> torch.Tensor:
    place.provenance["noise"] = describe_noise(chosen.model, chosen.origin, chosen.considered)
    tile = fit_tile(frame.shape, recipe, config)
    place.listen(Event("progress", place.subject, f"noise model: {chosen.origin}", {"fraction": _READY}))
    return denoise_frame(
        frame,
        chosen.model,
        recipe,
        config.strength,
        exposure=exposure.value,
        tile=tile,
        on_fraction=lambda part: place.stage("denoising", _READY + _DENOISE * part),
    )


def _write_mosaic(
    clean: torch.Tensor,
    frame: RawFrame,
    chosen: ChosenNoise,
    exposure: ExposureMap,
    recipe: Recipe,
    config: ProcessConfig,
    place: Destination,
) -> dict[str, Any]:
    place.stage("developing", _READY + _DENOISE)
    residual = residual_profile(
        chosen.model, frame.levels, frame.phase, recipe, config.strength, exposure.mean()
    )
    developed = develop_mosaic(clean, frame, config)
    if "dng" in config.formats:
        write_cfa(clean, frame, residual, developed, config, place)
    write_pictures(developed, frame, config, place)
    if "linear-dng" in config.formats:
        write_linear(developed, frame, residual, config, place)
    return {
        "denoised": config.strength > 0,
        "effective_exposures": exposure.mean(),
        "residual_noise_profile": residual,
        **developed.record,
    }


def _finish_linear(frame: LinearFrame, config: ProcessConfig, place: Destination) -> dict[str, Any]:
    if "dng" in config.formats:
        raise ConfigurationError(
            "the file is demosaiced already: no CFA DNG can be made of it",
            where=frame.source.path,
            hint="--format linear-dng",
        )
    place.listen(
        Event(
            "warning", place.stem, "demosaiced raws are not denoised: their noise is no longer the sensor's"
        )
    )
    developed = develop_linear(frame, config)
    write_pictures(developed, frame, config, place)
    if "linear-dng" in config.formats:
        pairs = frame.tags.noise_profile
        write_linear(developed, frame, pairs * (3 // len(pairs)) if pairs else None, config, place)
    return {"denoised": False, **developed.record}
