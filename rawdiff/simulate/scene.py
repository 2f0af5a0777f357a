"""From a photograph to the light on a sensor: linear sRGB, camera RGB, mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from rawdiff.errors import DamagedFileError, InputError, UnsupportedRawError
from rawdiff.raw.frame import CfaPhase, plane_sites
from rawdiff.simulate.cameras import SimulatedCamera


def srgb_to_linear(encoded: Tensor) -> Tensor:
    """Decode sRGB values in [0, 1] (IEC 61966-2-1)."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def load_photograph(path: str | Path, reduce: int = 1, enlarge: int = 1) -> Tensor:
    """Read an 8-bit RGB picture as linear light.

    Args:
        path: JPEG, PNG, WebP or TIFF; taken as sRGB, an alpha channel and a profile are ignored.
        reduce: side of the square that is averaged, in linear light; removes the picture's own noise and
            compression. Rows and columns that do not fill a square are dropped.
        enlarge: factor by which the result is then enlarged (bicubic): a softer scene, closer to what a
            lens gives.

    Returns:
        `[3, H, W]` float32 in [0, 1].

    Raises:
        InputError: no such file, or it is smaller than `reduce`.
        UnsupportedRawError: not a picture Pillow reads.
        DamagedFileError: the picture ends early or contradicts itself.
    """
    if reduce < 1 or enlarge < 1:
        raise ValueError(f"reduce and enlarge are at least 1, got {reduce} and {enlarge}")
    encoded = _read_rgb(Path(path))
    table = srgb_to_linear(torch.arange(256, dtype=torch.float32) / 255)
    linear = table[torch.from_numpy(encoded).long()].permute(2, 0, 1)
    if reduce > 1:
        if min(linear.shape[1:]) < reduce:
            raise InputError(f"the picture is smaller than {reduce} pixels", where=path)
        linear = F.avg_pool2d(linear[None], reduce)[0]
    if enlarge > 1:
        linear = enlarge_scene(linear, enlarge)
    return linear.contiguous()


def enlarge_scene(linear: Tensor, factor: int) -> Tensor:
    """Enlarge `[..., 3, H, W]` by bicubic interpolation, kept in [0, 1]."""
    batched = linear if linear.ndim == 4 else linear[None]
    large = F.interpolate(batched, scale_factor=float(factor), mode="bicubic", align_corners=False)
    return large.clamp(0.0, 1.0).reshape(*linear.shape[:-2], *large.shape[-2:])


def to_camera_rgb(linear_srgb: Tensor, camera: SimulatedCamera) -> Tensor:
    """See the scene as a camera does under D65: `[..., 3, H, W]`, 1 is the white level.

    Nothing is white-balanced: white has its strongest channel (green) at 1 and the others below. Colours
    outside the camera's gamut are clipped at black and white.
    """
    return apply_matrix(camera.from_srgb().to(linear_srgb), linear_srgb).clamp(0.0, 1.0)


def apply_matrix(matrix: Tensor, rgb: Tensor) -> Tensor:
    """Multiply colours `[..., 3, H, W]` by `[..., 3, 3]`."""
    return torch.einsum("...ij,...jhw->...ihw", matrix, rgb)


def mosaic(rgb: Tensor, phase: CfaPhase = "RGGB") -> Tensor:
    """Keep of `[..., 3, H, W]` the colour each CFA site sees: `[..., H, W]`, H and W even."""
    _check_even(rgb)
    seen = rgb[..., 1, :, :].clone()
    red, _, _, blue = plane_sites(phase)
    for channel, (row, column) in ((0, red), (2, blue)):
        seen[..., row::2, column::2] = rgb[..., channel, row::2, column::2]
    return seen


def pack(mosaic_values: Tensor, phase: CfaPhase = "RGGB") -> Tensor:
    """Gather a mosaic `[..., H, W]` into planes R, Gr, Gb, B: `[..., 4, H/2, W/2]`."""
    _check_even(mosaic_values)
    return torch.stack([mosaic_values[..., r::2, c::2] for r, c in plane_sites(phase)], dim=-3)


def even_crop(image: Tensor, sides: Sequence[int] | None = None) -> Tensor:
    """Cut the centre out of `[..., H, W]`, at most `sides` large and even in rows and columns."""
    height, width = image.shape[-2:]
    rows, columns = (height, width) if sides is None else (min(height, sides[0]), min(width, sides[1]))
    rows, columns = rows - rows % 2, columns - columns % 2
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[..., top : top + rows, left : left + columns]


def _check_even(image: Tensor) -> None:
    height, width = image.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(f"a mosaic has whole 2x2 cells, not {height}x{width}")


def _read_rgb(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if not path.is_file():
        raise InputError("no such photograph", where=path)
    try:
        with Image.open(path) as picture:
            return np.array(picture.convert("RGB"))
    except UnidentifiedImageError:
        raise UnsupportedRawError(
            "not a picture that can be read", where=path, hint="JPEG, PNG, WebP or TIFF"
        ) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DamagedFileError(f"the picture cannot be decoded: {error}", where=path) from error
