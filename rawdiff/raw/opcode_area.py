"""The rectangle, planes and pitches that most DNG opcodes begin with."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, ClassVar

from rawdiff.raw.frame import Array


class OpcodeError(ValueError):
    """An opcode's parameters contradict themselves."""


def unpack(layout: str, data: bytes, place: int) -> tuple[Any, ...]:
    """Read big-endian parameters at a place.

    Raises:
        OpcodeError: the data end before.
    """
    if place + struct.calcsize(layout) > len(data):
        raise OpcodeError(f"it has {len(data)} bytes, too few")
    return struct.unpack_from(layout, data, place)


@dataclass(frozen=True)
class Area:
    """Rows top to bottom and columns left to right, every pitch-th, of `planes` planes from `plane` on."""

    SIZE: ClassVar[int] = 32

    top: int
    left: int
    bottom: int
    right: int
    plane: int
    planes: int
    row_pitch: int
    column_pitch: int

    @classmethod
    def parse(cls, data: bytes) -> Area:
        """Read the area at the beginning of an opcode's parameters.

        Raises:
            OpcodeError: it is empty, or a pitch is 0.
        """
        area = cls(*unpack(">8I", data, 0))
        if area.top >= area.bottom or area.left >= area.right or area.planes < 1:
            raise OpcodeError("an empty area")
        if area.row_pitch < 1 or area.column_pitch < 1:
            raise OpcodeError("a pitch of 0")
        return area

    def view(self, image: Array) -> Array:
        """The part of an image `[P, H, W]` that the area names, as a view."""
        return image[
            self.plane : self.plane + self.planes,
            self.top : self.bottom : self.row_pitch,
            self.left : self.right : self.column_pitch,
        ]
