"""Counted light in plain torch: these functions define what every route returns, bit for bit.

Only operations that IEEE 754 rounds correctly are used (+, -, *, /, sqrt, floor, comparisons, in float64)
and none are fused, so that a compiled loop or a GPU kernel reaches the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from rawdiff_kernels.rounding import exact_sqrt

FourWords = tuple[Tensor, Tensor, Tensor, Tensor]

_WORD = 0xFFFFFFFF
PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
PHILOX_WEYL = (0x9E3779B9, 0xBB67AE85)

BITS_BLOCK = 255
MAX_BLOCKS = 64
INVERSION_BELOW = 10.0
INVERSION_CAP = 128

TWO_PI = 6.283185307179586
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
_LOG_TERMS = tuple(2.0 / (2 * i + 1) for i in range(11))
_EXP_TERMS = tuple(1.0 / math.factorial(i) for i in range(15))
FACTORIAL_TAIL = (
    0.08106146679532726, 0.0413406959554093, 0.02767792568499834, 0.020790672103765094,
    0.016644691189821193, 0.013876128823070748, 0.01189670994589177, 0.010411265261972096,
    0.009255462182712733, 0.00833056343336287,
)  # fmt: skip
_STIRLING = (1 / 12, 1 / 360, 1 / 1260, 1 / 1680)


class Draw(NamedTuple):
    """Which random numbers an element gets: its place in the frame, the seed, the stream."""

    column: Tensor
    row: Tensor
    plane: Tensor
    seed: int
    stream: int

    def at(self, chosen: Tensor) -> Draw:
        """Keep the elements that a boolean or index tensor chooses."""
        return Draw(self.column[chosen], self.row[chosen], self.plane[chosen], self.seed, self.stream)

    def block(self, number: int) -> FourWords:
        """Four words per element: block `number` of its stream."""
        last = torch.full_like(self.column, (self.stream << 8) | number)
        return philox((self.column, self.row, self.plane, last), self.seed)


def number_elements(
    planes: int,
    rows: int,
    columns: int,
    seed: int,
    stream: int,
    origin: tuple[int, int],
    device: torch.device,
) -> Draw:
    """Number the elements of `[planes, rows, columns]`, flat; `origin` is the place of the first one."""
    column = torch.arange(columns, device=device) + origin[1]
    row = torch.arange(rows, device=device) + origin[0]
    plane = torch.arange(planes, device=device)
    shape = (planes, rows, columns)
    return Draw(
        column.view(1, 1, -1).expand(shape).reshape(-1),
        row.view(1, -1, 1).expand(shape).reshape(-1),
        plane.view(-1, 1, 1).expand(shape).reshape(-1),
        seed,
        stream,
    )


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox-4x32-10: four 32-bit words (in int64) from a 128-bit counter and a 64-bit key.

    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.3.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = seed & _WORD, (seed >> 32) & _WORD
    for _ in range(10):
        # The product wraps modulo 2^64 in int64, which keeps all 64 bits; the mask undoes the sign.
        first, second = c0 * PHILOX_MULTIPLIERS[0], c2 * PHILOX_MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((second >> 32) & _WORD) ^ c1 ^ k0,
            second & _WORD,
            ((first >> 32) & _WORD) ^ c3 ^ k1,
            first & _WORD,
        )
        k0, k1 = (k0 + PHILOX_WEYL[0]) & _WORD, (k1 + PHILOX_WEYL[1]) & _WORD
    return c0, c1, c2, c3


def random_bits(draw: Draw) -> Tensor:
    """One 32-bit word per element, as the bit pattern of an int32: word `column mod 4` of a shared block."""
    lane = draw.column & 3
    words = torch.stack(draw._replace(column=draw.column >> 2).block(BITS_BLOCK), dim=-1)
    word = words.gather(-1, lane.unsqueeze(-1)).squeeze(-1)
    return torch.where(word > 0x7FFFFFFF, word - (1 << 32), word).to(torch.int32)


def to_unit(bits: Tensor) -> Tensor:
    """Uniform float32 in [0, 1) from the upper 24 bits of each word, so that every value is exact."""
    return ((bits.to(torch.int64) & _WORD) >> 8).to(torch.float32) * 2.0**-24


def log(x: Tensor) -> Tensor:
    """Natural logarithm of positive normal float64, error below 2 ulp.

    x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m = 2 (f + f^3/3 + ...) with f = (m-1)/(m+1).
    """
    bits = x.view(torch.int64)
    exponent = (bits >> 52) - 1023
    mantissa = ((bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000).view(torch.float64)
    above = mantissa > 1.4142135623730951
    mantissa = torch.where(above, mantissa * 0.5, mantissa)
    scale = (exponent + above.to(torch.int64)).to(torch.float64)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    square = f * f
    series = torch.full_like(f, _LOG_TERMS[-1])
    for term in reversed(_LOG_TERMS[:-1]):
        series = series * square + term
    return scale * LN2_HIGH + (f * series + scale * LN2_LOW)


def exp(x: Tensor) -> Tensor:
    """Exponential of float64 in [-700, 0], error below 2 ulp: 2^n times a Taylor series of |r| <= ln2 / 2."""
    n = torch.floor(x * 1.4426950408889634 + 0.5)
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    series = torch.full_like(x, _EXP_TERMS[-1])
    for term in reversed(_EXP_TERMS[:-1]):
        series = series * r + term
    return series * ((n.to(torch.int64) + 1023) << 52).view(torch.float64)


def factorial_tail(k: Tensor) -> Tensor:
    """What log k! has beyond (k + 1/2) log(k+1) - (k+1) + log(2 pi)/2: a table to 9, Stirling's series on."""
    inverse = (k + 1.0).reciprocal()
    square = inverse * inverse
    series = (
        _STIRLING[0] - (_STIRLING[1] - (_STIRLING[2] - _STIRLING[3] * square) * square) * square
    ) * inverse
    table = torch.tensor(FACTORIAL_TAIL, dtype=torch.float64, device=k.device)
    return torch.where(k < 10.0, table[k.clamp(0.0, 9.0).to(torch.int64)], series)


