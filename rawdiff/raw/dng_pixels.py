"""Raw pixels on their way into a DNG: scaling to stored values, and the encodings of strips and tiles.

Everything is drawn in bands of rows, so that a 100-megapixel frame needs no second copy of itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from rawdiff.raw.frame import Levels
from rawdiff.raw.tiff_tree import Entry, Segments, long_entry, short_entry

TOP = 65535
UNCOMPRESSED, DEFLATE, JPEG_XL = 1, 8, 52546
_BAND = 128
_TILE = 512
_FLOAT_PREDICTOR = 3
_HIGHEST_PEDESTAL = 16384
_STRAY_SHARE = 1e-3

Rows = Callable[[int, int], NDArray[np.generic]]
"""Stored values of the rows from top to bottom, `[n, W]` or `[n, W, 3]`, u16 or f16."""


@dataclass(frozen=True)
class Encoding:
    """How the pixels of one directory are stored: its tags and its segments."""

    entries: dict[int, Entry]
    segments: Segments


@dataclass(frozen=True)
class MosaicScale:
    """The affine map per CFA site from the frame's DN to stored 16-bit values.

    `black` `[2, 2]` and `white` are the levels of the stored values; `gain` is stored values per DN.
    """

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    black: NDArray[np.float64]
    white: int

    @property
    def is_identity(self) -> bool:
        """True where DN are stored as they are."""
        return bool(np.all(self.gain == 1) and np.all(self.offset == 0))

    def rows_of(self, mosaic_dn: NDArray[np.generic]) -> Rows:
        """Stored rows of `mosaic_dn`, rounded to nearest and clipped to 16 bits."""
        width = mosaic_dn.shape[1]
        if mosaic_dn.dtype == np.uint16 and self.is_identity:
            return lambda top, bottom: mosaic_dn[top:bottom]
        gain = np.tile(self.gain, (1, width // 2)).astype(np.float32)
        offset = np.tile(self.offset, (1, width // 2)).astype(np.float32)

        def rows(top: int, bottom: int) -> NDArray[np.generic]:
            site = np.arange(top, bottom) % 2
            return to_u16(mosaic_dn[top:bottom].astype(np.float32) * gain[site] + offset[site])

        return rows


def mosaic_scale(levels: Levels, full_range: bool) -> MosaicScale:
    """Choose the stored levels: the frame's own, or the whole 16 bits.

    With `full_range`, DN 0 of the site with the highest black is stored as 0 and white as 65535, so that
    fractions and every negative signal the sensor can give survive; the pedestal is at least 1024 and at
    most 16384. Otherwise black stays where it is and all sites share the highest white.

    Raises:
        ValueError: levels beyond 16 bits without `full_range`, or white not above black.
    """
    black, white = np.asarray(levels.black_dn, dtype=float), np.asarray(levels.white_dn, dtype=float)
    if not np.all(white > black):
        raise ValueError(f"white {white.tolist()} is not above black {black.tolist()}")
    if full_range:
        pedestal = float(np.clip(np.rint(TOP * black.max() / white.max()), 1024, _HIGHEST_PEDESTAL))
        stored_black, stored_white = np.full((2, 2), pedestal), TOP
    else:
        stored_black, stored_white = black, int(np.rint(white.max()))
        if stored_white > TOP or black.min() < 0:
            raise ValueError(f"levels {black.min():g} to {stored_white} DN do not fit 16 bits unscaled")
    gain = (stored_white - stored_black) / (white - black)
    return MosaicScale(gain, stored_black - black * gain, stored_black, stored_white)


def linear_rows(rgb: NDArray[np.float32], pedestal: int | None) -> Rows:
    """Stored rows of `[3, H, W]` linear RGB: u16 over a pedestal, or half floats where that is None."""

    def rows(top: int, bottom: int) -> NDArray[np.generic]:
        band = np.ascontiguousarray(np.moveaxis(rgb[:, top:bottom], 0, 2), dtype=np.float32)
        if pedestal is None:
            return np.clip(band, -65504, 65504).astype(np.float16)
        return to_u16(band * np.float32(TOP - pedestal) + np.float32(pedestal))

    return rows


def choose_pedestal(rgb: NDArray[np.float32]) -> int:
    """Stored black of 16-bit linear RGB `[3, H, W]`: 0 where negatives carry no light, else what they need.

    Cut off at black, negatives brighten the picture. Where that is at most 0.1 % of the light of each
    colour (a fifth of what the law of photometry allows), they are stray values and black is stored as 0;
    otherwise at the least value that keeps every negative, at most 16384 (signals down to -1/3).
    """
    deepest = max(0.0, -float(np.nanmin(rgb)))
    if deepest == 0 or not _negatives_matter(rgb):
        return 0
    return min(math.ceil(TOP * deepest / (1 + deepest)), _HIGHEST_PEDESTAL)


def _negatives_matter(rgb: NDArray[np.float32]) -> bool:
    light, lack = np.zeros(3), np.zeros(3)
    for top in range(0, rgb.shape[1], _BAND):
        band = rgb[:, top : top + _BAND]
        light += np.maximum(band, 0).sum((1, 2), dtype=np.float64)
        lack -= np.minimum(band, 0).sum((1, 2), dtype=np.float64)
    return bool(np.any(lack > _STRAY_SHARE * light))


def to_u16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round to nearest, clip to 0..65535; not-a-number becomes 0."""
    rounded = np.rint(values, out=values)
    return np.nan_to_num(np.clip(rounded, 0, TOP, out=rounded), copy=False).astype(np.uint16)


