from __future__ import annotations

import numpy as np
import pytest

from rawdiff.tiles import divide, plan_tiles


@pytest.mark.parametrize(("height", "width", "size", "halo", "align"), [(7, 5, 3, 2, 1), (64, 48, 20, 5, 2)])
def test_tiles_write_every_pixel_once(height: int, width: int, size: int, halo: int, align: int) -> None:
    written = np.zeros((height, width), int)
    for tile in plan_tiles(height, width, size, halo, align):
        written[tile.inner] += 1
        source = np.arange(height * width).reshape(height, width)
        assert (source[tile.outer][tile.inner_in_outer] == source[tile.inner]).all()
        assert tile.outer_top % align == 0 and tile.outer_left % align == 0
    assert (written == 1).all()


def test_a_tile_without_size_is_refused() -> None:
    with pytest.raises(ValueError, match="size 0"):
        list(plan_tiles(4, 4, 0, 0))


def test_the_cheapest_cut_is_chosen() -> None:
    assert divide(1500, 2000, 1 << 22, 256, 64) == (1536, 2048)  # fits whole
    rows, columns = divide(4330, 5772, 4_000_000, 256, 64)
    areas = [
        (t.outer_bottom - t.outer_top) * (t.outer_right - t.outer_left)
        for t in plan_tiles(4330, 5772, (rows, columns), 256, 64)
    ]
    assert max(areas) <= 4_000_000
    # No strip over the whole width, nor any other pair of sides tried here, reads less.
    for other in ((192, 5824), (768, 2048), (1088, 1472), (1472, 1088)):
        cut = list(plan_tiles(4330, 5772, other, 256, 64))
        outer = [(t.outer_bottom - t.outer_top) * (t.outer_right - t.outer_left) for t in cut]
        assert max(outer) > 4_000_000 or sum(outer) >= sum(areas)
    assert divide(500, 500, 10, 256, 64) == (64, 64)


def test_there_is_no_cut_of_nothing() -> None:
    with pytest.raises(ValueError, match="no cut"):
        divide(0, 4, 10, 0)
