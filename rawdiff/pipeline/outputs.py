"""Writing the outputs of one photograph: what goes where, under which name, with which record inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rawdiff_calibration.noise import NoiseModel

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.config import SUFFIXES, UNCERTAINTY_SUFFIX, Format, ProcessConfig
from rawdiff.pipeline.develop import Developed
from rawdiff.pipeline.events import Event, Listener
from rawdiff.raw.dng import write_cfa_dng, write_linear_dng
from rawdiff.raw.float_tiff import write_float_tiff
from rawdiff.raw.frame import LinearFrame, RawFrame, plane_sites
from rawdiff.raw.pictures import write_jpeg, write_tiff16

OutputListener = Callable[[str, Path], None]
NoisePairs = tuple[tuple[float, float], ...]


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
    provenance: dict[str, Any] = field(default_factory=dict)
    """The record that every output carries inside."""

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


def refuse_existing(folder: Path, stem: str, config: ProcessConfig) -> None:
    """Raise where an output's name is taken.

    Raises:
        ConfigurationError: naming the first file in the way.
    """
    for suffix in config.suffixes():
        path = folder / f"{stem}{suffix}"
        if path.exists():
            raise ConfigurationError("exists already", where=path, hint="--overwrite replaces it")


def write_cfa(
    clean: torch.Tensor,
    frame: RawFrame,
    residual: NoisePairs,
    developed: Developed,
    config: ProcessConfig,
    place: Destination,
) -> None:
    """Write the CFA DNG: the clean mosaic at the whole 16 bits, its residual noise as NoiseProfile.

    Raises:
        ConfigurationError: half floats were asked for, which CFA DNGs do not have.
    """
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
        provenance=place.provenance,
        overwrite=place.overwrite,
    )
    place.announce("dng", path)


def write_pictures(
    developed: Developed, frame: RawFrame | LinearFrame, config: ProcessConfig, place: Destination
) -> None:
    """Write the JPEG and the TIFF that were asked for, rendered in bands."""
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
            provenance=place.provenance,
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
            provenance=place.provenance,
            overwrite=place.overwrite,
        )
        place.announce("tiff", place.path("tiff"))


def write_linear(
    developed: Developed,
    frame: RawFrame | LinearFrame,
    pairs: NoisePairs | None,
    config: ProcessConfig,
    place: Destination,
) -> None:
    """Write the linear DNG: demosaiced camera RGB, not white-balanced, its gain maps applied."""
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
        provenance=place.provenance,
        overwrite=place.overwrite,
    )
    place.announce("linear-dng", path)


def write_uncertainty(
    deviation_e: torch.Tensor, shown: tuple[Developed, Developed], frame: RawFrame, place: Destination
) -> None:
    """Write how sure each pixel is: a float32 TIFF of two pages.

    The first is the standard deviation of the clean mosaic's error in electrons of one input frame, on the
    sensor's grid; the second that of the picture, in display values from 0 to 1, on the picture's grid:
    half the difference between the estimate shown one standard deviation brighter and darker.

    Args:
        deviation_e: `[H, W]`.
        shown: the photograph brighter and darker, otherwise developed as the pictures are.
        frame: what it was made of.
        place: where it goes.
    """
    height, width = shown[0].shape
    display = np.empty((height, width), np.float32)
    strips = zip(shown[0].display_strips(16), shown[1].display_strips(16), strict=True)
    for (top, brighter), (_, darker) in strips:
        apart = np.abs(brighter.astype(np.float32) - darker.astype(np.float32)).mean(axis=2)
        display[top : top + len(apart)] = apart / (2 * 65535)
    path = place.folder / f"{place.stem}{UNCERTAINTY_SUFFIX}"
    pages = {
        "standard deviation of the clean mosaic, electrons": deviation_e.numpy(),
        "standard deviation of the picture, display values from 0 to 1": display,
    }
    write_float_tiff(path, pages, place.provenance, [frame.source.path], overwrite=place.overwrite)
    place.announce("uncertainty", path)
