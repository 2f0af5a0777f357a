"""The way of one photograph: ingest, correct, denoise, develop, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rawdiff_calibration.noise import NoiseModel

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.burst import merge_files
from rawdiff.pipeline.config import SUFFIXES, Format, ProcessConfig
from rawdiff.pipeline.correct import correct_frame
from rawdiff.pipeline.denoise import denoise_frame, residual_profile
from rawdiff.pipeline.develop import Developed, develop_linear, develop_mosaic
from rawdiff.pipeline.device import choose_device
from rawdiff.pipeline.events import Event, Listener
from rawdiff.pipeline.noise_model import ChosenNoise, choose_noise_model
from rawdiff.pipeline.provenance import describe_noise, describe_run, describe_source, write_record
from rawdiff.raw.dng import write_cfa_dng, write_linear_dng
from rawdiff.raw.frame import LinearFrame, RawFrame, plane_sites
from rawdiff.raw.image import ExposureMap
from rawdiff.raw.ingest import read_raw
from rawdiff.raw.pictures import write_jpeg, write_tiff16
from rawdiff.recipes.catalog import Recipe, find_recipe

OutputListener = Callable[[str, Path], None]
NoisePairs = tuple[tuple[float, float], ...]

_READY, _DENOISE = 0.5, 0.3
"""Shares of the time until denoising starts and for it, for the progress bar."""


@dataclass(frozen=True)
class Destination:
    """Where the outputs of one photograph go, and what may be replaced there."""

    folder: Path
    stem: str
    overwrite: bool
    listen: Listener
    on_output: OutputListener
    subject: str
    """Whom events concern: the name the work went under before its reference was known."""

    def path(self, kind: Format) -> Path:
        """Path of the output of that kind."""
        return self.folder / f"{self.stem}{SUFFIXES[kind]}"

    def stage(self, name: str, fraction: float) -> None:
        """Tell where the work stands."""
        self.listen(Event("stage", self.subject, name, {"fraction": fraction}))

    def announce(self, kind: str, path: Path) -> None:
        """Tell that an output stands whole."""
        self.on_output(kind, path)
        self.listen(Event("output", self.subject, f"wrote {path}", {"kind": kind, "path": str(path)}))


def refuse_existing(folder: Path, stem: str, formats: Iterable[Format]) -> None:
    """Raise where an output's name is taken.

    Raises:
        ConfigurationError: naming the first file in the way.
    """
    for kind in formats:
        path = folder / f"{stem}{SUFFIXES[kind]}"
        if path.exists():
            raise ConfigurationError("exists already", where=path, hint="--overwrite replaces it")


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
    record = describe_run(config, recipe, str(choose_device(config.device)))
    listen(Event("stage", stem, "reading", {"fraction": 0.0}))
    if len(frames) > 1:
        merged = merge_files(frames, config, stem, listen)
        reference = merged.frame.source.path.stem
        if reference != stem and not overwrite:
            refuse_existing(folder, reference, config.formats)
        place = Destination(folder, reference, overwrite, listen, on_output, stem)
        chosen, record["inputs"] = merged.noise, merged.record
        record["applied"] = _finish_mosaic(merged.frame, chosen, merged.exposure, recipe, config, place)
    else:
        place = Destination(folder, stem, overwrite, listen, on_output, stem)
        frame = read_raw(frames[0], timeout_s=config.timeout_s, sidecar=config.sidecar)
        chosen, record["inputs"] = (
            choose_noise_model(frame, config.profile, None),
            [describe_source(frame.source)],
        )
        if isinstance(frame, LinearFrame):
            record["applied"] = _finish_linear(frame, config, place)
        else:
            # The frame as read is let go here: of a large one there is no room for two.
            frame, corrections = correct_frame(frame, chosen.model)
            applied = _finish_mosaic(frame, chosen, ExposureMap(), recipe, config, place)
            record["applied"] = asdict(corrections) | applied
    record["noise"] = describe_noise(chosen.model, chosen.origin, chosen.considered)
    path = folder / f"{place.stem}.json"
    write_record(path, record, overwrite)
    place.announce("provenance", path)


def _finish_mosaic(
    frame: RawFrame,
    chosen: ChosenNoise,
    exposure: ExposureMap,
    recipe: Recipe,
    config: ProcessConfig,
    place: Destination,
) -> dict[str, Any]:
    place.listen(Event("progress", place.subject, f"noise model: {chosen.origin}", {"fraction": _READY}))
    clean = denoise_frame(
        frame,
        chosen.model,
        recipe,
        config.strength,
        exposure=exposure.value,
        tile=config.tile,
        on_fraction=lambda part: place.stage("denoising", _READY + _DENOISE * part),
    )
    place.stage("developing", _READY + _DENOISE)
    residual = residual_profile(
        chosen.model, frame.levels, frame.phase, recipe, config.strength, exposure.mean()
    )
    developed = develop_mosaic(clean, frame, config)
    if "dng" in config.formats:
        _write_cfa(clean, frame, residual, developed, config, place)
    _write_pictures(developed, frame, config, place)
    if "linear-dng" in config.formats:
        _write_linear(developed, frame, residual, config, place)
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
    _write_pictures(developed, frame, config, place)
    if "linear-dng" in config.formats:
        pairs = frame.tags.noise_profile
        _write_linear(developed, frame, pairs * (3 // len(pairs)) if pairs else None, config, place)
    return {"denoised": False, **developed.record}


def _write_cfa(
    clean: torch.Tensor,
    frame: RawFrame,
    residual: NoisePairs,
    developed: Developed,
    config: ProcessConfig,
    place: Destination,
) -> None:
    if config.dng_encoding == "f16-deflate":
        raise ConfigurationError("float16 is for linear DNGs", hint="--dng-encoding u16 or jxl")
    mosaic_dn = clean.numpy().copy()
    for site in plane_sites(frame.phase):
        part = mosaic_dn[site[0] :: 2, site[1] :: 2]
        part *= np.float32(frame.levels.range_dn()[site])
        part += np.float32(frame.levels.black_dn[site])
    _, white = frame.levels.per_plane(frame.phase)
    black, _ = frame.levels.per_plane(frame.phase)
    span = (white - black)[[0, 1, 3]]
    noise = NoiseModel.from_dng(residual, (span[0], span[1], span[2]), quantisation_dn=0.0)
    path = place.path("dng")
    write_cfa_dng(
        path,
        mosaic_dn,
        frame,
        noise=noise,
        preview=developed.preview(),
        noise_reduction_applied=config.strength,
        compression="jxl" if config.dng_encoding == "jxl" else "none",
        full_range=True,
        source_file=frame.source.path,
        overwrite=place.overwrite,
    )
    place.announce("dng", path)


def _write_pictures(
    developed: Developed, frame: RawFrame | LinearFrame, config: ProcessConfig, place: Destination
) -> None:
    wanted = [kind for kind in config.formats if kind in ("jpeg", "tiff")]
    if not wanted:
        return
    height, width = developed.shape
    eight: NDArray[np.uint8] | None = None
    if "jpeg" in wanted:
        eight = np.empty((height, width, 3), np.uint8)
        for top, strip in developed.display_strips(8):
            eight[top : top + strip.shape[0]] = strip
        write_jpeg(
            place.path("jpeg"),
            eight,
            quality=config.jpeg_quality,
            icc=developed.icc,
            tags=frame.tags,
            source_file=frame.source.path,
            overwrite=place.overwrite,
        )
        place.announce("jpeg", place.path("jpeg"))
    if "tiff" in wanted:
        strips = (strip for _, strip in developed.display_strips(16))
        write_tiff16(
            place.path("tiff"),
            strips,
            size=(height, width),
            icc=developed.icc,
            tags=frame.tags,
            source_file=frame.source.path,
            overwrite=place.overwrite,
        )
        place.announce("tiff", place.path("tiff"))


def _write_linear(
    developed: Developed,
    frame: RawFrame | LinearFrame,
    pairs: NoisePairs | None,
    config: ProcessConfig,
    place: Destination,
) -> None:
    path = place.path("linear-dng")
    write_linear_dng(
        path,
        developed.linear(),
        developed.tags_after(frame.tags),
        noise=pairs,
        preview=developed.preview(),
        noise_reduction_applied=config.strength if isinstance(frame, RawFrame) else None,
        encoding=config.dng_encoding,
        source_file=frame.source.path,
        overwrite=place.overwrite,
    )
    place.announce("linear-dng", path)
