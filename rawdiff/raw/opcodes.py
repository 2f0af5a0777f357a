"""DNG opcode lists: parsing, what rawdiff does with each opcode, and doing it (DNG 1.7 chapter 7).

List 1 acts on the stored values of the whole image, list 2 on linear values with black 0 and white 1 in
the active area, list 3 after demosaicing. Opcodes are big-endian whatever the file's byte order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawdiff.errors import DamagedFileError, UnsupportedRawError
from rawdiff.raw.bad_pixels import parse_bad_pixels
from rawdiff.raw.frame import Array, GainMap, Opcode
from rawdiff.raw.gain_maps import apply_gain_maps, gain_field, parse_gain_map, vignette_map
from rawdiff.raw.opcode_area import Area, OpcodeError, unpack

__all__ = ["OpcodePlan", "apply_gain_maps", "apply_values", "mark_bad_pixels", "parse_list", "plan_opcodes"]

NAMES = {
    1: "WarpRectilinear",
    2: "WarpFisheye",
    3: "FixVignetteRadial",
    4: "FixBadPixelsConstant",
    5: "FixBadPixelsList",
    6: "TrimBounds",
    7: "MapTable",
    8: "MapPolynomial",
    9: "GainMap",
    10: "DeltaPerRow",
    11: "DeltaPerColumn",
    12: "ScalePerRow",
    13: "ScalePerColumn",
    14: "WarpRectilinear2",
}
WARP_RECTILINEAR, WARP_FISHEYE, VIGNETTE, BAD_CONSTANT, BAD_LIST = 1, 2, 3, 4, 5
MAP_TABLE, MAP_POLYNOMIAL, GAIN_MAP, SCALE_ROW, SCALE_COLUMN, WARP_RECTILINEAR_2 = 7, 8, 9, 12, 13, 14

_BAD = frozenset({BAD_CONSTANT, BAD_LIST})
_GAINS = frozenset({GAIN_MAP, VIGNETTE})
_VALUES = frozenset({MAP_TABLE, MAP_POLYNOMIAL, SCALE_ROW, SCALE_COLUMN})
_WARPS = frozenset({WARP_RECTILINEAR, WARP_FISHEYE, WARP_RECTILINEAR_2})
_MAX_OPCODES = 4096


@dataclass(frozen=True)
class OpcodePlan:
    """What becomes of a file's opcodes, in the order of application."""

    on_stored: tuple[Opcode, ...] = ()
    """List 1: applied to the stored values."""
    on_linear: tuple[Opcode, ...] = ()
    """List 2: applied to linear values at once."""
    gains: tuple[tuple[int, Opcode], ...] = ()
    """(list number, opcode): multiplications left until the noise is gone."""
    pending: tuple[Opcode, ...] = ()
    """List 3: handed on."""

    @property
    def applied_names(self) -> tuple[str, ...]:
        """Names of the opcodes applied on reading, in order, without repetition."""
        return tuple(dict.fromkeys(name_opcode(op.number) for op in (*self.on_stored, *self.on_linear)))


def name_opcode(number: int) -> str:
    """Return the specification's name of an opcode, or its number in words."""
    return NAMES.get(number, f"opcode {number}")


def parse_list(data: bytes, where: object = None) -> tuple[Opcode, ...]:
    """Split an opcode list into its entries.

    Raises:
        DamagedFileError: the list ends early or promises more than it holds.
    """
    if not data:
        return ()
    opcodes: list[Opcode] = []
    try:
        (count,) = unpack(">I", data, 0)
        if count > _MAX_OPCODES:
            raise OpcodeError(f"it promises {count} opcodes")
        place = 4
        for _ in range(count):
            number, version, flags, size = unpack(">I4sII", data, place)
            place += 16
            if place + size > len(data):
                raise OpcodeError(f"{name_opcode(number)} reaches beyond the list")
            opcodes.append(Opcode(number, tuple(version), flags, data[place : place + size]))
            place += size
    except OpcodeError as error:
        raise DamagedFileError(f"an opcode list is damaged: {error}", where=_place(where)) from error
    return tuple(opcodes)


def plan_opcodes(lists: Sequence[Sequence[Opcode]], where: object = None) -> OpcodePlan:
    """Decide what becomes of the opcodes of lists 1, 2 and 3.

    Gains (GainMap, FixVignetteRadial) of list 2 and 3 wait until after denoising, as they change the
    noise; those of list 2 before a nonlinear map are applied at once, since they do not commute with it.
    Warps of list 3 are handed on. Optional opcodes that rawdiff does not know are passed over.

    Raises:
        UnsupportedRawError: a mandatory opcode that rawdiff does not apply, by its name.
    """
    first, second, third = lists
    stored = _keep(first, 1, _BAD | _GAINS | _VALUES, where)
    linear = _keep(second, 2, _BAD | _GAINS | _VALUES, where)
    last = _keep(third, 3, _GAINS | _WARPS, where)
    nonlinear = [i for i, op in enumerate(linear) if op.number in (MAP_TABLE, MAP_POLYNOMIAL)]
    border = nonlinear[-1] if nonlinear else -1
    waits = [op.number in _GAINS and i > border for i, op in enumerate(linear)]
    gains = [(2, op) for op, late in zip(linear, waits, strict=True) if late]
    gains += [(3, op) for op in last if op.number in _GAINS]
    return OpcodePlan(
        on_stored=tuple(stored),
        on_linear=tuple(op for op, late in zip(linear, waits, strict=True) if not late),
        gains=tuple(gains),
        pending=tuple(op for op in last if op.number in _WARPS),
    )


