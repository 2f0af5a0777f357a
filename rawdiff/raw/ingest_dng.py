"""What a DNG says of its raw image before any pixel is decoded, read and checked (DNG 1.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rawdiff.errors import DamagedFileError, UnsupportedRawError
from rawdiff.raw.color_tags import read_color_tags
from rawdiff.raw.exif import read_camera, read_exposure
from rawdiff.raw.frame import CfaPhase, FrameTags, GainMap
from rawdiff.raw.gain_maps import crop_map, spread_over_sites
from rawdiff.raw.levels import LevelTags, read_levels
from rawdiff.raw.opcode_area import OpcodeError
from rawdiff.raw.opcodes import OpcodePlan, parse_list, plan_opcodes, read_gains
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
_SUB_IFDS = 330
# Size, storage, CFA, levels, geometry, colour and opcodes: without one of them the picture would be wrong.
_NEEDED = frozenset(
    {254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 322, 323, 324, 325, _SUB_IFDS, 339, 33421, 33422}
    | {50710, 50711, *range(50712, 50721), 50721, 50722, 50723, 50724, 50727, 50728, 50729, 50730, 50778}
    | {50779, 50829, 50830, 50964, 50965, 50975, 51008, 51009, 51022, 52547}
)
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
    _check_readable(tables, table, path)
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


def _check_readable(tables: list[TagTable], table: TagTable | None, path: Path) -> None:
    """Refuse a file that has lost a tag which the pixels hang on; others may be missing."""
    lost = tables[0].unreadable | (table.unreadable if table else set())
    needed = sorted(lost & _NEEDED)
    children = len(tables[0].integers(_SUB_IFDS) or ())
    if not needed and (table is not None or children < len(tables)):
        return
    what = f"its tag {needed[0]}" if needed else "its raw image's directory"
    raise DamagedFileError(f"the file ends early or is damaged: {what} cannot be read", where=path)


def _read_phase(table: TagTable, layout: Layout, path: Path) -> CfaPhase:
    dims = (table.integers(33421) or (2, 2))[:2]
    pattern = tuple(table.data(33422)[:64])
    planes = tuple(table.data(50710)[:8]) or (0, 1, 2)
    hint = "rawdiff reads 2x2 Bayer patterns of red, green and blue"
    if dims != (2, 2):
        what = _OTHER_MOSAICS.get(dims, f"a mosaic with a pattern of {dims} sites")
        raise UnsupportedRawError(f"is {what}", where=path, hint=hint)
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
            if number == 3 and dng.phase is not None:
                found += spread_over_sites(cropped, dng.phase)
            elif gain.plane < dng.layout.samples:  # a map of a plane that is not there changes nothing
                found.append(cropped)
    except OpcodeError as error:
        raise DamagedFileError(f"its GainMap opcode is damaged: {error}", where=path) from error
    return tuple(found)
