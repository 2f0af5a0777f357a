"""Spatial gains of DNG opcode lists: GainMap and the radial vignette, as a field to multiply with.

A gain g turns the variance law S x + O into g^2 (S x / g + O): gains wait until the noise is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rawdiff.raw.frame import Array, CfaPhase, GainMap, plane_sites
from rawdiff.raw.opcode_area import Area, OpcodeError, unpack

if TYPE_CHECKING:
    import torch

_VIGNETTE_POINTS = 129
_MAX_POINTS = 1 << 22
_MAX_GAIN = 1e4


def parse_gain_map(data: bytes) -> GainMap:
    """Read a GainMap opcode's parameters (DNG 1.7, opcode 9).

    Raises:
        OpcodeError: it has no points, ends early, or holds gains that are none.
    """
    area = Area.parse(data)
    rows, columns, *geometry = unpack(">IIdddd", data, Area.SIZE)
    (planes,) = unpack(">I", data, Area.SIZE + 40)
    if rows < 1 or columns < 1 or planes < 1 or rows * columns * planes > _MAX_POINTS:
        raise OpcodeError(f"a map of {rows}x{columns}x{planes} points")
    if not np.all(np.isfinite(geometry)) or min(geometry[:2]) < 0:
        raise OpcodeError("a map whose points lie nowhere")
    gains = np.array(unpack(f">{rows * columns * planes}f", data, Area.SIZE + 44), np.float32)
    if not np.all(np.isfinite(gains)) or gains.min() < 0 or gains.max() > _MAX_GAIN:
        raise OpcodeError("gains that are negative or no numbers")
    return GainMap(
        **vars(area),
        spacing=(geometry[0], geometry[1]),
        origin=(geometry[2], geometry[3]),
        gains=gains.reshape(rows, columns, planes),
    )


def vignette_map(data: bytes, shape: tuple[int, int]) -> GainMap:
    """Sample FixVignetteRadial as a dense gain map over an image of this shape.

    The law is g = 1 + k0 r^2 + ... + k4 r^10 with r = 1 at the corner farthest from the centre. Between its
    129x129 points the map is bilinear: the error is at most max|g''| (1/128)^2 / 8 in units of the image.

    Raises:
        OpcodeError: the coefficients are no numbers.
    """
    *k, cx, cy = unpack(">7d", data, 0)
    if not np.all(np.isfinite([*k, cx, cy])) or not (0 <= cx <= 1 and 0 <= cy <= 1):
        raise OpcodeError("a vignette without a centre")
    height, width = shape
    steps = np.linspace(0, 1, _VIGNETTE_POINTS)
    x = (steps - cx) * width
    y = (steps - cy) * height
    farthest = max(cx, 1 - cx) ** 2 * width**2 + max(cy, 1 - cy) ** 2 * height**2
    r2 = (y[:, None] ** 2 + x[None, :] ** 2) / farthest
    gains = 1 + r2 * (k[0] + r2 * (k[1] + r2 * (k[2] + r2 * (k[3] + r2 * k[4]))))
    if gains.min() < 0 or gains.max() > _MAX_GAIN:
        raise OpcodeError("gains that are negative or absurd")
    spacing = 1 / (_VIGNETTE_POINTS - 1)
    return GainMap(
        0, 0, height, width, 0, 4, 1, 1, (spacing, spacing), (0.0, 0.0), gains[..., None].astype(np.float32)
    )


def gain_field(maps: Sequence[GainMap], shape: tuple[int, ...]) -> Array:
    """Return the product of gain maps over an image `[P, H, W]`, float32.

    A point of the map holds at `origin + index * spacing` of the image's height and width, pixel centres lie
    at half-integers; between points bilinear, beyond them the nearest. The last plane of a map serves all
    further planes.
    """
    planes, height, width = shape
    field = np.ones((planes, height, width), np.float32)
    for gain in maps:
        rows = np.arange(gain.top, min(gain.bottom, height), gain.row_pitch, dtype=np.int64)
        columns = np.arange(gain.left, min(gain.right, width), gain.column_pitch, dtype=np.int64)
        if not len(rows) or not len(columns):
            continue
        r0, r1, wr = _between(rows, height, gain.origin[0], gain.spacing[0], gain.gains.shape[0])
        c0, c1, wc = _between(columns, width, gain.origin[1], gain.spacing[1], gain.gains.shape[1])
        down = slice(gain.top, gain.bottom, gain.row_pitch)
        across = slice(gain.left, gain.right, gain.column_pitch)
        for plane in range(gain.plane, min(gain.plane + gain.planes, planes)):
            points = gain.gains[:, :, min(plane - gain.plane, gain.gains.shape[2] - 1)]
            lines = points[r0] * (1 - wr)[:, None] + points[r1] * wr[:, None]
            field[plane, down, across] *= lines[:, c0] * (1 - wc) + lines[:, c1] * wc
    return field


def _between(
    index: NDArray[np.int64], side: int, origin: float, spacing: float, points: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Return the two neighbouring points of each line, and the weight of the second."""
    place = (index + 0.5) / side - origin
    place = np.clip(place / spacing, 0, points - 1) if spacing > 0 else np.zeros(len(index))
    low = np.minimum(place.astype(np.int64), max(points - 2, 0))
    return low, np.minimum(low + 1, points - 1), (place - low).astype(np.float32)