def _unit(word: Tensor) -> Tensor:
    return (word.to(torch.float64) + 0.5) * 2.0**-32


def _unit53(high: Tensor, low: Tensor) -> Tensor:
    return (((high >> 5) << 26) + (low >> 6)).to(torch.float64) * 2.0**-53 + 2.0**-54


def _walk(left: Tensor, mass: Tensor, number: Tensor | None, odds: Tensor) -> Tensor:
    """Walk up a distribution from zero until it passes the uniform number `left`.

    `odds` turns the mass at k-1 into that at k: times mean (1/k), or (number - k + 1) odds (1/k).
    """
    count = torch.zeros_like(left)
    for step in range(1, INVERSION_CAP + 1):
        above = left > mass
        if number is not None:
            above &= count < number
        if not bool(above.any()):
            break
        k = torch.full_like(left, float(step))
        share = mass * odds if number is None else mass * ((number - k) + 1.0) * odds
        left, count = torch.where(above, left - mass, left), torch.where(above, k, count)
        mass = torch.where(above, share * (1.0 / step), mass)
    return count


def _try_poisson(mean: Tensor, w0: Tensor, w1: Tensor) -> tuple[Tensor, Tensor]:
    """One trial of transformed rejection: the count and whether it is accepted (PTRS, Hörmann 1993)."""
    b = 0.931 + 2.53 * exact_sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 * (b - 3.4).reciprocal()
    u, v = _unit(w0) - 0.5, _unit(w1)
    us = 0.5 - u.abs()
    k = torch.floor((2.0 * a / us + b) * u + mean + 0.43)
    quick = (us >= 0.07) & (v <= 0.9277 - 3.6224 * (b - 2.0).reciprocal())
    inside = (k >= 0.0) & ~((us < 0.013) & (v > us))
    k = k.clamp(min=0.0)
    height = log(v * inverse_alpha / (a / (us * us) + b) * exact_sqrt(TWO_PI * mean))
    target = (k + 0.5) * log(mean / (k + 1.0)) + ((k + 1.0) - mean) - factorial_tail(k)
    return k, quick | (inside & (height <= target))


