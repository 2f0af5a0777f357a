from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile

from rawdiff.errors import ProcessingError
from rawdiff.raw.tiff_read import TiffReader
from rawdiff.raw.tiff_tree import (
    Directory,
    Segments,
    ascii_entry,
    byte_entry,
    double_entry,
    float_entry,
    long_entry,
    rational_entry,
    short_entry,
    undefined_entry,
    write_tree,
)

ENTRIES = {
    256: long_entry(7), 258: short_entry(16, 16, 16), 270: ascii_entry("Grüße"), 282: rational_entry(0.1),
    700: byte_entry(b"<x/>"), 37380: rational_entry(-1 / 3, signed=True), 37500: undefined_entry(b"\0\1\2"),
    51041: double_entry(1e-5, 2e-7), 51112: float_entry(0.5),
}  # fmt: skip


def test_entries_come_back_from_a_tree() -> None:
    file = BytesIO()
    child = Directory({256: short_entry(1)})
    write_tree(file, Directory(ENTRIES, children={330: [child, Directory(ENTRIES)], 34665: [child]}))
    reader = TiffReader(file)
    main = reader.directory(reader.first)
    assert {tag: main[tag] for tag in ENTRIES} == ENTRIES
    assert list(main) == sorted(main)
    first, second = (reader.directory(int(offset)) for offset in main[330].numbers())
    assert first == child.entries and second == ENTRIES
    assert reader.pointed(main, 34665) == child.entries
    assert main[270].text() == "Grüße"


@pytest.mark.parametrize("value", [0.0, 1 / 3, 0.6461, 2.477, 1 / 8000, 15000.0, 1e9 + 0.5, 1e-5])
def test_rationals_are_the_nearest_fractions(value: float) -> None:
    """Decimal figures of tags come back exactly; others to half a millionth (or 32 bits of precision)."""
    entry = rational_entry(value)
    (found,) = entry.numbers()
    assert abs(found - value) <= max(5e-7 * min(value, 1), value * 2.0**-32, 1e-12)
    numerator, denominator = np.frombuffer(entry.data, "<u4").tolist()
    if Fraction(str(value)).denominator <= 10**6:
        assert Fraction(numerator, denominator) == Fraction(str(value))


@pytest.mark.parametrize(
    ("value", "signed"), [(-1.0, False), (2.0**32, False), (2.0**31, True), (np.nan, True)]
)
def test_what_is_no_rational_is_refused(value: float, signed: bool) -> None:
    with pytest.raises(ValueError, match="rational"):
        rational_entry(value, signed=signed)


def test_pixels_are_drawn_one_segment_after_another(tmp_path: Path) -> None:
    pixels = np.arange(60, dtype=np.uint16).reshape(6, 10)
    drawn: list[int] = []

    def parts() -> object:
        for top in range(0, 6, 2):
            drawn.append(top)
            yield [pixels[top : top + 1].tobytes(), pixels[top + 1 : top + 2].tobytes()]

    entries = {
        256: long_entry(10), 257: long_entry(6), 258: short_entry(16), 259: short_entry(1),
        262: short_entry(1), 277: short_entry(1), 278: long_entry(2),
    }  # fmt: skip
    root = Directory(entries, segments=Segments(parts(), 3))  # type: ignore[arg-type]
    assert not drawn
    with (tmp_path / "a.tif").open("wb") as file:
        write_tree(file, root)
    assert drawn == [0, 2, 4]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), pixels)


def test_a_missing_segment_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 segments were announced, 1 came"):
        write_tree(BytesIO(), Directory(segments=Segments([[b"x"]], 3)))


def test_a_file_beyond_4_gib_is_refused() -> None:
    class Far(BytesIO):
        """A file whose first segment already ends beyond what a TIFF can address."""

        def tell(self) -> int:
            return super().tell() + 2**32

    with pytest.raises(ProcessingError, match="4 GiB"):
        write_tree(Far(), Directory(segments=Segments([[b"x"]], 1)))
