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
from torch.nn.functional import avg_pool2d, pad

from rawdiff.burst.motion import (
    GlobalMotion,
    correlate_phase,
    fixed_sum,
    gradients,
    look_up,
    pixel_grid,
    reduce_by,
    refine_global,
    tells_motion,
)

TILE, STRIDE = 32, 16
"""Side of a tile and distance to the next, in packed pixels: tiles overlap by half."""
_COARSE, _MIDDLE = 8, 2
_TILE, _STRIDE = TILE // _MIDDLE, STRIDE // _MIDDLE
assert _TILE == 2 * _STRIDE
_SEARCH = 4
_SMALLEST_DEPARTURE = 0.01
"""Pixels of the half-size grid that a tile may always depart from where it started."""
_CHI_SQUARE_MEDIAN = 0.4549
_REFINEMENTS = 3
_GAIN_NEEDED = 25.0
"""A tile leaves the frame's motion for a searched vector when chi-square falls by this."""
_MISFIT_LEFT = 0.6
_WITHIN = 1.2
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
    """Where each tile went: `field` `[Ty, Tx, 2]` (down, right) in packed pixels, tiles as `TILE`, `STRIDE`.

    `residual` is the mean squared stabilised difference of the typical tile over what noise gives: 1 where
    the frames agree, more where detail finer than the pixels differs from frame to frame. `unexplained` is
    the share of what both frames show beyond noise that does not agree: 0 for the same scene, 1 for another.
    """

    field: Tensor
    motion: GlobalMotion
    residual: float
    unexplained: float


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
    noise = float((reference.noise**2 + alternate.noise**2) ** 0.5) / _MIDDLE
    motion = find_global(reference, alternate)
    ours, theirs = (grey.reduced(_MIDDLE) for grey in (reference, alternate))
    start = _global_field(motion, ours.shape[0], ours.shape[1])
    field = _refine_tiles(ours, theirs, start, noise)
    misfit = _misfit(ours, theirs, field, noise)
    field, misfit = _search_unexplained(ours, theirs, field, misfit, noise)
    known = torch.isfinite(misfit)
    residual = float(misfit[known].median()) if bool(known.any()) else float("inf")
    unexplained = _unexplained(ours, theirs, field, noise)
    return Alignment(field * _MIDDLE, motion.scaled(_MIDDLE), residual, unexplained)


def find_global(reference: Grey, alternate: Grey) -> GlobalMotion:
    """The frame's own shift and rotation, from coarse to fine, in pixels of the half-size grid.

    A level whose picture holds nothing beyond noise is passed over.
    """
    noise = float((reference.noise**2 + alternate.noise**2) ** 0.5)
    small = [grey.reduced(_COARSE) for grey in (reference, alternate)]
    motion = GlobalMotion()
    if tells_motion(small[0], reference.noise / _COARSE):
        motion = refine_global(small[0], small[1], correlate_phase(*small), noise / _COARSE)
        motion = motion.scaled(_COARSE / _MIDDLE)
    middle = [grey.reduced(_MIDDLE) for grey in (reference, alternate)]
    if not tells_motion(middle[0], reference.noise / _MIDDLE):
        return motion
    return refine_global(middle[0], middle[1], motion, noise / _MIDDLE)


def _global_field(motion: GlobalMotion, height: int, width: int) -> Tensor:
    """The frame's motion at every tile of the half-size grid, `[Ty, Tx, 2]`."""
    rows, columns = align_kernel.tile_grid(height, width, _TILE, _STRIDE)
    y = (torch.arange(rows) * _STRIDE + (_TILE - 1) / 2)[:, None].expand(rows, columns)
    x = (torch.arange(columns) * _STRIDE + (_TILE - 1) / 2).expand(rows, columns)
    return torch.stack(motion.vectors(y, x, (height, width)), dim=-1)


def _search_unexplained(
    reference: Tensor, alternate: Tensor, field: Tensor, misfit: Tensor, noise: float
) -> tuple[Tensor, Tensor]:
    """Search around tiles that the frame's motion does not explain; keep what explains them clearly better.

    A tile's misfit times its pixels is chi-square: a vector is taken where that falls by `_GAIN_NEEDED`, and
    to a good part, since aliased detail leaves a misfit at the true vector too.
    """
    pixels = _TILE**2
    unexplained = misfit > 1 + 5 * (2 / pixels) ** 0.5
    if not bool(unexplained.any()):
        return field, misfit
    found, cost = align_kernel.match_tiles(reference, alternate, _TILE, _SEARCH, field, stride=_STRIDE)
    tried = torch.where((unexplained & torch.isfinite(cost))[..., None], found, field)
    tried = _refine_tiles(reference, alternate, tried, noise)
    misfit_tried = _misfit(reference, alternate, tried, noise)
    better = ((misfit - misfit_tried) * pixels > _GAIN_NEEDED) & (misfit_tried < _MISFIT_LEFT * misfit)
    return torch.where(better[..., None], tried, field), torch.where(better, misfit_tried, misfit)