def _try_binomial(number: Tensor, chance: Tensor, w0: Tensor, w1: Tensor) -> tuple[Tensor, Tensor]:
    """One trial of transformed rejection for chance <= 1/2 (BTRS, Hörmann 1993)."""
    expected = number * chance
    spread = exact_sqrt(expected * (1.0 - chance))
    odds = chance / (1.0 - chance)
    mode = torch.floor((number + 1.0) * chance)
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * chance
    u, v = _unit(w0) - 0.5, _unit(w1)
    us = 0.5 - u.abs()
    k = torch.floor((2.0 * a / us + b) * u + (expected + 0.5))
    quick = (us >= 0.07) & (v <= 0.92 - 4.2 * b.reciprocal())
    inside = (k >= 0.0) & (k <= number)
    k = torch.minimum(k.clamp(min=0.0), number)
    height = log(v * ((2.83 + 5.1 * b.reciprocal()) * spread) / (a / (us * us) + b))
    rest, rest_mode = (number - k) + 1.0, (number - mode) + 1.0
    target = (mode + 0.5) * log((mode + 1.0) / (odds * rest_mode))
    target = target + (number + 1.0) * log(rest_mode / rest)
    target = target + (k + 0.5) * log(odds * rest / (k + 1.0))
    target = target + (factorial_tail(mode) + factorial_tail(number - mode))
    target = target - (factorial_tail(k) + factorial_tail(number - k))
    return k, (quick & inside) | (inside & (height <= target))


def _reject(law: Callable[..., tuple[Tensor, Tensor]], parameters: tuple[Tensor, ...], draw: Draw) -> Tensor:
    """Run trials until each element has accepted one: two trials to a block of four words."""
    result = torch.zeros_like(parameters[0])
    pending = torch.arange(result.numel(), device=result.device)
    for trial in range(2 * MAX_BLOCKS):
        if not pending.numel():
            break
        words = draw.at(pending).block(trial // 2)
        pair = words[2:] if trial % 2 else words[:2]
        k, accepted = law(*(parameter[pending] for parameter in parameters), *pair)
        result[pending[accepted]] = k[accepted]
        pending = pending[~accepted]
    return result


def poisson(mean: Tensor, draw: Draw) -> Tensor:
    """Poisson counts of flat float64 `mean`; NaN where the mean is negative or not finite."""
    result = torch.full_like(mean, math.nan)
    small, large = (mean >= 0.0) & (mean < INVERSION_BELOW), (mean >= INVERSION_BELOW) & (mean < math.inf)
    light, few = mean[small], draw.at(small)
    high, low, _, _ = few.block(0)
    result[small] = _walk(_unit53(high, low), exp(-light), None, light)
    result[large] = _reject(_try_poisson, (mean[large],), draw.at(large))
    return result


def binomial(number: Tensor, chance: Tensor, draw: Draw) -> Tensor:
    """Binomial counts of flat float64 `number` and `chance`.

    NaN where `number` is negative, not whole or not finite, or `chance` is not in [0, 1].
    """
    valid = (number >= 0.0) & (number < math.inf) & (torch.floor(number) == number)
    valid &= (chance >= 0.0) & (chance <= 1.0)
    mirrored = chance > 0.5
    p = torch.where(mirrored, 1.0 - chance, chance)
    result = torch.full_like(number, math.nan)
    small, large = valid & (number * p < INVERSION_BELOW), valid & (number * p >= INVERSION_BELOW)
    n, few = number[small], draw.at(small)
    rest = 1.0 - p[small]
    high, low, _, _ = few.block(0)
    result[small] = _walk(_unit53(high, low), exp(n * log(rest)), n, p[small] / rest)
    result[large] = _reject(_try_binomial, (number[large], p[large]), draw.at(large))
    return torch.where(mirrored & valid, number - result, result)


def reexpose(
    state: Tensor,
    prediction: Tensor,
    start: Tensor,
    exposure: Tensor,
    white_e: Tensor,
    ceiling: float,
    draw: Draw,
) -> Tensor:
    """(state start + Poisson(M) / white_e) / exposure, M = clip(prediction) (exposure - start) white_e.

    Flat float64 tensors in and out.
    """
    mean = prediction.clamp(0.0, ceiling) * (exposure - start) * white_e
    return (state * start + poisson(mean, draw) / white_e) / exposure
