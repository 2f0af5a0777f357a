"""Demosaicing with directional filtering and a posteriori decision.

D. Menon, S. Andriani, G. Calvagno, IEEE Transactions on Image Processing 16(1), 2007: green is interpolated
along rows and along columns, the direction with the smoother chrominance wins, red and blue follow green,
and a refining step takes the high frequencies of each pixel from the colour that was measured there.
"""

from __future__ import annotations

import torch

from rawdiff.raw.demosaic.lattice import Colors, Lattice, Site

REACH = 8
MARGIN = 6
"""Cells that the steps use up one after the other; wider than the reach, as a cell is two pixels."""

_ROW, _COLUMN = (0, 1), (1, 0)
_THIRD = 1.0 / 3.0
Planes = dict[Site, torch.Tensor]


def interpolate(mosaic: Lattice, red: Site) -> Colors:
    """R, G, B of every site from a balanced mosaic lattice with a margin of `MARGIN` cells."""
    blue = (1 - red[0], 1 - red[1])
    red_row, blue_row = (red[0], blue[1]), (blue[0], red[1])
    greens, others = (red_row, blue_row), (red, blue)

    green, rows_win = _choose_green(mosaic, others, greens, margin=4)
    reds, blues = _follow_green(mosaic, green, red, 3), _follow_green(mosaic, green, blue, 3)
    gap = _gap(reds, blues, greens)
    centers = {site: _inset(0.5 * _along(gap, site, rows_win, 2), 1) for site in others}

    green = Lattice(
        {site: green.at(site, 0, 0, 2) for site in greens}
        | {
            red: mosaic.at(red, 0, 0, 2) - _smooth(_gap(reds, green, (*greens, red)), red, rows_win, 2),
            blue: mosaic.at(blue, 0, 0, 2) - _smooth(_gap(blues, green, (*greens, blue)), blue, rows_win, 2),
        },
        2,
    )
    reds, blues = _follow_green(mosaic, green, red, 1), _follow_green(mosaic, green, blue, 1)
    gap = Lattice(_gap(reds, blues, greens).planes | centers, 1)
    opposite = {
        red: mosaic.at(red, 0, 0, 0) - _smooth(gap, red, rows_win, 0),
        blue: mosaic.at(blue, 0, 0, 0) + _smooth(gap, blue, rows_win, 0),
    }
    colors: Colors = {
        site: (reds.at(site, 0, 0, 0), mosaic.at(site, 0, 0, 0), blues.at(site, 0, 0, 0)) for site in greens
    }
    colors[red] = (mosaic.at(red, 0, 0, 0), green.at(red, 0, 0, 0), opposite[red])
    colors[blue] = (opposite[blue], green.at(blue, 0, 0, 0), mosaic.at(blue, 0, 0, 0))
    return colors


def _choose_green(
    mosaic: Lattice, others: tuple[Site, Site], greens: tuple[Site, Site], margin: int
) -> tuple[Lattice, Planes]:
    """Green everywhere, and where the row won: the direction whose chrominance varies less (section III)."""
    along_row = {site: _directional_green(mosaic, site, _ROW, margin + 1) for site in others}
    along_column = {site: _directional_green(mosaic, site, _COLUMN, margin + 1) for site in others}
    row_activity = _chroma_gradients(mosaic, along_row, _ROW, margin + 1)
    column_activity = _chroma_gradients(mosaic, along_column, _COLUMN, margin + 1)
    rows_win = {
        site: _activity(column_activity, site, _COLUMN, margin) >= _activity(row_activity, site, _ROW, margin)
        for site in others
    }
    chosen = {
        site: torch.where(rows_win[site], _inset(along_row[site], 1), _inset(along_column[site], 1))
        for site in others
    }
    return Lattice({site: mosaic.at(site, 0, 0, margin) for site in greens} | chosen, margin), rows_win


def _directional_green(mosaic: Lattice, site: Site, step: Site, margin: int) -> torch.Tensor:
    """Green at a red or blue site along one direction (equation 1: Hamilton and Adams' five taps)."""
    near = mosaic.pair(site, *step, margin)
    far = mosaic.pair(site, 2 * step[0], 2 * step[1], margin)
    return 0.5 * (near + mosaic.at(site, 0, 0, margin)) - 0.25 * far


def _chroma_gradients(mosaic: Lattice, green: Planes, step: Site, margin: int) -> Lattice:
    """|C(x) - C(x + 2 step)| of the chrominance C = colour - green, kept at x."""
    planes = {}
    for site, plane in green.items():
        chroma = mosaic.at(site, 0, 0, margin) - plane
        steps = torch.diff(chroma, dim=1 if step == _ROW else 0).abs_()
        edge = (0, 1) if step == _ROW else (0, 0, 0, 1)
        planes[site] = torch.nn.functional.pad(steps, edge)
    return Lattice(planes, margin)


def _activity(gradients: Lattice, site: Site, step: Site, margin: int) -> torch.Tensor:
    """Weighted sum of the gradients in the 5x5 window, those through the centre threefold (section III)."""
    down, right = step
    across = (right, down)
    back = (-2 * down, -2 * right)

    def gradient(offset: Site) -> torch.Tensor:
        return gradients.at(site, *offset, margin)

    total = 3.0 * (gradient((0, 0)) + gradient(back))
    for side in (-1, 1):
        shift = (2 * side * across[0], 2 * side * across[1])
        total += gradient(shift)
        total += gradient((shift[0] + back[0], shift[1] + back[1]))
        total += gradient((side * across[0] - down, side * across[1] - right))
    return total


def _follow_green(mosaic: Lattice, green: Lattice, color: Site, margin: int) -> Lattice:
    """Red or blue (measured at `color`) at the greens, by bilinear interpolation of colour minus green."""
    gap = _gap(mosaic, green, (color,))
    beside, below = (color[0], 1 - color[1]), (1 - color[0], color[1])
    return Lattice(
        {
            color: mosaic.at(color, 0, 0, margin),
            beside: green.at(beside, 0, 0, margin) + 0.5 * gap.pair(beside, *_ROW, margin),
            below: green.at(below, 0, 0, margin) + 0.5 * gap.pair(below, *_COLUMN, margin),
        },
        margin,
    )


def _gap(first: Lattice, second: Lattice, sites: tuple[Site, ...]) -> Lattice:
    """Difference of two colours at the sites that hold both."""
    margin = min(first.margin, second.margin)
    return Lattice(
        {site: first.at(site, 0, 0, margin) - second.at(site, 0, 0, margin) for site in sites}, margin
    )


def _along(gap: Lattice, site: Site, rows_win: Planes, margin: int) -> torch.Tensor:
    """Sum of the two neighbours in the winning direction."""
    spare = (rows_win[site].shape[0] - gap.at(site, *_ROW, margin).shape[0]) // 2
    wins = _inset(rows_win[site], spare)
    return torch.where(wins, gap.pair(site, *_ROW, margin), gap.pair(site, *_COLUMN, margin))


def _smooth(gap: Lattice, site: Site, rows_win: Planes, margin: int) -> torch.Tensor:
    """Mean of three pixels in the winning direction: the low-pass of the refining step (section V)."""
    return (gap.at(site, 0, 0, margin) + _along(gap, site, rows_win, margin)) * _THIRD


def _inset(plane: torch.Tensor, cells: int) -> torch.Tensor:
    """Take `cells` off every side."""
    return plane[cells : plane.shape[0] - cells, cells : plane.shape[1] - cells]