def _keep(opcodes: Sequence[Opcode], number: int, known: frozenset[int], where: object) -> list[Opcode]:
    kept = [op for op in opcodes if op.number in known]
    for op in opcodes:
        if op.number not in known and not op.optional:
            raise UnsupportedRawError(
                f"its OpcodeList{number} demands {name_opcode(op.number)}, which rawdiff does not apply",
                where=_place(where),
                hint="convert the file with a program that applies it",
            )
    return kept


def read_gains(plan: OpcodePlan, shape: tuple[int, int], where: object = None) -> list[tuple[int, GainMap]]:
    """Parse the gains that wait, as (list number, map); a radial vignette becomes a dense map.

    Raises:
        DamagedFileError: one of them is damaged.
    """
    maps: list[tuple[int, GainMap]] = []
    for number, opcode in plan.gains:
        try:
            parsed = parse_gain_map(opcode.data) if opcode.number == GAIN_MAP else None
            maps.append((number, parsed or vignette_map(opcode.data, shape)))
        except OpcodeError as error:
            raise _damaged(opcode, error, where) from error
    return maps


def apply_values(image: Array, opcodes: Sequence[Opcode], where: object = None) -> None:
    """Apply the value opcodes (maps, scales, gains) in place, in their order.

    Args:
        image: `[P, H, W]` with 0 black and 1 full scale.
        opcodes: entries of list 1 or 2; bad-pixel opcodes are passed over.
        where: the file, for errors.

    Raises:
        DamagedFileError: an opcode is damaged.
    """
    for opcode in opcodes:
        try:
            if opcode.number in _GAINS:
                shape = image.shape[1], image.shape[2]
                gain = parse_gain_map(opcode.data) if opcode.number == GAIN_MAP else None
                image *= gain_field([gain or vignette_map(opcode.data, shape)], image.shape)
            elif opcode.number in (SCALE_ROW, SCALE_COLUMN):
                _scale_lines(image, opcode)
            elif opcode.number == MAP_POLYNOMIAL:
                _map_polynomial(image, opcode)
            elif opcode.number == MAP_TABLE:
                _map_table(image, opcode)
        except OpcodeError as error:
            raise _damaged(opcode, error, where) from error


def has_values(opcodes: Sequence[Opcode]) -> bool:
    """True where the list changes more than bad pixels."""
    return any(opcode.number not in _BAD for opcode in opcodes)


def mark_bad_pixels(
    values: NDArray[np.generic], opcodes: Sequence[Opcode], where: object = None
) -> NDArray[np.bool_] | None:
    """Return a mask `[H, W]` of the pixels that a list names as bad; None where it names none.

    `values` is `[H, W]` in the numbers that FixBadPixelsConstant speaks of.

    Raises:
        DamagedFileError: an opcode is damaged.
    """
    mask: NDArray[np.bool_] | None = None
    for opcode in opcodes:
        if opcode.number not in _BAD:
            continue
        try:
            found = parse_bad_pixels(opcode.data, values, constant=opcode.number == BAD_CONSTANT)
        except OpcodeError as error:
            raise _damaged(opcode, error, where) from error
        mask = found if mask is None else mask | found
    return mask if mask is not None and mask.any() else None


def _scale_lines(image: Array, opcode: Opcode) -> None:
    area = Area.parse(opcode.data)
    view = area.view(image)
    by_row = opcode.number == SCALE_ROW
    (count,) = unpack(">I", opcode.data, Area.SIZE)
    side = view.shape[1 if by_row else 2]
    if count < side:
        raise OpcodeError(f"{count} scales for {side} lines")
    scales = np.array(unpack(f">{side}f", opcode.data, Area.SIZE + 4), np.float32)
    if not np.all(np.isfinite(scales)):
        raise OpcodeError("a scale that is not finite")
    view *= scales[None, :, None] if by_row else scales[None, None, :]


def _map_polynomial(image: Array, opcode: Opcode) -> None:
    """Map x to sum c_i x^i; below black by odd symmetry around c_0, so that negatives stay monotone."""
    view = Area.parse(opcode.data).view(image)
    (degree,) = unpack(">I", opcode.data, Area.SIZE)
    if degree > 8:
        raise OpcodeError(f"a polynomial of degree {degree}")
    coefficients = unpack(f">{degree + 1}d", opcode.data, Area.SIZE + 4)
    if not np.all(np.isfinite(coefficients)) or max(map(abs, coefficients)) > 1e6:
        raise OpcodeError("a polynomial whose coefficients are no numbers")
    x = np.minimum(np.abs(view), 1)
    y = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2:0:-1]:
        y = y * x + np.float32(coefficient)
    if degree:
        y *= x
        view[...] = np.clip(coefficients[0] + np.where(view < 0, -y, y), -1, 1)
    else:
        view[...] = np.clip(y, 0, 1)


def _map_table(image: Array, opcode: Opcode) -> None:
    """Look x * 65535 up in the table, between entries the nearest; negatives stay as they are."""
    view = Area.parse(opcode.data).view(image)
    (size,) = unpack(">I", opcode.data, Area.SIZE)
    if not 1 <= size <= 65536:
        raise OpcodeError(f"a table of {size} entries")
    table = np.array(unpack(f">{size}H", opcode.data, Area.SIZE + 4), np.float32) / np.float32(65535)
    index = np.clip(np.rint(view * 65535), 0, size - 1).astype(np.int64)
    view[...] = np.where(view < 0, view, table[index])


def _damaged(opcode: Opcode, error: OpcodeError, where: object) -> DamagedFileError:
    return DamagedFileError(
        f"its {name_opcode(opcode.number)} opcode is damaged: {error}", where=_place(where)
    )


def _place(where: object) -> str | None:
    return None if where is None else str(where)
