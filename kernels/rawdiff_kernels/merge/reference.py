"""What warping, mismatch and accumulation are, in plain torch; sums in a fixed order, nothing fused."""

from __future__ import annotations

import math
from itertools import product
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from rawdiff_kernels.merge.taps import COLORS, PERIOD, STEPS, Taps
from rawdiff_kernels.rounding import exact_sqrt

TINY = 1e-30
PLANES = 4


class Plane(NamedTuple):
    """The noise of one plane in the data's units: variance = gain light + floor."""

    gain: float
    floor: float

    def stabiliser(self) -> tuple[float, float]:
        """Offset and factor under the root: Anscombe's, raised by 4 gain + 4 sigma.

        Raised, the root bends little where noise is as large as the light, and differences keep a normal
        law down to an electron; what the variance is then is known (`judge`).
        """
        raised = 4.375 * self.gain + 4.0 * math.sqrt(self.floor)
        return self.floor / self.gain + raised, 1.0 / self.gain


class Rule(NamedTuple):
    """How a frame is judged: its exposure, the window, the slack for misregistration, the thresholds.

    `low` and `high` hold, for every number of cells in a window, the mismatch of full and of no weight.
    """

    exposure: float
    radius: int
    slack: float
    low: Tensor
    high: Tensor


def thresholds(radius: int, false_alarm: float) -> tuple[list[float], list[float]]:
    """Mismatch of full and of no weight for 0 to (2 radius + 1)^2 cells of four samples each.

    Half weight lies at the quantile of chi^2_n / n that equal light exceeds with probability `false_alarm`
    (Wilson and Hilferty 1931); no weight one standard normal unit beyond it, full weight as far below.
    """
    z = NormalDist().inv_cdf(1.0 - false_alarm)
    low, high = [0.0], [1.0]
    for cells in range(1, (2 * radius + 1) ** 2 + 1):
        spread = 2.0 / (9.0 * PLANES * cells)
        middle, end = ((1.0 - spread + q * math.sqrt(spread)) ** 3 for q in (z, z + 1.0))
        low.append(2.0 * middle - end)
        high.append(end)
    return low, high