def _refine_tiles(reference: Tensor, alternate: Tensor, start: Tensor, noise: float) -> Tensor:
    """Gauss-Newton per tile with the start as prior: (A + 1/tau^2) step = b + (start - v) / tau^2.

    tau, how far tiles really depart from the start, comes from the departures themselves: their mean square
    beyond the covariance A^-1 that noise alone gives (empirical Bayes).
    """
    slope_y, slope_x = gradients(reference)
    field, prior = start, 0.0
    for _ in range(_REFINEMENTS):
        seen, inside = _look_along(alternate, field)
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
    if not bool(told.any()):
        return _SMALLEST_DEPARTURE**2
    excess = float(ratios[told].median()) / _CHI_SQUARE_MEDIAN - 1
    return max(excess / float(information[told].median()), _SMALLEST_DEPARTURE**2)


def spread_field(field: Tensor, height: int, width: int, tile: int, stride: int) -> Tensor:
    """A field `[Ty, Tx, 2]` at every pixel, `[2, h, w]`: bilinear between tiles, constant outside."""
    spread = field.permute(2, 0, 1)
    for axis, size in ((1, height), (2, width)):
        last = spread.shape[axis] - 1
        place = ((torch.arange(size) - (tile - 1) / 2) / stride).clamp(0, last)
        low = place.floor().long().clamp(max=max(last - 1, 0))
        share = (place - low).view(-1, 1) if axis == 1 else place - low
        spread = torch.lerp(
            spread.index_select(axis, low), spread.index_select(axis, (low + 1).clamp(max=last)), share
        )
    return spread


def _tile_sums(values: Tensor) -> Tensor:
    """Sums over the tiles of the half-size grid, `[Ty, Tx]`."""
    height, width = values.shape
    rows, columns = align_kernel.tile_grid(height, width, _TILE, _STRIDE)
    below, beside = (rows - 1) * _STRIDE + _TILE - height, (columns - 1) * _STRIDE + _TILE - width
    padded = pad(values, (0, max(beside, 0), 0, max(below, 0)))
    # A tile is four squares, each of them shared with its neighbours: every pixel is added once.
    squares = avg_pool2d(padded[None, None], _STRIDE, divisor_override=1)[0, 0]
    pairs = squares[:rows] + squares[1 : rows + 1]
    return pairs[:, :columns] + pairs[:, 1 : columns + 1]


def _look_along(alternate: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """What `alternate` shows where the field sends every pixel, and where that lies inside it."""
    height, width = alternate.shape
    y, x = pixel_grid(height, width)
    spread = spread_field(field, height, width, _TILE, _STRIDE)
    return look_up(alternate, y + spread[0], x + spread[1])


def _misfit(reference: Tensor, alternate: Tensor, field: Tensor, noise: float) -> Tensor:
    """Mean squared difference of every tile over what noise gives, `[Ty, Tx]`; infinite where unseen."""
    seen, inside = _look_along(alternate, field)
    squares = _tile_sums(inside * ((reference - seen) / noise) ** 2)
    counts = _tile_sums(inside.float())
    return torch.where(counts > _STRIDE**2, squares / counts.clamp(min=1), torch.inf)


def _unexplained(reference: Tensor, alternate: Tensor, field: Tensor, noise: float) -> float:
    """Squared difference beyond noise over that of unrelated frames, s_1^2 + s_2^2 + (m_1 - m_2)^2.

    m and s^2 are a frame's mean and its variance beyond noise. 0 where the difference is within `_WITHIN` of
    noise alone: then nothing tells the frames apart. 1 where they overlap by less than a quarter.
    """
    seen, inside = _look_along(alternate, field)
    count = fixed_sum(inside.float())
    if count < reference.numel() / 4:
        return 1.0
    means = [fixed_sum(inside * image) / count for image in (reference, seen)]
    squares = [
        fixed_sum(inside * (image - mean) ** 2) for image, mean in zip((reference, seen), means, strict=True)
    ]
    difference = fixed_sum(inside * (reference - seen) ** 2) / count
    unrelated = sum(squares) / count + (means[0] - means[1]) ** 2
    if difference < _WITHIN * noise**2:
        return 0.0
    excess = difference - noise**2
    return excess / max(unrelated - noise**2, excess)
