"""The small copy of a picture by which its light is settled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SURVEY_SIDE = 512
"""The longer side of the small copy has at most this many pixels."""

_STRIP_ROWS = 256


def survey_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the small copy of a picture."""
    longest = max(height, width)
    if longest <= SURVEY_SIDE:
        return height, width
    return max(round(height * SURVEY_SIDE / longest), 1), max(round(width * SURVEY_SIDE / longest), 1)


def survey_bands(bands: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """Reduce a picture by area averaging to at most `SURVEY_SIDE` on the longer side.

    The areas are cut on whole pixels of the picture and summed in double precision in one order, so the
    copy does not depend on how the picture comes.

    Args:
        bands: its rows from the top, `[3, rows, W]` each.
        size: rows and columns of the picture.

    Returns:
        `[3, h, w]` float32.

    Raises:
        ValueError: the bands do not make up the picture.
    """
    height, width = size
    rows, columns = survey_size(height, width)
    left, top = _starts(width, columns), _starts(height, rows)
    narrow = np.empty((3, height, columns))
    filled = 0
    for band in bands:
        if band.shape[2] != width or filled + band.shape[1] > height:
            raise ValueError(
                f"a band of {tuple(band.shape)} at row {filled} is not of a {height}x{width} picture"
            )
        light = band.double().numpy()
        narrow[:, filled : filled + band.shape[1]] = np.add.reduceat(light, left, axis=2)
        filled += band.shape[1]
    if filled != height:
        raise ValueError(f"{filled} rows came for a picture of {height}")
    areas = np.diff(top, append=height)[:, None] * np.diff(left, append=width)
    return torch.from_numpy((np.add.reduceat(narrow, top, axis=1) / areas).astype(np.float32))


def survey_picture(image: Tensor) -> Tensor:
    """Reduce a whole picture `[3, H, W]`; see `survey_bands`."""
    return survey_bands(_strips(image), (image.shape[1], image.shape[2]))


def _strips(image: Tensor) -> Iterator[Tensor]:
    for top in range(0, image.shape[1], _STRIP_ROWS):
        yield image[:, top : top + _STRIP_ROWS]


def _starts(length: int, parts: int) -> NDArray[np.int64]:
    """First pixels of `parts` areas that cover `length` pixels as evenly as whole pixels can."""
    return np.arange(parts, dtype=np.int64) * length // parts
