"""From a clean mosaic to a picture: gain maps, demosaicing in bands, rendering."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rawdiff.color.exposure import make_thumbnail
from rawdiff.color.icc import make_icc_profile
from rawdiff.color.matrices import describe_calibration
from rawdiff.color.render import Renderer
from rawdiff.color.tone import ToneSettings
from rawdiff.color.white_balance import choose_neutral, explain_neutral
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.raw.demosaic import HALO, demosaic
from rawdiff.raw.frame import FrameTags, LinearFrame, RawFrame, plane_sites
from rawdiff.raw.gain_maps import apply_gain_maps

_BAND_PIXELS = 1 << 21
_PREVIEW_SIDE = 1024
_THUMBNAIL_SIDE = 192

Band = Callable[[int, int], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Developed:
    """A photograph ready to be written: linear bands on demand, and the renderer that is settled for it.

    Attributes:
        size: rows and columns of the linear image.
        crop: top, left, bottom, right of the part that pictures show.
        band: gives rows `top` to `bottom` as linear camera RGB `[3, rows, W]`.
        small: camera RGB `[3, h, w]`, reduced, for previews.
        renderer: prepared, 8 bits.
        icc: profile of its values.
        record: what was decided, for provenance.
    """

    size: tuple[int, int]
    crop: tuple[int, int, int, int]
    band: Band
    small: torch.Tensor
    renderer: Renderer
    icc: bytes
    record: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the pictures."""
        top, left, bottom, right = self.crop
        return bottom - top, right - left

    def bands(self) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the first row and the linear camera RGB of every band."""
        height, width = self.size
        rows = max(_BAND_PIXELS // width // 2 * 2, 2)
        for top in range(0, height, rows):
            yield top, self.band(top, min(top + rows, height))

    def display_strips(self, depth: Literal[8, 16]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the first row and the display values `[rows, W, 3]` of every band of the picture."""
        renderer = self.renderer if depth == 8 else replace(self.renderer, depth=16)
        top, left, bottom, right = self.crop
        for first, linear in self.bands():
            begin, end = max(first, top), min(first + linear.shape[1], bottom)
            if begin < end:
                part = linear[:, begin - first : end - first, left:right]
                yield begin - top, renderer.apply(part).numpy()

    def linear(self) -> NDArray[np.float32]:
        """The whole linear camera RGB, `[3, H, W]`."""
        image = np.empty((3, *self.size), np.float32)
        for first, linear in self.bands():
            image[:, first : first + linear.shape[1]] = linear.numpy()
        return image

    def preview(self) -> NDArray[np.uint8]:
        """A small rendering, as the sensor lies."""
        shown: NDArray[np.uint8] = self.renderer.apply(self.small).numpy()
        return shown

    def tags_after(self, tags: FrameTags) -> FrameTags:
        """Tags of the linear image: its gain maps are applied."""
        applied = tags.applied_opcodes + ("GainMap",) * bool(tags.gain_maps)
        return replace(tags, gain_maps=(), applied_opcodes=applied)


def develop_mosaic(clean: torch.Tensor, frame: RawFrame, config: ProcessConfig) -> Developed:
    """Prepare a clean mosaic, `[H, W]` black 0 white 1, for every kind of output.

    Args:
        clean: the denoised mosaic of `frame`.
        frame: what it was made of.
        config: white balance, demosaicing, tone, space.
    """
    light = apply_gain_maps(clean, frame.tags.gain_maps)
    packed = torch.stack([light[row::2, column::2] for row, column in plane_sites(frame.phase)])
    small, preview = make_thumbnail(packed, _THUMBNAIL_SIDE), make_thumbnail(packed, _PREVIEW_SIDE)
    del packed
    neutral = choose_neutral(frame.tags.color, config.white_balance, small)
    gains = torch.tensor(1.0 / neutral, dtype=torch.float32)
    height, width = frame.shape
    halo = HALO[config.demosaic]

    def band(top: int, bottom: int) -> torch.Tensor:
        first, last = max(top - halo, 0), min(bottom + halo, height)
        image = demosaic(light[first:last], frame.phase, config.demosaic, gains)
        return image[:, top - first : bottom - first]

    return _settle((height, width), band, small, preview, neutral, frame.tags, config)


def develop_linear(frame: LinearFrame, config: ProcessConfig) -> Developed:
    """Prepare a raw that is demosaiced already for every kind of output."""
    black, span = frame.black_dn[:, None, None], (frame.white_dn - frame.black_dn)[:, None, None]
    image = torch.from_numpy(((frame.rgb_dn - black) / span).astype(np.float32))
    light = apply_gain_maps(image, frame.tags.gain_maps)
    small, preview = make_thumbnail(light, _THUMBNAIL_SIDE), make_thumbnail(light, _PREVIEW_SIDE)
    neutral = choose_neutral(frame.tags.color, config.white_balance, small)
    return _settle(
        frame.shape, lambda top, bottom: light[:, top:bottom], small, preview, neutral, frame.tags, config
    )


def _settle(
    size: tuple[int, int],
    band: Band,
    small: torch.Tensor,
    preview: torch.Tensor,
    neutral: NDArray[np.float64],
    tags: FrameTags,
    config: ProcessConfig,
) -> Developed:
    tone = ToneSettings(config.tone, config.exposure_ev)
    renderer = Renderer(tags.color, neutral, config.space, tone).prepare(small)
    record = {
        "neutral": neutral.tolist(),
        "white_balance": explain_neutral(tags.color, config.white_balance, neutral),
        "color": describe_calibration(tags.color),
        "exposure_ev": renderer.exposure_ev,
        "opcodes_applied": [*tags.applied_opcodes, *(["GainMap"] if tags.gain_maps else [])],
        "opcodes_passed_on": len(tags.pending_opcodes),
    }
    crop = tags.default_crop or (0, 0, *size)
    return Developed(size, crop, band, preview, renderer, make_icc_profile(config.space), record)
