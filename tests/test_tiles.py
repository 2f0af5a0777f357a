from __future__ import annotations

import numpy as np
import pytest

from rawdiff.tiles import plan_tiles


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