def store_uncompressed(rows: Rows, height: int, width: int, samples: int) -> Encoding:
    """One strip of 16-bit values: what every reader, the simplest too, reads."""

    def chunks() -> Iterator[bytes]:
        for top in range(0, height, _BAND):
            yield rows(top, min(top + _BAND, height)).astype("<u2", copy=False).tobytes()

    entries = {259: short_entry(UNCOMPRESSED), 278: long_entry(height)} | _depth(samples, False)
    return Encoding(entries, Segments([chunks()], 1))


def store_jpeg_xl(rows: Rows, height: int, width: int, samples: int) -> Encoding:
    """Lossless JPEG XL tiles of 16-bit values (DNG 1.7)."""

    def tile(pixels: NDArray[np.generic]) -> bytes:
        return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=3, usecontainer=False))

    entries = {259: short_entry(JPEG_XL)} | _depth(samples, False)
    return _tiles(rows, height, width, _TILE, tile, entries)


def store_float16(rows: Rows, height: int, width: int, samples: int) -> Encoding:
    """Deflated half-float tiles with the floating-point predictor (DNG 1.4)."""

    def tile(pixels: NDArray[np.generic]) -> bytes:
        predicted = imagecodecs.floatpred_encode(pixels.astype("<f2"), axis=-2, dist=1)
        return bytes(imagecodecs.deflate_encode(predicted.tobytes(), level=6))

    entries = {259: short_entry(DEFLATE), 317: short_entry(_FLOAT_PREDICTOR)} | _depth(samples, True)
    return _tiles(rows, height, width, _TILE // 2, tile, entries)


def _depth(samples: int, floating: bool) -> dict[int, Entry]:
    entries = {258: short_entry(*[16] * samples), 277: short_entry(samples), 284: short_entry(1)}
    return entries | {339: short_entry(*[3 if floating else 1] * samples)}


def _tiles(
    rows: Rows,
    height: int,
    width: int,
    side: int,
    encode: Callable[[NDArray[np.generic]], bytes],
    entries: dict[int, Entry],
) -> Encoding:
    """Whole tiles, the last ones filled up with the image's edge."""
    across, down = -(-width // side), -(-height // side)

    def parts() -> Iterator[list[bytes]]:
        for top in range(0, height, side):
            band = rows(top, min(top + side, height))
            fill = [(0, side - band.shape[0]), (0, across * side - width), (0, 0)][: band.ndim]
            band = np.pad(band, fill, mode="edge")
            for left in range(0, across * side, side):
                yield [encode(np.ascontiguousarray(band[:, left : left + side]))]

    size = {322: long_entry(side), 323: long_entry(side)}
    return Encoding(entries | size, Segments(parts(), across * down, tiled=True))
