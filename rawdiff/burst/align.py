"""Laying one frame on another: the frame's own motion first, then tile by tile as far as the light tells.

A tile's vector is the maximum of a posterior: its pixels say what they can (the structure tensor of the
stabilised grey is their Fisher information), the frame's motion is the prior. A flat tile has nothing to say
and stays with the frame, so nothing wanders.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rawdiff_kernels import align as align_kernel
from rawdiff_kernels import anscombe
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from rawdiff.burst.motion import (
    GlobalMotion,
    correlate_phase,
    gradients,
    look_up,
    pixel_grid,
    reduce_by,
    refine_global,
)

SPACING = 16
"""Distance between vectors in packed pixels; each looks at a tile of twice this side."""
_COARSE, _MIDDLE = 8, 2
_SEARCH = 4
_SMALLEST_DEPARTURE = 0.01
"""Pixels of the half-size grid that a tile may always depart from where it started."""
_CHI_SQUARE_MEDIAN = 0.4549
_REFINEMENTS = 3
_GAIN_NEEDED = 25.0
"""A tile leaves the frame's motion for a searched vector when chi-square falls by this: five deviations."""
CLIP = 0.95
"""Share of white above which a pixel counts as clipped."""


@dataclass(frozen=True, eq=False)
class Grey:
    """Stabilised grey of a frame, `[h, w]` on the packed grid, noise about `noise`, and its coarse copies."""

    fine: Tensor
    noise: float

    def reduced(self, factor: int) -> Tensor:
        """Means over blocks."""
        return reduce_by(self.fine, factor)


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where each tile went: `field` `[gh, gw, 2]` (down, right) in packed pixels, `SPACING` apart.

    `residual` is the mean squared stabilised difference after alignment over what noise gives: 1 where the
    frames agree.
    """

    field: Tensor
    motion: GlobalMotion
    residual: float


def stabilised_grey(planes: Tensor, gain: Tensor, sigma: Tensor, exposure: float, ceiling: float) -> Grey:
    """Mean of the four planes through the Anscombe transform of the reference's noise.

    Every frame of a burst goes through the same curve, so that brackets compare; a frame of another exposure
    then has another noise, which `noise` tells for bright pixels.

    Args:
        planes: packed raw `[4, h, w]`, divided by its exposure.
        gain: of a frame of exposure 1, `[4]`.
        sigma: of a frame of exposure 1, `[4]`.
        exposure: relative exposure of this frame.
        ceiling: light that no frame of the burst clips; above it all frames are flat.
    """
    grey = planes.mean(dim=0).clamp(max=ceiling)
    fine = anscombe.forward(grey, float(gain.mean()) / 4, float((sigma**2).mean().sqrt()) / 2)
    return Grey(fine, exposure**-0.5)


def align_frame(reference: Grey, alternate: Grey) -> Alignment:
    """Find the vectors that lay `alternate` on `reference`.

    Args:
        reference: stabilised grey of the frame that stays.
        alternate: of the frame that is moved, of the same size.
    """
    noise = float((reference.noise**2 + alternate.noise**2) ** 0.5)
    motion = find_global(reference, alternate, noise)
    field = _search_tiles(reference, alternate, motion, noise)
    small = [grey.reduced(_MIDDLE) for grey in (reference, alternate)]
    field = _refine_tiles(small[0], small[1], field / _MIDDLE, noise / _MIDDLE) * _MIDDLE
    residual = _residual(small[0], small[1], field / _MIDDLE, noise / _MIDDLE)
    return Alignment(field, motion, residual)


def find_global(reference: Grey, alternate: Grey, noise: float) -> GlobalMotion:
    """The frame's own shift and rotation, from coarse to fine."""
    small = [grey.reduced(_COARSE) for grey in (reference, alternate)]
    motion = correlate_phase(*small)
    motion = refine_global(small[0], small[1], motion, noise / _COARSE).scaled(_COARSE / _MIDDLE)
    middle = [grey.reduced(_MIDDLE) for grey in (reference, alternate)]
    return refine_global(middle[0], middle[1], motion, noise / _MIDDLE).scaled(_MIDDLE)


