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
from rawdiff.enhance.survey import survey_picture
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.enhance import EnhancedRendering, describe_enhancement, prepare_enhancement
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
        enhanced: the enhancement of the pictures; linear outputs and previews know nothing of it.
        record: what was decided, for provenance.
    """

    size: tuple[int, int]
    crop: tuple[int, int, int, int]
    band: Band
    small: torch.Tensor
    renderer: Renderer
    icc: bytes
    enhanced: EnhancedRendering | None
    record: dict[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the pictures."""
        top, left, bottom, right = self.crop
        return bottom - top, right - left

    def spans(self) -> Iterator[tuple[int, int]]:
        """Yield first row and row after the last of every band."""
        height, width = self.size
        # Networks hold some hundred values a pixel: half as high, a band costs their halos and 0.4 GB less.
        pixels = _BAND_PIXELS if self.enhanced is None else _BAND_PIXELS // 2
        rows = max(pixels // width // 2 * 2, 2)
        for top in range(0, height, rows):
            yield top, min(top + rows, height)

    def display_strips(self, depth: Literal[8, 16]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the first row and the display values `[rows, W, 3]` of every band of the picture."""
        renderer = self.renderer if depth == 8 else replace(self.renderer, depth=16)
        top, left, bottom, right = self.crop
        for first, last in self.spans():
            begin, end = max(first, top), min(last, bottom)
            if begin >= end:
                continue
            if self.enhanced is None:
                shown = renderer.apply(self._rows(begin, end)[:, :, left:right])
            else:
                camera = self._rows(begin - self.enhanced.halo, end + self.enhanced.halo)
                shown = self.enhanced.apply(camera, renderer, begin, end)[:, left:right]
            yield begin - top, shown.numpy()

    def _rows(self, top: int, bottom: int) -> torch.Tensor:
        """Rows of the linear image, as far as there are any; bands are cut at whole cells of the mosaic."""
        first, last = max(top, 0), min(bottom, self.size[0])
        band = self.band(first - first % 2, min(last + last % 2, self.size[0]))
        return band[:, first % 2 :][:, : last - first]

    def linear(self) -> NDArray[np.float32]:
        """The whole linear camera RGB, `[3, H, W]`."""
        image = np.empty((3, *self.size), np.float32)
        for first, last in self.spans():
            image[:, first:last] = self.band(first, last).numpy()
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
    survey = None
    if config.enhance is not None:
        survey = survey_picture(torch.stack((packed[0], 0.5 * (packed[1] + packed[2]), packed[3])))
    del packed
    neutral = choose_neutral(frame.tags.color, config.white_balance, small)
    gains = torch.tensor(1.0 / neutral, dtype=torch.float32)
    height, width = frame.shape
    halo = HALO[config.demosaic]

    def band(top: int, bottom: int) -> torch.Tensor:
        first, last = max(top - halo, 0), min(bottom + halo, height)
        image = demosaic(light[first:last], frame.phase, config.demosaic, gains)
        return image[:, top - first : bottom - first]

    return _settle((height, width), band, (small, preview, survey), neutral, frame.tags, config)


def develop_linear(frame: LinearFrame, config: ProcessConfig) -> Developed:
    """Prepare a raw that is demosaiced already for every kind of output."""
    black, span = frame.black_dn[:, None, None], (frame.white_dn - frame.black_dn)[:, None, None]
    image = torch.from_numpy(((frame.rgb_dn - black) / span).astype(np.float32))
    light = apply_gain_maps(image, frame.tags.gain_maps)
    small, preview = make_thumbnail(light, _THUMBNAIL_SIDE), make_thumbnail(light, _PREVIEW_SIDE)
    neutral = choose_neutral(frame.tags.color, config.white_balance, small)
    survey = None if config.enhance is None else survey_picture(light)

    def band(top: int, bottom: int) -> torch.Tensor:
        return light[:, top:bottom]

    return _settle(frame.shape, band, (small, preview, survey), neutral, frame.tags, config)


def _settle(
    size: tuple[int, int],
    band: Band,
    copies: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    neutral: NDArray[np.float64],
    tags: FrameTags,
    config: ProcessConfig,
) -> Developed:
    """Settle exposure and light on small copies of the frame: for exposure, for previews, for enhancement."""
    small, preview, survey = copies
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
    enhanced = None
    if survey is not None:
        enhanced = prepare_enhancement(survey, size, renderer, config)
        record["enhanced"] = describe_enhancement(config)
    crop = tags.default_crop or (0, 0, *size)
    return Developed(size, crop, band, preview, renderer, make_icc_profile(config.space), enhanced, record)
