"""Small parts of a burst kept for its report: the single frame and the merge at the places that tell most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from rawdiff.raw.demosaic import HALO
from rawdiff.raw.frame import RawFrame

SIDE = 224
"""Pixels of a crop along and down."""
MARGIN = max(HALO.values())
"""Mosaic pixels around a crop that demosaicing looks at."""


@dataclass(frozen=True, eq=False)
class Crop:
    """One place of a burst.

    Attributes:
        title: why this place.
        top: row of its first pixel, even.
        left: column of its first pixel, even.
        single_dn: the reference's mosaic there, `MARGIN` more pixels on every side where the frame has them.
        merged_dn: the merged mosaic of the same pixels.
    """

    title: str
    top: int
    left: int
    single_dn: NDArray[np.float32]
    merged_dn: NDArray[np.float32]


def crop_window(top: int, left: int, shape: tuple[int, int]) -> tuple[slice, slice, int, int]:
    """Rows and columns of a crop with its margin inside a frame, and where the crop begins in them."""
    first, before = max(top - MARGIN, 0), max(left - MARGIN, 0)
    rows = slice(first, min(top + SIDE + MARGIN, shape[0]))
    columns = slice(before, min(left + SIDE + MARGIN, shape[1]))
    return rows, columns, top - first, left - before


def take_crops(reference: RawFrame, merged: RawFrame, left_out: Tensor) -> tuple[Crop, ...]:
    """Keep the finest detail, the darkest place and the place where most was left out, each once.

    Args:
        reference: the corrected single frame.
        merged: the same with the merged mosaic.
        left_out: share of the other frames that was not trusted, per Bayer cell.
    """
    height, width = (extent // 2 for extent in reference.shape)
    side = min(SIDE // 2, height, width)
    mosaic = torch.from_numpy(np.array(merged.mosaic_dn))
    cells = (mosaic[0::2, 1::2] + mosaic[1::2, 0::2]) / 2
    light = _means(cells, side)
    energy = _means(cells**2, side) - light**2
    places: dict[tuple[int, int], str] = {}
    for title, score in (
        ("Finest detail", energy / light.clamp(min=1e-6)),
        ("Darkest", -light),
        ("Most left out", _means(left_out, side)),
    ):
        row, column = divmod(int(score.argmax()), score.shape[1])
        step = max(side // 2, 1)
        place = min(row * step, height - side) * 2, min(column * step, width - side) * 2
        places.setdefault(place, title)
    crops = []
    for (top, left), title in places.items():
        rows, columns, _, _ = crop_window(top, left, reference.shape)
        single, together = (frame.mosaic_dn[rows, columns].copy() for frame in (reference, merged))
        crops.append(Crop(title, top, left, single, together))
    return tuple(crops)


def _means(cells: Tensor, side: int) -> Tensor:
    """Means over windows of `side` cells, half a window apart."""
    return avg_pool2d(cells[None, None], side, stride=max(side // 2, 1))[0, 0]
