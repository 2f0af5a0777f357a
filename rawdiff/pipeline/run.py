"""The way of one photograph: ingest, correct, denoise, develop, write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rawdiff_kernels.native import release_allocator

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.burst import MergedBurst, merge_files
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.correct import correct_frame
from rawdiff.pipeline.denoise import denoise_frame, deviation_frame, normalised_noise, residual_profile
from rawdiff.pipeline.develop import Developed, develop_linear, develop_mosaic
from rawdiff.pipeline.device import choose_device
from rawdiff.pipeline.events import Event, Listener
from rawdiff.pipeline.memory import fit_tile
from rawdiff.pipeline.noise_check import check_noise
from rawdiff.pipeline.noise_model import ChosenNoise, choose_noise_model
from rawdiff.pipeline.outputs import (
    Destination,
    OutputListener,
    refuse_existing,
    write_cfa,
    write_linear,
    write_pictures,
    write_uncertainty,
)
from rawdiff.pipeline.profile_maps import apply_profile_maps
from rawdiff.pipeline.provenance import (
    describe_noise,
    describe_recipe,
    describe_run,
    describe_source,
    write_record,
)
from rawdiff.pipeline.recipe_choice import check_recipe, choose_recipe
from rawdiff.raw.frame import LinearFrame, RawFrame, plane_sites
from rawdiff.raw.image import ExposureMap
from rawdiff.raw.ingest import read_raw
from rawdiff.recipes.catalog import Recipe
from rawdiff.recipes.spread import load_spread
from rawdiff.recipes.walk import Walk

BurstReporter = Callable[
    [MergedBurst, torch.Tensor, Sequence[tuple[float, float]], ProcessConfig, Destination], None
]
"""Told of a burst, its clean mosaic, its noise as NoiseProfile pairs, the choices, and where to write."""

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
    report_burst: BurstReporter | None = None,
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
        report_burst: writes the page of a merged burst; None for no page.

    Raises:
        RawdiffError: the file cannot be used, a choice does not fit it, or a stage failed.
    """
    check_recipe(config)
    record = describe_run(config, str(choose_device(config.device)))
    listen(Event("stage", stem, "reading", {"fraction": 0.0}))
    if len(frames) > 1:
        merged = merge_files(frames, config, stem, listen)
        reference = merged.frame.source.path.stem
        if reference != stem and not overwrite:
            refuse_existing(folder, reference, config)
        chosen, record["inputs"] = merged.noise, merged.record
        place = Destination(folder, reference, overwrite, listen, on_output, stem, record)
        denoised = _denoise(merged.frame, chosen, merged.exposure, config, place)
        record["applied"] = _write_mosaic(denoised, merged.frame, chosen, config, place)
        if report_burst is not None:
            residual = record["applied"]["residual_noise_profile"]
            report_burst(merged, denoised.clean, residual, config, place)
    else:
        if report_burst is not None:
            listen(Event("warning", stem, "one frame by itself has no burst report"))
        frame = read_raw(frames[0], timeout_s=config.timeout_s, sidecar=config.sidecar)
        chosen = choose_noise_model(frame, config.profile, None)
        record["inputs"] = [describe_source(frame.source)]
        place = Destination(folder, stem, overwrite, listen, on_output, stem, record)
        if isinstance(frame, LinearFrame):
            record["applied"] = _finish_linear(frame, config, place)
        else:
            # Each step lets the pixels before it go: of a large frame there is no room for two.
            frame, maps = apply_profile_maps(frame, chosen)
            chosen, check = check_noise(frame, chosen, may_correct=config.profile is None)
            record["noise_check"] = asdict(check)
            if check.words:
                listen(Event("warning", stem, check.words))
            frame, corrections = correct_frame(frame, chosen.model)
            denoised = _denoise(frame, chosen, ExposureMap(), config, place)
            frame = frame.without_pixels()
            applied = _write_mosaic(denoised, frame, chosen, config, place)
            record["applied"] = {"profile_maps": asdict(maps), **asdict(corrections), **applied}
    path = folder / f"{place.stem}.json"
    write_record(path, record, overwrite)
    place.announce("provenance", path)