def crop_map(gain: GainMap, shape: tuple[int, int], kept: tuple[int, int]) -> GainMap:
    """Express a map of an image of `shape` relative to its first `kept` rows and columns."""
    down, across = shape[0] / kept[0], shape[1] / kept[1]
    fields = {**vars(gain)}
    fields["spacing"] = (gain.spacing[0] * down, gain.spacing[1] * across)
    fields["origin"] = (gain.origin[0] * down, gain.origin[1] * across)
    return GainMap(**fields)


def spread_over_sites(gain: GainMap, phase: CfaPhase) -> list[GainMap]:
    """Turn a map of list 3 (planes R, G, B) into maps of the mosaic's sites, one for each CFA site.

    Raises:
        OpcodeError: the map jumps over rows or columns, which has no meaning on a mosaic.
    """
    if gain.row_pitch != 1 or gain.column_pitch != 1:
        raise OpcodeError("a map of the demosaiced image with a pitch")
    maps = []
    for color, (row, column) in zip((0, 1, 1, 2), plane_sites(phase), strict=True):
        if not gain.plane <= color < gain.plane + gain.planes:
            continue
        fields = {**vars(gain), "plane": 0, "planes": 1, "row_pitch": 2, "column_pitch": 2}
        fields["top"] = gain.top + (gain.top + row) % 2
        fields["left"] = gain.left + (gain.left + column) % 2
        layer = min(color - gain.plane, gain.gains.shape[2] - 1)
        fields["gains"] = gain.gains[:, :, layer : layer + 1]
        maps.append(GainMap(**fields))
    return maps


def apply_gain_maps(
    image: torch.Tensor, maps: Sequence[GainMap], phase: CfaPhase | None = None
) -> torch.Tensor:
    """Multiply an image, black 0, by the gains that its file has left to be applied.

    Args:
        image: a mosaic `[H, W]`; packed raw `[4, H/2, W/2]` with `phase`; or, of a LinearFrame, `[3, H, W]`.
        maps: `FrameTags.gain_maps` of the frame.
        phase: the CFA phase of packed raw.

    Raises:
        ValueError: another shape, or packed raw without its phase.
    """
    import torch

    if not maps:
        return image
    if image.ndim == 2:
        field = gain_field(maps, (1, *image.shape))[0]
    elif image.ndim == 3 and image.shape[0] == 4 and phase is not None:
        mosaic = gain_field(maps, (1, 2 * image.shape[1], 2 * image.shape[2]))[0]
        field = np.stack([mosaic[row::2, column::2] for row, column in plane_sites(phase)])
    elif image.ndim == 3 and image.shape[0] == 3:
        field = gain_field(maps, tuple(image.shape))
    else:
        raise ValueError(f"no gain maps for an image of shape {tuple(image.shape)} with phase {phase}")
    return image * torch.from_numpy(field).to(image.device, image.dtype)
