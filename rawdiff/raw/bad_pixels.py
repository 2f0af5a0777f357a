"""DNG FixBadPixelsConstant and FixBadPixelsList: which pixels are bad, and filling them (DNG 1.7, 7)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawdiff.raw.frame import Array
from rawdiff.raw.opcode_area import OpcodeError, unpack


def parse_bad_pixels(data: bytes, values: NDArray[np.generic], *, constant: bool) -> NDArray[np.bool_]:
    """Return the mask `[H, W]` of bad pixels.

    Args:
        data: the opcode's parameters.
        values: `[H, W]` stored values, which FixBadPixelsConstant compares.
        constant: FixBadPixelsConstant, otherwise FixBadPixelsList.

    Raises:
        OpcodeError: the parameters end early.
    """
    if constant:
        value, _ = unpack(">II", data, 0)
        return np.asarray(values == value)
    _, points, rectangles = unpack(">3I", data, 0)
    if 12 + 8 * points + 16 * rectangles > len(data):
        raise OpcodeError(f"it promises {points} points and {rectangles} rectangles, more than it holds")
    height, width = values.shape
    mask = np.zeros(values.shape, np.bool_)
    place = np.frombuffer(data, ">u4", 2 * points, 12).reshape(-1, 2).astype(np.int64)
    place = place[(place[:, 0] < height) & (place[:, 1] < width)]
    mask[place[:, 0], place[:, 1]] = True
    corners = np.frombuffer(data, ">u4", 4 * rectangles, 12 + 8 * points).reshape(-1, 4)
    for top, left, bottom, right in corners.tolist():
        mask[top:bottom, left:right] = True
    return mask


_RINGS = (
    ((-2, 0), (2, 0), (0, -2), (0, 2)),
    ((-2, -2), (-2, 2), (2, -2), (2, 2)),
    ((-4, 0), (4, 0), (0, -4), (0, 4)),
)


def fill_bad_pixels(mosaic_dn: Array, mask: NDArray[np.bool_]) -> None:
    """Replace bad pixels in place by the mean of the nearest good ones of the same CFA site.

    The rings at distance 2, 2 sqrt 2 and 4 are tried in turn; a pixel with no good neighbour there takes the
    median of its CFA site.
    """
    height, width = mosaic_dn.shape
    rows, columns = np.nonzero(mask)
    values = np.zeros(len(rows), np.float64)
    counts = np.zeros(len(rows), np.int64)
    for ring in _RINGS:
        open_ = counts == 0
        for down, across in ring:
            r, c = rows + down, columns + across
            inside = open_ & (r >= 0) & (r < height) & (c >= 0) & (c < width)
            index = np.nonzero(inside)[0]
            index = index[~mask[r[index], c[index]]]
            values[index] += mosaic_dn[r[index], c[index]]
            counts[index] += 1
    for row in range(2):
        for column in range(2):
            lonely = (counts == 0) & (rows % 2 == row) & (columns % 2 == column)
            good = mosaic_dn[row::2, column::2][~mask[row::2, column::2]]
            if lonely.any() and good.size:
                values[lonely], counts[lonely] = np.median(good), 1
    found = counts > 0
    mosaic_dn[rows[found], columns[found]] = (values[found] / counts[found]).astype(np.float32)