@dataclass(frozen=True, eq=False)
class _Denoised:
    """A clean mosaic, the recipe, the exposure it had, and where asked for the deviation of its error."""

    clean: torch.Tensor
    recipe: Recipe
    exposure: ExposureMap
    deviation_e: torch.Tensor | None


def _denoise(
    frame: RawFrame,
    chosen: ChosenNoise,
    exposure: ExposureMap,
    config: ProcessConfig,
    place: Destination,
) -> _Denoised:
    found = choose_recipe(config, frame, chosen.model, exposure.mean())
    recipe = found.recipe
    place.provenance["recipe"] = describe_recipe(recipe, found.reason)
    place.provenance["noise"] = describe_noise(chosen.model, chosen.origin, chosen.considered)
    tile = fit_tile(frame.shape, recipe, config)
    words = f"noise model: {chosen.origin}; recipe: {recipe.name} ({found.reason})"
    place.listen(Event("progress", place.subject, words, {"fraction": _READY}))
    clean = denoise_frame(
        frame,
        chosen.model,
        recipe,
        config.strength,
        exposure=exposure.value,
        tile=tile,
        walk=Walk(config.steps, config.samples, config.seed),
        on_fraction=lambda part: place.stage("denoising", _READY + _DENOISE * part),
    )
    deviation = None
    if config.uncertainty and recipe.errors is not None:
        errors = load_spread(recipe.errors)
        deviation = deviation_frame(
            frame, clean, chosen.model, errors, config.strength, exposure=exposure.value
        )
    # What the strips left in the heap would be missing when the outputs are written.
    release_allocator()
    return _Denoised(clean, recipe, exposure, deviation)


def _write_mosaic(
    denoised: _Denoised,
    frame: RawFrame,
    chosen: ChosenNoise,
    config: ProcessConfig,
    place: Destination,
) -> dict[str, Any]:
    place.stage("developing", _READY + _DENOISE)
    clean, recipe, exposures = denoised.clean, denoised.recipe, denoised.exposure.mean()
    residual = residual_profile(chosen.model, frame.levels, frame.phase, recipe, config.strength, exposures)
    developed = develop_mosaic(clean, frame, config)
    if "dng" in config.formats:
        write_cfa(clean, frame, residual, developed, config, place)
    write_pictures(developed, frame, config, place)
    if "linear-dng" in config.formats:
        write_linear(developed, frame, residual, config, place)
    if denoised.deviation_e is not None:
        _write_deviation(denoised.deviation_e, clean, frame, chosen, developed, config, place)
    return {
        "denoised": config.strength > 0,
        "effective_exposures": exposures,
        "residual_noise_profile": residual,
        **developed.record,
    }


def _write_deviation(
    deviation_e: torch.Tensor,
    clean: torch.Tensor,
    frame: RawFrame,
    chosen: ChosenNoise,
    developed: Developed,
    config: ProcessConfig,
    place: Destination,
) -> None:
    """Show the photograph one standard deviation brighter and darker, otherwise alike; write both maps."""
    gain, _ = normalised_noise(chosen.model, frame.levels, frame.phase)
    step = torch.empty_like(clean)
    for plane, (row, column) in zip(gain, plane_sites(frame.phase), strict=True):
        step[row::2, column::2] = plane * deviation_e[row::2, column::2]
    brighter, darker = (
        replace(developed, band=develop_mosaic(clean + sign * step, frame, config).band) for sign in (1, -1)
    )
    write_uncertainty(deviation_e, (brighter, darker), frame, place)


def _finish_linear(frame: LinearFrame, config: ProcessConfig, place: Destination) -> dict[str, Any]:
    if "dng" in config.formats:
        raise ConfigurationError(
            "the file is demosaiced already: no CFA DNG can be made of it",
            where=frame.source.path,
            hint="--format linear-dng",
        )
    if config.uncertainty:
        raise ConfigurationError(
            "the file is demosaiced already: nothing is denoised, and no error learned",
            where=frame.source.path,
            hint="leave out --uncertainty",
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
