"""High-quality linear interpolation for demosaicing of Bayer-patterned color images.

H. S. Malvar, L. He, R. Cutler, ICASSP 2004, figure 2: bilinear interpolation corrected by the Laplacian
of the colour that was measured at the pixel; every filter in units of 1/8.
"""

from __future__ import annotations

import torch

from rawdiff.raw.demosaic.lattice import Colors, Lattice, Site

REACH = 2
MARGIN = 1


def green_at(lattice: Lattice, site: Site) -> torch.Tensor:
    """Green at a red or blue site."""
    near = lattice.pair(site, 0, 1, 0) + lattice.pair(site, 1, 0, 0)
    far = lattice.pair(site, 0, 2, 0) + lattice.pair(site, 2, 0, 0)
    return (4.0 * lattice.at(site, 0, 0, 0) + 2.0 * near - far) * 0.125


def color_at_green(lattice: Lattice, site: Site, *, beside: bool) -> torch.Tensor:
    """Red or blue at a green site, its samples `beside` (left and right) or above and below."""
    near = lattice.pair(site, 0, 1, 0) if beside else lattice.pair(site, 1, 0, 0)
    along = lattice.pair(site, 0, 2, 0) if beside else lattice.pair(site, 2, 0, 0)
    across = lattice.pair(site, 2, 0, 0) if beside else lattice.pair(site, 0, 2, 0)
    corners = lattice.pair(site, 1, 1, 0) + lattice.pair(site, 1, -1, 0)
    center = 5.0 * lattice.at(site, 0, 0, 0)
    return (center + 4.0 * near + 0.5 * across - along - corners) * 0.125


def opposite_at(lattice: Lattice, site: Site) -> torch.Tensor:
    """Red at a blue site, or blue at a red one."""
    corners = lattice.pair(site, 1, 1, 0) + lattice.pair(site, 1, -1, 0)
    far = lattice.pair(site, 0, 2, 0) + lattice.pair(site, 2, 0, 0)
    return (6.0 * lattice.at(site, 0, 0, 0) + 2.0 * corners - 1.5 * far) * 0.125


def interpolate(lattice: Lattice, red: Site) -> Colors:
    """R, G, B of every site from a balanced mosaic lattice with a margin of one cell."""
    blue = (1 - red[0], 1 - red[1])
    red_row, blue_row = (red[0], blue[1]), (blue[0], red[1])

    def own(site: Site) -> torch.Tensor:
        return lattice.at(site, 0, 0, 0)

    return {
        red: (own(red), green_at(lattice, red), opposite_at(lattice, red)),
        red_row: (
            color_at_green(lattice, red_row, beside=True),
            own(red_row),
            color_at_green(lattice, red_row, beside=False),
        ),
        blue_row: (
            color_at_green(lattice, blue_row, beside=False),
            own(blue_row),
            color_at_green(lattice, blue_row, beside=True),
        ),
        blue: (opposite_at(lattice, blue), green_at(lattice, blue), own(blue)),
    }