def tile_middles(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of the tiles' middles on the packed grid, each `[gh, gw]`."""
    y = torch.arange(-(-height // SPACING)) * SPACING + (SPACING - 1) / 2
    x = torch.arange(-(-width // SPACING)) * SPACING + (SPACING - 1) / 2
    yy, xx = torch.meshgrid(y.float(), x.float(), indexing="ij")
    return yy, xx


def _search_tiles(reference: Grey, alternate: Grey, motion: GlobalMotion, noise: float) -> Tensor:
    """The frame's motion at every tile, replaced where a search at half size finds clearly better."""
    height, width = reference.fine.shape
    y, x = tile_middles(height, width)
    start = torch.stack(motion.vectors(y, x, (height, width)), dim=-1)
    small = [grey.reduced(_MIDDLE) for grey in (reference, alternate)]
    tile, stride = 2 * SPACING // _MIDDLE, SPACING // _MIDDLE
    found, cost = align_kernel.match_tiles(
        small[0], small[1], tile=tile, radius=_SEARCH, start=start / _MIDDLE, metric="l2", stride=stride
    )
    _, stay_cost = align_kernel.match_tiles(
        small[0], small[1], tile=tile, radius=0, start=start / _MIDDLE, metric="l2", stride=stride
    )
    chi_square = (stay_cost - cost) * tile**2 * _MIDDLE**2 / noise**2
    better = (chi_square > _GAIN_NEEDED) & torch.isfinite(cost) & torch.isfinite(stay_cost)
    return torch.where(better[..., None], found * _MIDDLE, start)


def _refine_tiles(reference: Tensor, alternate: Tensor, start: Tensor, noise: float) -> Tensor:
    """Gauss-Newton per tile with the start as prior: (A + 1/tau^2) step = b + (start - v) / tau^2.

    tau, how far tiles really depart from the start, comes from the departures themselves: their mean square
    beyond the covariance A^-1 that noise alone gives (empirical Bayes).
    """
    height, width = reference.shape
    y, x = pixel_grid(height, width)
    slope_y, slope_x = gradients(reference)
    field, prior = start, 0.0
    for _ in range(_REFINEMENTS):
        spread = spread_field(field, height, width, SPACING // _MIDDLE)
        seen, inside = look_up(alternate, y + spread[0], x + spread[1])
        error = reference - seen
        weight = inside / (1 + (error / (3 * noise)) ** 2) / noise**2
        weighted_y, weighted_x = weight * slope_y, weight * slope_x
        products = (weighted_y * slope_y, weighted_y * slope_x, weighted_x * slope_x)
        a, b, c, push_y, push_x = (_tile_sums(p) for p in (*products, weighted_y * error, weighted_x * error))
        if prior == 0.0:
            prior = 1 / _departure(a, c, push_y, push_x)
        push_y = push_y + prior * (start - field)[..., 0]
        push_x = push_x + prior * (start - field)[..., 1]
        a, c = a + prior, c + prior
        det = a * c - b * b
        step = torch.stack([(c * push_y - b * push_x) / det, (a * push_x - b * push_y) / det], dim=-1)
        field = field + step.clamp(-1.0, 1.0)
    return field


def _departure(a: Tensor, c: Tensor, push_y: Tensor, push_x: Tensor) -> float:
    """Variance of the tiles' true departures from where they started, in squared pixels.

    Along each axis a push b has mean A d and variance A under noise: E[b^2] = A + A^2 tau^2. Tiles that moved
    by themselves are few and left out by taking the median of b^2 / A.
    """
    ratios = torch.cat([(push_y**2 / a.clamp(min=1e-12)).ravel(), (push_x**2 / c.clamp(min=1e-12)).ravel()])
    information = torch.cat([a.ravel(), c.ravel()])
    told = information > information.median()
    excess = float(ratios[told].median()) / _CHI_SQUARE_MEDIAN - 1
    return max(excess / float(information[told].median()), _SMALLEST_DEPARTURE**2)


def spread_field(field: Tensor, height: int, width: int, spacing: int) -> Tensor:
    """A field at every pixel, `[2, h, w]`, bilinear between the tiles' middles."""
    size = (field.shape[0] * spacing, field.shape[1] * spacing)
    grown = interpolate(field.permute(2, 0, 1)[None], size=size, mode="bilinear", align_corners=False)
    return grown[0, :, :height, :width]


def _tile_sums(values: Tensor) -> Tensor:
    """Sums over tiles of twice the spacing around every tile's middle, `[gh, gw]`."""
    spacing = SPACING // _MIDDLE
    height, width = values.shape
    rows, columns = -(-height // spacing) * spacing, -(-width // spacing) * spacing
    half = spacing // 2
    padded = torch.nn.functional.pad(values, (half, columns - width + half, half, rows - height + half))
    return avg_pool2d(padded[None, None], 2 * spacing, stride=spacing)[0, 0] * (2 * spacing) ** 2


def _residual(reference: Tensor, alternate: Tensor, field: Tensor, noise: float) -> float:
    """Median over tiles of the mean squared difference, relative to noise: moving objects do not count."""
    height, width = reference.shape
    y, x = pixel_grid(height, width)
    spread = spread_field(field, height, width, SPACING // _MIDDLE)
    seen, inside = look_up(alternate, y + spread[0], x + spread[1])
    squares = _tile_sums(inside * ((reference - seen) / noise) ** 2)
    counts = _tile_sums(inside.float())
    known = counts > (SPACING // _MIDDLE) ** 2
    return float((squares[known] / counts[known]).median()) if bool(known.any()) else float("inf")
