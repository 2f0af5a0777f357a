"""Drawings of a burst's page."""

from __future__ import annotations

import torch

from rawdiff.burst.align import STRIDE, TILE, Alignment

_WIDTH = 460
_ACROSS = 22
_LONGER = 20.0
_FAR_PX = 1.0
"""Mosaic pixels from which on a departure is drawn in the warning colour."""


def draw_vectors(alignment: Alignment, shape: tuple[int, int]) -> str:
    """Tiles' departures from the frame's motion as arrows, `_LONGER` times their length; SVG text.

    Args:
        alignment: of one frame.
        shape: rows and columns of the mosaic.
    """
    height, width = shape
    scale = _WIDTH / width
    rows, columns, _ = alignment.field.shape
    y = (torch.arange(rows) * STRIDE + (TILE - 1) / 2)[:, None].expand(rows, columns)
    x = (torch.arange(columns) * STRIDE + (TILE - 1) / 2).expand(rows, columns)
    whole = torch.stack(alignment.motion.vectors(y, x, (height // 2, width // 2)), dim=-1)
    departure = 2 * (alignment.field - whole)
    step = max(1, columns // _ACROSS)
    marks = []
    for row in range(step // 2, rows, step):
        for column in range(step // 2, columns, step):
            down, right = departure[row, column].tolist()
            top, left = (2 * float(at[row, column]) * scale for at in (y, x))
            end = left + right * _LONGER * scale, top + down * _LONGER * scale
            color = "#d55e00" if (down**2 + right**2) ** 0.5 > _FAR_PX else "#0072b2"
            marks.append(f'<path d="M{left:.1f} {top:.1f}L{end[0]:.1f} {end[1]:.1f}" stroke="{color}"/>')
            marks.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="1.2" fill="{color}"/>')
    tall = height * scale
    return (
        f'<svg viewBox="0 0 {_WIDTH} {tall:.0f}" width="{_WIDTH}" role="img" aria-label="alignment vectors">'
        f'<rect class="box" width="{_WIDTH}" height="{tall:.0f}"/>{"".join(marks)}</svg>'
    )
