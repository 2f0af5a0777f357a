"""The mirror beyond the border keeps the mosaic's colours and its rows in their order."""

from __future__ import annotations

import pytest
import torch

from rawdiff.raw.frame import plane_sites
from rawdiff.recipes.border import MARGIN, inside, mirror_beyond, mirror_map


def _pack(mosaic: torch.Tensor) -> torch.Tensor:
    return torch.stack([mosaic[row::2, column::2] for row, column in plane_sites("RGGB")])


@pytest.mark.parametrize("cells", [(1, 3), (5, 1), (9, 12), (40, 21)])
def test_a_mosaic_is_mirrored_about_its_first_and_last_row_and_column(cells: tuple[int, int]) -> None:
    """Row -1 shows row 1, row H shows row H - 2: so every colour meets its own."""
    rows, columns = (2 * torch.arange(-MARGIN, side + MARGIN)[:, None] + torch.arange(2) for side in cells)
    places = []
    for place, side in ((rows, 2 * cells[0]), (columns, 2 * cells[1])):
        period = 2 * (side - 1)
        folded = [min(int(at) % period, period - int(at) % period) for at in place.flatten()]
        places.append(torch.tensor(folded))
    mosaic = torch.rand(2 * cells[0], 2 * cells[1], generator=torch.Generator().manual_seed(0))
    expected = _pack(mosaic[places[0]][:, places[1]])
    assert torch.equal(mirror_beyond(_pack(mosaic)), expected)
    assert torch.equal(inside(expected), _pack(mosaic))


def test_maps_follow_and_single_figures_stay() -> None:
    one = torch.ones(1, 1, 1, 1)
    assert mirror_map(one) is one
    figure = torch.arange(20.0).view(1, 1, 4, 5)
    extended = mirror_map(figure)
    assert extended.shape == (1, 1, 4 + 2 * MARGIN, 5 + 2 * MARGIN)
    assert torch.equal(inside(extended), figure)
