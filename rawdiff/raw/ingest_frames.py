"""From stored samples to a frame, in the order that DNG 1.7 chapter 5 prescribes.

OpcodeList1 on the stored values, linearisation table, active area, the varying part of the black level,
OpcodeList2. The CFA pattern and the black pattern count from the active area's corner.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawdiff.errors import DamagedFileError, UnsupportedRawError
from rawdiff.raw.bad_pixels import fill_bad_pixels
from rawdiff.raw.frame import Array, CfaPhase, Levels, LinearFrame, Matrix, RawFrame, Source
from rawdiff.raw.ingest_dng import DngRaw
from rawdiff.raw.levels import fold_linear_black, fold_mosaic_black, linearise
from rawdiff.raw.opcodes import apply_values, has_values, mark_bad_pixels


def build_frame(dng: DngRaw, stored: NDArray[Any], source: Source) -> RawFrame | LinearFrame:
    """Bring stored samples `[H, W]` or `[H, W, 3]` to linear DN and cut out the active area.

    Raises:
        DamagedFileError: the samples are not those that the tags announce, or not finite.
    """
    layout, path = dng.layout, source.path
    expected = (layout.height, layout.width) + ((3,) if dng.phase is None else ())
    if layout.planar_separate and stored.shape == (3, layout.height, layout.width):
        stored = stored.transpose(1, 2, 0)
    if stored.shape != expected:
        raise DamagedFileError(f"it decodes to shape {stored.shape}, its tags say {expected}", where=path)
    stored = _deinterleave(stored, dng.interleave)
    if dng.phase is None:
        return _build_linear(dng, stored, source)
    return _build_mosaic(dng, dng.phase, stored, source)


def _deinterleave(stored: NDArray[Any], factors: tuple[int, int]) -> NDArray[Any]:
    """Undo RowInterleaveFactor and ColumnInterleaveFactor: field i holds the lines i, i + factor, ..."""
    for axis, factor in enumerate(factors):
        if factor <= 1:
            continue
        lines = np.arange(stored.shape[axis])
        order = np.concatenate([lines[field::factor] for field in range(factor)])
        stored = np.take(stored, np.argsort(order), axis=axis)
    return stored


def _correct_stored(dng: DngRaw, stored: NDArray[Any], path: Path) -> NDArray[Any]:
    """Apply the value opcodes of list 1; they see 16-bit values as 0..1."""
    if not has_values(dng.plan.on_stored):
        return stored
    if stored.dtype != np.uint16:
        raise UnsupportedRawError("has an OpcodeList1 over samples that are not of 16 bits", where=path)
    values = np.ascontiguousarray(np.moveaxis(np.atleast_3d(stored), -1, 0), np.float32) / np.float32(65535)
    apply_values(values, dng.plan.on_stored, path)
    whole = np.clip(np.rint(values * 65535), 0, 65535).astype(np.uint16)
    corrected: NDArray[Any] = np.moveaxis(whole, 0, -1).reshape(stored.shape)
    return corrected


def _build_mosaic(dng: DngRaw, phase: CfaPhase, stored: NDArray[Any], source: Source) -> RawFrame:
    path = source.path
    top, left = dng.active[:2]
    area = (slice(top, top + dng.shape[0]), slice(left, left + dng.shape[1]))
    defects = mark_bad_pixels(stored, dng.plan.on_stored, path)
    stored = _correct_stored(dng, stored, path)
    mosaic = linearise(stored[area], dng.levels.table)
    _check_finite(mosaic, stored.dtype, path)
    if defects is not None:
        defects = defects[area]
        fill_bad_pixels(mosaic, defects)
    black = fold_mosaic_black(mosaic, dng.levels)
    levels = Levels(black, np.full((2, 2), dng.levels.white[0]))
    _check_range(levels.range_dn(), path)
    if dng.plan.on_linear:
        marked = _correct_mosaic(mosaic, levels, dng, path)
        defects = marked if defects is None else defects if marked is None else defects | marked
    masked = tuple(linearise(stored[t:b, lo:hi], dng.levels.table) for t, lo, b, hi in dng.masked)
    return RawFrame(mosaic, phase, levels, dng.tags, source, masked, defects)


def _correct_mosaic(mosaic: Array, levels: Levels, dng: DngRaw, path: Path) -> NDArray[np.bool_] | None:
    """Apply OpcodeList2 to the mosaic in place; bad pixels are marked and left to the correction stage."""
    black, span = levels.black_dn.astype(np.float32), levels.range_dn().astype(np.float32)
    sites = [(row, column) for row in range(2) for column in range(2)]
    for row, column in sites:
        mosaic[row::2, column::2] -= black[row, column]
        mosaic[row::2, column::2] /= span[row, column]
    mask = mark_bad_pixels(np.rint(mosaic * 65535), dng.plan.on_linear, path)
    apply_values(mosaic[None], dng.plan.on_linear, path)
    for row, column in sites:
        mosaic[row::2, column::2] *= span[row, column]
        mosaic[row::2, column::2] += black[row, column]
    return mask


def _build_linear(dng: DngRaw, stored: NDArray[Any], source: Source) -> LinearFrame:
    top, left, bottom, right = dng.active
    if any(op.number in (4, 5) for op in (*dng.plan.on_stored, *dng.plan.on_linear)):
        raise UnsupportedRawError("names bad pixels of an image that is no mosaic", where=source.path)
    stored = _correct_stored(dng, stored, source.path)
    rgb = np.empty((3, bottom - top, right - left), np.float32)
    for plane in range(3):
        rgb[plane] = linearise(stored[top:bottom, left:right, plane], dng.levels.table)
    _check_finite(rgb, stored.dtype, source.path)
    black = fold_linear_black(rgb, dng.levels)
    white: Matrix = dng.levels.white
    _check_range(white - black, source.path)
    if dng.plan.on_linear:
        offset = black.astype(np.float32)[:, None, None]
        span = (white - black).astype(np.float32)[:, None, None]
        rgb -= offset
        rgb /= span
        apply_values(rgb, dng.plan.on_linear, source.path)
        rgb *= span
        rgb += offset
    return LinearFrame(rgb, black, white, dng.tags, source)


def _check_finite(pixels: Array, stored: np.dtype[Any], path: Path) -> None:
    if stored.kind == "f" and not np.isfinite(pixels).all():
        raise DamagedFileError("it holds pixels that are no numbers", where=path)


def _check_range(range_dn: Matrix, path: Path) -> None:
    if not (range_dn > 0).all():
        raise DamagedFileError("its black level by row or column reaches the white level", where=path)
