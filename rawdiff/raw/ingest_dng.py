"""From a DNG's tags and stored samples to a frame, in the order that DNG 1.7 chapter 5 prescribes.

OpcodeList1 on the stored values, linearisation table, active area, the varying part of the black level,
OpcodeList2. The CFA pattern and the black pattern count from the active area's corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawdiff.errors import DamagedFileError, UnsupportedRawError
from rawdiff.raw.bad_pixels import fill_bad_pixels
from rawdiff.raw.color_tags import read_color_tags
from rawdiff.raw.exif import read_camera, read_exposure
from rawdiff.raw.frame import (
    Array,
    CfaPhase,
    FrameTags,
    GainMap,
    Levels,
    LinearFrame,
    Matrix,
    RawFrame,
    Source,
)
from rawdiff.raw.gain_maps import crop_map, spread_over_sites
from rawdiff.raw.levels import LevelTags, fold_linear_black, fold_mosaic_black, linearise, read_levels
from rawdiff.raw.opcode_area import OpcodeError
from rawdiff.raw.opcodes import (
    OpcodePlan,
    apply_values,
    has_values,
    mark_bad_pixels,
    parse_list,
    plan_opcodes,
    read_gains,
)
from rawdiff.raw.tags import PHOTOMETRIC_CFA, Layout, TagTable, dng_version, find_raw, read_layout

_PHASES: dict[tuple[int, ...], CfaPhase] = {
    (0, 1, 1, 2): "RGGB",
    (1, 0, 2, 1): "GRBG",
    (1, 2, 0, 1): "GBRG",
    (2, 1, 1, 0): "BGGR",
}
_OTHER_MOSAICS: dict[tuple[int, ...], str] = {
    (6, 6): "an X-Trans mosaic (6x6 sites)",
    (4, 4): "a Quad-Bayer mosaic (4x4 sites)",
}
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class DngRaw:
    """What a DNG says of its raw image before any pixel is decoded. Rectangles: top, left, bottom, right."""

    kind: str
    tags: FrameTags
    layout: Layout
    levels: LevelTags
    active: Rectangle
    masked: tuple[Rectangle, ...]
    phase: CfaPhase | None
    plan: OpcodePlan
    interleave: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the frame: the active area, whole 2x2 cells of a mosaic."""
        height, width = self.active[2] - self.active[0], self.active[3] - self.active[1]
        return (height, width) if self.phase is None else (height // 2 * 2, width // 2 * 2)


def read_dng(tables: list[TagTable], path: Path) -> DngRaw:
    """Read and check everything but the pixels.

    Raises:
        UnsupportedRawError: no Bayer mosaic and no linear RGB.
        DamagedFileError: an opcode list is damaged.
        ValueError: tags that contradict themselves.
    """
    table = find_raw(tables)
    if table is None:
        raise UnsupportedRawError(
            "is a DNG without a raw image of full size", where=path, hint="it holds previews only"
        )
    layout = read_layout(table)
    phase = _read_phase(table, layout, path) if layout.photometric == PHOTOMETRIC_CFA else None
    if phase is None and layout.samples != 3:
        what = "a monochrome raw" if layout.samples == 1 else f"a raw of {layout.samples} colours"
        raise UnsupportedRawError(
            f"is {what}", where=path, hint="rawdiff reads Bayer mosaics and linear RGB with three colours"
        )
    active = _read_active(table, layout, cells=phase is not None)
    lists = [parse_list(table.data(code), path) for code in (51008, 51009, 51022)]
    plan = plan_opcodes(lists, path)
    version = dng_version(tables) or (1, 0, 0, 0)
    form = "CFA" if phase else "LinearRaw"
    dng = DngRaw(
        kind=f"{form} DNG {version[0]}.{version[1]}",
        tags=FrameTags(),
        layout=layout,
        levels=read_levels(table, layout),
        active=active,
        masked=_read_masked(table, layout),
        phase=phase,
        plan=plan,
        interleave=(table.integer(50975) or 1, table.integer(52547) or 1),
    )
    return replace(dng, tags=_read_tags(tables[0], table, dng, path))


def _read_phase(table: TagTable, layout: Layout, path: Path) -> CfaPhase:
    dims = (table.integers(33421) or (2, 2))[:2]
    pattern = tuple(table.data(33422)[:64])
    planes = tuple(table.data(50710)[:8]) or (0, 1, 2)
    hint = "rawdiff reads 2x2 Bayer patterns of red, green and blue"
    if dims != (2, 2):
        names: dict[tuple[int, ...], str] = {
            (6, 6): "an X-Trans mosaic (6x6)",
            (4, 4): "a Quad-Bayer mosaic (4x4)",
        }
        raise UnsupportedRawError(
            f"is {names.get(dims, f'a mosaic with a pattern of {dims}')}", where=path, hint=hint
        )
    if layout.samples != 1:
        raise UnsupportedRawError(f"is a stack of {layout.samples} mosaics", where=path, hint=hint)
    if (table.integer(50711) or 1) != 1:
        raise UnsupportedRawError("is a mosaic on a staggered lattice (CFALayout)", where=path, hint=hint)
    if pattern not in _PHASES or sorted(planes) != [0, 1, 2]:
        raise UnsupportedRawError(
            f"has the colour pattern {pattern} of the colours {planes}", where=path, hint=hint
        )
    return _PHASES[pattern]


def _read_active(table: TagTable, layout: Layout, *, cells: bool) -> Rectangle:
    top, left, bottom, right = _rectangle(table.integers(50829) or (0, 0, layout.height, layout.width))
    least = 2 if cells else 1
    inside = top >= 0 and left >= 0 and bottom <= layout.height and right <= layout.width
    if not inside or bottom - top < least or right - left < least:
        raise ValueError(
            f"the active area {(top, left, bottom, right)} of an image of {layout.width}x{layout.height}"
        )
    return top, left, bottom, right


def _read_masked(table: TagTable, layout: Layout) -> tuple[Rectangle, ...]:
    numbers = table.integers(50830) or ()
    areas = [_rectangle(numbers[i : i + 4]) for i in range(0, len(numbers) - 3, 4)]
    return tuple(
        (top, left, bottom, right)
        for top, left, bottom, right in areas
        if 0 <= top < bottom <= layout.height and 0 <= left < right <= layout.width
    )


def _rectangle(numbers: Sequence[int]) -> Rectangle:
    if len(numbers) != 4:
        raise ValueError(f"a rectangle of {len(numbers)} numbers")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _read_tags(first: TagTable, table: TagTable, dng: DngRaw, path: Path) -> FrameTags:
    return FrameTags(
        camera=read_camera(first),
        exposure=read_exposure(first),
        color=read_color_tags(first),
        orientation=read_orientation(first),
        noise_profile=_read_noise_profile(table) or _read_noise_profile(first),
        default_crop=_read_crop(table, dng.shape),
        gain_maps=_read_gain_maps(dng, path),
        applied_opcodes=dng.plan.applied_names,
        pending_opcodes=dng.plan.pending,
        baseline_noise=(first.finite(50731, 1) or (None,))[0],
        noise_reduction_applied=_fraction(table.finite(50935, 1) or first.finite(50935, 1)),
    )


def read_orientation(table: TagTable) -> int:
    """Read the EXIF orientation, 1 where absent or meaningless."""
    orientation = table.integer(274) or 1
    return orientation if 1 <= orientation <= 8 else 1


def _fraction(numbers: tuple[float, ...] | None) -> float | None:
    return numbers[0] if numbers and 0 <= numbers[0] <= 1 else None


def _read_noise_profile(table: TagTable) -> tuple[tuple[float, float], ...]:
    numbers = table.finite(51041) or ()
    pairs = tuple(zip(numbers[::2], numbers[1::2], strict=False))
    sound = len(numbers) in (2, 6) and all(0 < s < 1 and 0 <= o < 1 for s, o in pairs)
    return pairs if sound else ()


def _read_crop(table: TagTable, shape: tuple[int, int]) -> Rectangle | None:
    origin, size = table.finite(50719, 2), table.finite(50720, 2)
    if origin is None or size is None:
        return None
    left, top = (round(number) for number in origin)
    right, bottom = min(left + round(size[0]), shape[1]), min(top + round(size[1]), shape[0])
    return (top, left, bottom, right) if 0 <= top < bottom and 0 <= left < right else None


def _read_gain_maps(dng: DngRaw, path: Path) -> tuple[GainMap, ...]:
    height, width = dng.active[2] - dng.active[0], dng.active[3] - dng.active[1]
    found: list[GainMap] = []
    try:
        for number, gain in read_gains(dng.plan, (height, width), path):
            cropped = crop_map(gain, (height, width), dng.shape)
            spread = number == 3 and dng.phase is not None
            found += spread_over_sites(cropped, dng.phase) if spread and dng.phase else [cropped]
    except OpcodeError as error:
        raise DamagedFileError(f"its GainMap opcode is damaged: {error}", where=path) from error
    return tuple(found)


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
    top, left, _, _ = dng.active
    height, width = dng.shape
    area = (slice(top, top + height), slice(left, left + width))
    defects = mark_bad_pixels(stored, dng.plan.on_stored, path)
    stored = _correct_stored(dng, stored, path)
    mosaic = np.ascontiguousarray(linearise(stored[area], dng.levels.table))
    mosaic = mosaic if mosaic.flags.owndata and mosaic.dtype != stored.dtype else mosaic.copy()
    _check_finite(mosaic, path)
    if defects is not None:
        defects = defects[area]
        fill_bad_pixels(mosaic, defects)
    black = fold_mosaic_black(mosaic, dng.levels)
    levels = Levels(black, np.full((2, 2), dng.levels.white[0]))
    if dng.plan.on_linear:
        late = _correct_mosaic(mosaic, levels, dng, path)
        defects = late if defects is None else defects if late is None else defects | late
    masked = tuple(
        linearise(stored[area[0] : area[2], area[1] : area[3]], dng.levels.table).copy()
        for area in dng.masked
    )
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
    image = linearise(stored[top:bottom, left:right], dng.levels.table)
    rgb = np.array(np.moveaxis(image, -1, 0), np.float32, order="C")
    _check_finite(rgb, source.path)
    black = fold_linear_black(rgb, dng.levels)
    white: Matrix = dng.levels.white
    if dng.plan.on_linear:
        offset, span = (
            black.astype(np.float32)[:, None, None],
            (white - black).astype(np.float32)[:, None, None],
        )
        rgb -= offset
        rgb /= span
        apply_values(rgb, dng.plan.on_linear, source.path)
        rgb *= span
        rgb += offset
    return LinearFrame(rgb, black, white, dng.tags, source)


def _check_finite(pixels: Array, path: Path) -> None:
    if not np.isfinite(pixels).all():
        raise DamagedFileError("it holds pixels that are no numbers", where=path)
