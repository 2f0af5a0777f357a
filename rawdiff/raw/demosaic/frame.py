"""Demosaicing a frame, strip by strip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from rawdiff.raw.demosaic import malvar, menon
from rawdiff.raw.demosaic.lattice import SITES, Colors, Lattice, Site, extend
from rawdiff.raw.frame import CfaPhase, plane_sites

Method = Literal["malvar", "menon"]


@dataclass(frozen=True)
class _Interpolator:
    interpolate: Callable[[Lattice, Site], Colors]
    reach: int
    margin: int


_INTERPOLATORS: dict[str, _Interpolator] = {
    "malvar": _Interpolator(malvar.interpolate, malvar.REACH, malvar.MARGIN),
    "menon": _Interpolator(menon.interpolate, menon.REACH, menon.MARGIN),
}

METHODS: tuple[Method, ...] = ("malvar", "menon")

HALO: dict[Method, int] = {"malvar": malvar.REACH, "menon": menon.REACH}
"""Reach of each method in pixels, even: a tile with this halo gives the same bits as the whole frame."""

_STRIP_ELEMENTS = 1 << 18
"""Pixels in a strip, so that the planes of one strip stay in a core's cache."""


def demosaic(
    mosaic: torch.Tensor,
    phase: CfaPhase,
    method: Method = "menon",
    balance: tuple[float, float, float] | torch.Tensor = (1.0, 1.0, 1.0),
) -> torch.Tensor:
    """Interpolate the two missing colours of every pixel of a Bayer mosaic.

    The measured samples come back untouched. The missing ones are found on data multiplied by `balance`,
    where a grey object has equal colours as the methods assume, and divided by it again. Beyond the
    frame the mosaic is mirrored, which keeps its phase. No clipping: negatives and highlights pass.

    Args:
        mosaic: `[H, W]` float32, black 0, white 1, not white-balanced; H and W even.
        phase: colours of its first 2x2 cell.
        method: 'malvar' (Malvar, He, Cutler 2004) or 'menon' (Menon, Andriani, Calvagno 2007).
        balance: white balance gains of R, G, B, above 0.

    Returns:
        Camera RGB `[3, H, W]` float32 in the mosaic's own scale.

    Raises:
        ValueError: an unknown method, a mosaic without whole cells, or gains that are not above 0.
    """
    height, width = mosaic.shape
    if method not in _INTERPOLATORS:
        raise ValueError(f"no demosaicing method '{method}'; there are {', '.join(METHODS)}")
    if height < 2 or width < 2 or height % 2 or width % 2:
        raise ValueError(f"a mosaic has whole 2x2 cells, not {height}x{width}")
    gains = tuple(float(gain) for gain in balance)
    if len(gains) != 3 or not all(gain > 0 for gain in gains):
        raise ValueError(f"balance needs three gains above 0, got {gains}")
    output = mosaic.new_empty((3, height, width))
    rows = max(2, _STRIP_ELEMENTS // width // 2 * 2)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        _demosaic_rows(mosaic, top, bottom, phase, _INTERPOLATORS[method], gains, output)
    return output


def _demosaic_rows(
    mosaic: torch.Tensor,
    top: int,
    bottom: int,
    phase: CfaPhase,
    method: _Interpolator,
    gains: tuple[float, ...],
    output: torch.Tensor,
) -> None:
    """Fill rows `top` to `bottom` of `output`."""
    red, green_red, green_blue, blue = plane_sites(phase)
    measured = {red: 0, green_red: 1, green_blue: 1, blue: 2}
    lattice = Lattice.split(extend(mosaic, top, bottom, 2 * method.margin), method.margin)
    balanced = Lattice({site: lattice.planes[site] * gains[measured[site]] for site in SITES}, method.margin)
    colors = method.interpolate(balanced, red)
    for site in SITES:
        for channel, plane in enumerate(colors[site]):
            target = output[channel, top + site[0] : bottom : 2, site[1] :: 2]
            if channel == measured[site]:
                target.copy_(mosaic[top + site[0] : bottom : 2, site[1] :: 2])
            else:
                torch.div(plane, gains[channel], out=target)