def _between(position: Tensor, count: int, spacing: int, origin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Field points before and after each position, and how far it is on the way."""
    inverse = torch.tensor(1.0 / spacing, dtype=position.dtype, device=position.device)
    way = ((position - torch.tensor(origin).to(position)) * inverse).clamp(0.0, count - 1)
    before = torch.floor(way).clamp(max=max(count - 2, 0))
    index = before.to(torch.int64)
    return index, (index + 1).clamp(max=count - 1), way - before


def displacement(field: Tensor, rows: tuple[int, int], columns: int, spacing: int, origin: float) -> Tensor:
    """The field at every pixel, bilinear between its points and constant beyond; [rows, columns, 2]."""
    y, x = torch.arange(*rows, device=field.device), torch.arange(columns, device=field.device)
    above, below, u = _between(y.to(field.dtype), field.shape[0], spacing, origin)
    left, right, v = _between(x.to(field.dtype), field.shape[1], spacing, origin)
    u, v = u[:, None, None], v[None, :, None]
    upper = field[above][:, left] + v * (field[above][:, right] - field[above][:, left])
    lower = field[below][:, left] + v * (field[below][:, right] - field[below][:, left])
    return upper + u * (lower - upper)


def sites(red: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """CFA sites (row, column) of R, Gr, Gb, B where red has the site `red`."""
    row, column = red
    return (row, column), (row, 1 - column), (1 - row, column), (1 - row, 1 - column)


def warp(
    planes: Tensor, field: Tensor, spacing: int, origin: float, taps: Taps, red: tuple[int, int],
    rows: tuple[int, int],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Read [4, h, w] at p + v(p) for a range of rows: the planes, and the share of the noise that is left."""
    width = planes.shape[2]
    # In steps of the mosaic's pixels: a cell moves as one.
    shift = torch.floor(displacement(field, rows, width, spacing, origin) * float(2 * STEPS) + 0.5)
    down, across = shift[..., 0].to(torch.int64), shift[..., 1].to(torch.int64)
    y = torch.arange(*rows, device=field.device)[:, None] * PERIOD + down
    x = torch.arange(width, device=field.device) * PERIOD + across
    inside = torch.ones_like(y, dtype=torch.bool)
    found, shares = [], []
    for (row, column), color in zip(sites(red), COLORS, strict=True):
        value, share, exists = _read(planes, y + row * STEPS, x + column * STEPS, taps, red, color)
        inside &= exists
        found.append(value)
        shares.append(share)
    share = (((shares[0] + shares[1]) + shares[2]) + shares[3]) * 0.25
    return torch.where(inside, torch.stack(found), 0.0), torch.where(inside, share, 0.0)


def _read(
    planes: Tensor, y: Tensor, x: Tensor, taps: Taps, red: tuple[int, int], color: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One colour of the mosaic at (y, x), counted in steps; its share, and whether all samples exist."""
    _, height, width = planes.shape
    place = (y - red[0] * STEPS) % PERIOD, (x - red[1] * STEPS) % PERIOD
    weights, count = taps.weights[color][place], taps.weights.shape[-1]
    top, left = (torch.div(part, STEPS, rounding_mode="floor") - count + 1 for part in (y, x))
    inside, lanes = torch.ones_like(y, dtype=torch.bool), []
    for k, m in product(range(count), repeat=2):
        lane = planes.new_zeros(y.shape)
        for plane, (row, column) in enumerate(sites(red)):
            at_y, at_x = ((top - row + 1) >> 1) + k, ((left - column + 1) >> 1) + m
            weight = weights[..., plane, k, m]
            there = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
            inside &= there | (weight == 0.0)
            sample = planes[plane, at_y.clamp(0, height - 1), at_x.clamp(0, width - 1)]
            lane = lane + torch.where(weight == 0.0, 0.0, weight * sample)
        lanes.append(lane)
    value = lanes[0]
    for lane in lanes[1:]:
        value = value + lane
    return value, taps.shares[color][place], inside


def window_sum(values: Tensor, radius: int) -> Tensor:
    """Sum over (2 radius + 1)^2 pixels, along the rows first, nothing added beyond the frame."""
    for dim in (1, 0):
        size = values.shape[dim]
        border = values.new_zeros([radius if d == dim else s for d, s in enumerate(values.shape)])
        wide = torch.cat((border, values, border), dim)
        total = wide.narrow(dim, 0, size)
        for k in range(1, 2 * radius + 1):
            total = total + wide.narrow(dim, k, size)
        values = total
    return values


def is_valid(sample: Tensor, share: Tensor) -> Tensor:
    """Cells that have all four samples: a share above 0 and no NaN."""
    return (share > 0.0) & ~sample.isnan().any(0)


def mismatch(
    estimate: Tensor, variance: Tensor, sample: Tensor, share: Tensor, planes: list[Plane], exposure: float,
    radius: int,
) -> Tensor:  # fmt: skip
    """Energy and shift of the differences in a window, [2, h, w]; see `op.mismatch`."""
    valid = is_valid(sample, share)
    zero, e = torch.zeros_like(share), share.new_tensor(exposure)
    area = window_sum(torch.ones_like(share), radius)
    count = window_sum(valid.to(share.dtype), radius)
    energy, shift = zero, zero
    for k, plane in enumerate(planes):
        light = (window_sum(estimate[k], radius) / area).clamp(min=0.0)
        gain, floor = share.new_tensor(plane.gain), share.new_tensor(plane.floor)
        expected = variance[k] + share * (gain * light / e + floor / (e * e))
        expected = torch.where(valid, expected.clamp(min=TINY), zero)
        difference = torch.where(valid, sample[k] - estimate[k], zero)
        energy = energy + torch.where(valid, difference * difference / expected, zero)
        push = window_sum(difference, radius)
        shift = shift + push * push / window_sum(expected, radius).clamp(min=TINY)
    mean = window_sum(energy, radius) / (count.clamp(min=1.0) * 4.0)
    return torch.stack((mean, shift * 0.25))


def _stabilise(value: Tensor, plane: Plane) -> Tensor:
    """2 sqrt((x + offset) / gain), whose noise changes little with the light."""
    offset, inverse = (value.new_tensor(c) for c in plane.stabiliser())
    return 2.0 * exact_sqrt(((value + offset) * inverse).clamp(min=0.0))


def _slope_power(stable: Tensor) -> Tensor:
    """Squared central difference down plus across, borders repeated."""
    height, width = stable.shape
    y, x = torch.arange(height, device=stable.device), torch.arange(width, device=stable.device)
    down = stable[(y + 1).clamp(max=height - 1)] - stable[(y - 1).clamp(min=0)]
    across = stable[:, (x + 1).clamp(max=width - 1)] - stable[:, (x - 1).clamp(min=0)]
    return 0.25 * (down * down + across * across)


def judge(
    light: Tensor, before: Tensor, own: Tensor, sample: Tensor, share: Tensor, planes: list[Plane], rule: Rule
) -> Tensor:
    """Trust of each cell, [h, w]: from the stabilised differences of its window.

    `light` [4, h, w] has the exposure `before` and a variance of `own` times one reference frame's.
    """
    e = light.new_tensor(rule.exposure)
    by_shot, by_read = share / e, share / (e * e)
    squares, expected, slopes = (torch.zeros_like(before) for _ in range(3))
    for value, found, plane in zip(light, sample, planes, strict=True):
        gain, floor = light.new_tensor(plane.gain), light.new_tensor(plane.floor)
        stable = _stabilise(value, plane)
        difference = stable - _stabilise(found, plane)
        photons = gain * ((value * before + found * e) / (before + e)).clamp(min=0.0)
        noise = photons + floor
        part = photons / noise.clamp(min=TINY)
        # Variance of T under unit noise: T'(m)^2 (gain m + floor).
        unit = noise / (photons + gain * light.new_tensor(plane.stabiliser()[0]))
        squares = squares + difference * difference
        expected = expected + unit * (own + (part * by_shot + (1.0 - part) * by_read))
        slopes = slopes + (_slope_power(stable) - unit * own)
    valid = is_valid(sample, share)
    parts = (*(torch.where(valid, t, 0.0) for t in (squares, expected, slopes)), valid.to(before.dtype))
    squares, expected, slopes, count = (window_sum(part, rule.radius) for part in parts)
    allowed = (expected + light.new_tensor(rule.slack) * slopes.clamp(min=0.0)).clamp(min=TINY)
    index = count.to(torch.int64)
    low, high = rule.low[index], rule.high[index]
    t = ((high - squares / allowed) / (high - low)).clamp(0.0, 1.0)
    return torch.where(valid, (t * t) * (3.0 - 2.0 * t), 0.0)


def add(
    total: Tensor,
    weight: Tensor,
    square: Tensor,
    sample: Tensor,
    share: Tensor,
    trust: Tensor,
    exposure: float,
) -> None:
    """Add a frame to the sums, in place, where its trust is above 0."""
    e = weight.new_tensor(exposure)
    used = (trust > 0.0) & is_valid(sample, share)
    w = torch.where(used, trust * e, 0.0)
    total.add_(torch.where(used, w * sample, 0.0))
    weight.add_(w)
    square.add_(w * w * share / e)
