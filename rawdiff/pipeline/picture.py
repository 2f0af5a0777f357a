"""The way of an ordinary picture: read, linearise, denoise where asked, enhance, write.

The picture is taken for sRGB unless its profile says otherwise; then it is converted to sRGB first, by
lcms and in 16 bits, and colours outside are clipped there. Enhancement sees linear light; what comes out is
encoded as sRGB again. Nothing else touches the picture: at strength 0 its own values come back.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import imagecodecs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawdiff import __version__
from rawdiff.color.encode import DisplayEncoder
from rawdiff.color.icc import make_icc_profile
from rawdiff.color.spaces import SRGB_TRANSFER
from rawdiff.enhance.apply import Enhancement, check_strength, plan_bands, settle
from rawdiff.enhance.catalog import find_entry, load_enhancer
from rawdiff.enhance.survey import survey_bands
from rawdiff.errors import ConfigurationError, DamagedFileError
from rawdiff.pipeline.events import Event, Listener
from rawdiff.pipeline.picture_noise import denoise_picture, estimate_picture_noise
from rawdiff.pipeline.provenance import describe_source, write_record
from rawdiff.raw.frame import FrameTags
from rawdiff.raw.icc_primaries import has_srgb_primaries
from rawdiff.raw.picture_read import StoredPicture, read_picture
from rawdiff.raw.pictures import write_jpeg, write_tiff16
from rawdiff.raw.png import write_png
from rawdiff.recipes.catalog import find_recipe

PictureFormat = Literal["jpeg", "tiff", "png"]
PICTURE_FORMATS: tuple[PictureFormat, ...] = get_args(PictureFormat)
PICTURE_FILES: dict[PictureFormat, str] = {"jpeg": ".jpg", "tiff": ".tif", "png": ".png"}
_SAME = ("jpeg", "tiff", "png")


@dataclass(frozen=True)
class PictureConfig:
    """Every choice of `rawdiff enhance`.

    Raises:
        ConfigurationError: a value outside its range.
    """

    enhance: str = "local"
    strength: float = 1.0
    exposure_ev: float = 0.0
    seed: int = 0
    denoise: str | None = None
    denoise_strength: float = 1.0
    formats: tuple[PictureFormat, ...] = ("jpeg",)
    jpeg_quality: int = 92

    def __post_init__(self) -> None:
        check_strength(self.strength)
        if not 0.0 <= self.denoise_strength <= 1.0:
            raise ConfigurationError(f"strength is from 0 to 1, not {self.denoise_strength:g}")
        if not self.formats:
            raise ConfigurationError("no output format was asked for", hint=f"one of {', '.join(_SAME)}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ConfigurationError(f"JPEG quality is from 1 to 100, not {self.jpeg_quality}")


def parse_picture_formats(text: str) -> tuple[PictureFormat, ...]:
    """Read a comma-separated list of formats, each once.

    Raises:
        ConfigurationError: a name that is not a format.
    """
    formats: list[PictureFormat] = []
    for word in filter(None, (part.strip().lower() for part in text.split(","))):
        name = {"jpg": "jpeg", "tif": "tiff"}.get(word, word)
        found = next((known for known in PICTURE_FORMATS if known == name), None)
        if found is None:
            hint = f"one of {', '.join(PICTURE_FORMATS)}"
            raise ConfigurationError(f"'{word}' is not a format of pictures", hint=hint)
        if found not in formats:
            formats.append(found)
    return tuple(formats)


@dataclass(frozen=True, eq=False)
class LinearPicture:
    """An ordinary picture as linear light on demand.

    Attributes:
        stored: values `[H, W, 3]` in sRGB, uint8 or uint16.
        clean: the denoised picture `[3, H, W]`, None where it was not denoised.
    """

    stored: NDArray[Any]
    clean: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.stored.shape[0], self.stored.shape[1]

    def band(self, top: int, bottom: int) -> Tensor:
        """Rows `top` to `bottom`, as far as there are any: linear sRGB `[3, rows, W]`."""
        first, last = max(top, 0), min(bottom, self.size[0])
        if self.clean is not None:
            return self.clean[:, first:last]
        return decode_srgb(self.stored[first:last])

    def bands(self) -> Iterator[Tensor]:
        """All rows from the top."""
        for top, bottom in plan_bands(*self.size):
            yield self.band(top, bottom)


def decode_srgb(stored: NDArray[Any]) -> Tensor:
    """Linear light `[3, rows, W]` of sRGB values `[rows, W, 3]` of 8 or 16 bits."""
    levels = np.iinfo(stored.dtype).max
    table = SRGB_TRANSFER.decode(np.arange(levels + 1) / levels).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(table[stored], -1, 0)))


def as_srgb(picture: StoredPicture) -> tuple[NDArray[Any], str]:
    """Values in sRGB and, in words, what was done for it.

    Raises:
        DamagedFileError: the profile cannot be used.
    """
    if not picture.icc:
        return picture.pixels, "no profile: taken for sRGB"
    if has_srgb_primaries(picture.icc) and _has_srgb_curve(picture.icc):
        return picture.pixels, "sRGB by its profile"
    wide = picture.pixels if picture.depth == 16 else picture.pixels.astype(np.uint16) * 257
    try:
        converted = imagecodecs.cms_transform(
            wide, picture.icc, make_icc_profile("srgb"), colorspace="rgb", outcolorspace="rgb"
        )
    except (RuntimeError, ValueError) as error:
        raise DamagedFileError(
            f"the colour profile cannot be used: {error}", where=picture.source.path
        ) from error
    return np.asarray(converted), "converted to sRGB by its profile"


def _has_srgb_curve(profile: bytes) -> bool:
    """True where the profile takes mid grey to where sRGB does, within half a count of 8 bits."""
    ramp = np.repeat((np.arange(5, 256, 25) * 257).astype(np.uint16)[None, :, None], 3, axis=2)
    try:
        seen = imagecodecs.cms_transform(
            ramp, profile, make_icc_profile("srgb"), colorspace="rgb", outcolorspace="rgb"
        )
    except (RuntimeError, ValueError):
        return False
    return bool(np.abs(np.asarray(seen, np.int64) - ramp).max() <= 128)


def enhance_file(
    path: Path, folder: Path, config: PictureConfig, overwrite: bool, listen: Listener
) -> list[Path]:
    """Enhance one picture; return what was written, its record last.

    Raises:
        RawdiffError: the file cannot be used, an output stands in the way, or a stage failed.
    """
    targets = {kind: folder / f"{path.stem}{PICTURE_FILES[kind]}" for kind in config.formats}
    record_path = folder / f"{path.stem}.json"
    for target in (*targets.values(), record_path):
        if target.exists() and not overwrite:
            raise ConfigurationError("exists already", where=target, hint="--overwrite replaces it")

    def stage(name: str, fraction: float) -> None:
        listen(Event("stage", path.stem, name, {"fraction": fraction}))

    stage("reading", 0.0)
    picture = read_picture(path)
    stored, color = as_srgb(picture)
    record = _describe(picture, config, color)
    linear = LinearPicture(stored)
    if config.denoise is not None:
        linear = _denoise(linear, config, record, lambda part: stage("denoising", 0.1 + 0.5 * part))
    stage("enhancing", 0.6)
    enhancer = load_enhancer(config.enhance)
    settled = settle(
        enhancer, survey_bands(linear.bands(), linear.size), linear.size, config.strength, config.seed
    )
    settled = Enhancement(settled.relight, settled.strength, config.exposure_ev)
    tags = FrameTags(orientation=picture.orientation)
    for kind, target in targets.items():
        _write(kind, target, linear, settled, tags, path, record, config, overwrite)
        listen(Event("output", path.stem, f"wrote {target}", {"kind": kind, "path": str(target)}))
    write_record(record_path, record, overwrite)
    return [*targets.values(), record_path]


def _describe(picture: StoredPicture, config: PictureConfig, color: str) -> dict[str, Any]:
    entry = find_entry(config.enhance)
    return {
        "rawdiff": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "inputs": [describe_source(picture.source)],
        "configuration": asdict(config),
        "enhanced": {
            "name": entry.name,
            "citation": entry.citation,
            "weights": entry.weights_identity(),
            "strength": config.strength,
        },
        "color": color,
    }


def _denoise(
    linear: LinearPicture, config: PictureConfig, record: dict[str, Any], on_fraction: Callable[[float], None]
) -> LinearPicture:
    recipe = find_recipe(config.denoise or "")
    whole = torch.cat(list(linear.bands()), dim=1)
    noise = estimate_picture_noise(whole)
    clean = denoise_picture(whole, recipe, config.denoise_strength, noise, on_fraction)
    record["denoised"] = {
        "recipe": recipe.name,
        "weights": recipe.weights_identity(),
        "noise": {"origin": "the picture itself, DN of 1/65535 of linear light", "model": asdict(noise)},
    }
    return LinearPicture(linear.stored, clean)


def _write(
    kind: PictureFormat,
    target: Path,
    linear: LinearPicture,
    settled: Enhancement,
    tags: FrameTags,
    source: Path,
    record: dict[str, Any],
    config: PictureConfig,
    overwrite: bool,
) -> None:
    """JPEGs have 8 bits, TIFFs 16, PNGs those of the picture; 16 where it was converted or denoised."""
    deep = kind == "tiff" or (
        kind == "png" and (linear.stored.dtype == np.uint16 or linear.clean is not None)
    )
    shown = _render(linear, settled, 16 if deep else 8)
    common: dict[str, Any] = {
        "icc": make_icc_profile("srgb"),
        "tags": tags,
        "source_file": source,
        "provenance": record,
        "overwrite": overwrite,
    }
    if kind == "jpeg":
        write_jpeg(target, shown, quality=config.jpeg_quality, **common)
    elif kind == "tiff":
        write_tiff16(target, shown, **common)
    else:
        write_png(target, shown, **common)


def _render(linear: LinearPicture, settled: Enhancement, depth: Literal[8, 16]) -> NDArray[Any]:
    """Display values `[H, W, 3]` of the enhanced picture."""
    height, width = linear.size
    encoder = DisplayEncoder(SRGB_TRANSFER, depth)
    shown = np.empty((height, width, 3), np.uint8 if depth == 8 else np.uint16)
    for top, bottom in plan_bands(height, width):
        band = linear.band(top - settled.halo, bottom + settled.halo)
        shown[top:bottom] = encoder(settled.apply(band, top, bottom)).permute(1, 2, 0).numpy()
    return shown
