"""Counted light in Triton: the laws of reference.py, operation for operation, in float64 without fusing.

A program runs until the slowest of its elements is done, so blocks are small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from rawdiff_kernels.launch import Specimen, interpreted, programs

_BLOCK = 2048 if interpreted() else 256
_INVERSION_CAP = tl.constexpr(128)
_BLOCKS = tl.constexpr(64)
_BITS_BLOCK = tl.constexpr(255)
_NAN = tl.constexpr(float("nan"))
_INFINITY = tl.constexpr(float("inf"))
_LN2_HIGH = tl.constexpr(6.93147180369123816490e-01)
_LN2_LOW = tl.constexpr(1.90821492927058770002e-10)


@triton.jit
def _f64(value):
    """A float64 constant with all its digits."""
    return tl.full((), value, tl.float64)


@triton.jit
def _philox(column, row, plane, last, seed):
    """Philox-4x32-10 of uint32 counters."""
    c0, c1, c2, c3 = column, row, plane, last
    k0, k1 = (seed & 0xFFFFFFFF).to(tl.uint32), ((seed >> 32) & 0xFFFFFFFF).to(tl.uint32)
    first, second = tl.full((), 0xD2511F53, tl.uint32), tl.full((), 0xCD9E8D57, tl.uint32)
    for _ in tl.static_range(10):
        old0, old2 = c0, c2
        c0 = tl.umulhi(second, old2) ^ c1 ^ k0
        c2 = tl.umulhi(first, old0) ^ c3 ^ k1
        c1 = second * old2
        c3 = first * old0
        k0 += tl.full((), 0x9E3779B9, tl.uint32)
        k1 += tl.full((), 0xBB67AE85, tl.uint32)
    return c0, c1, c2, c3


@triton.jit
def _unit(word):
    return (word.to(tl.float64) + 0.5) * 2.0**-32


@triton.jit
def _unit53(high, low):
    whole = (high >> 5).to(tl.float64) * 2.0**26 + (low >> 6).to(tl.float64)
    return whole * 2.0**-53 + 2.0**-54


@triton.jit
def _log(x):
    bits = x.to(tl.int64, bitcast=True)
    exponent = (bits >> 52) - 1023
    mantissa = ((bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000).to(tl.float64, bitcast=True)
    above = mantissa > 1.4142135623730951
    mantissa = tl.where(above, mantissa * _f64(0.5), mantissa)
    scale = (exponent + above.to(tl.int64)).to(tl.float64)
    f = (mantissa - 1.0) / (mantissa + 1.0)
    square = f * f
    series = tl.zeros_like(f) + 2.0 / 21
    for i in tl.static_range(10):
        series = series * square + 2.0 / (19 - 2 * i)
    return scale * _LN2_HIGH + (f * series + scale * _LN2_LOW)


@triton.jit
def _exp(x):
    n = tl.floor(x * 1.4426950408889634 + 0.5)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    series = tl.zeros_like(x) + 1.0 / 87178291200
    for factorial in tl.static_range(14):
        series = series * r + _inverse_factorial(13 - factorial)
    return series * ((n.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)


@triton.jit
def _inverse_factorial(k: tl.constexpr):
    product: tl.constexpr = 1
    for i in tl.static_range(2, k + 1):
        product = product * i
    return _f64(1.0 / product)


@triton.jit
def _factorial_tail(k):
    inverse = 1.0 / (k + 1.0)
    square = inverse * inverse
    tail = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 * square) * square) * square) * inverse
    tail = tl.where(k == 0.0, _f64(0.08106146679532726), tail)
    tail = tl.where(k == 1.0, _f64(0.0413406959554093), tail)
    tail = tl.where(k == 2.0, _f64(0.02767792568499834), tail)
    tail = tl.where(k == 3.0, _f64(0.020790672103765094), tail)
    tail = tl.where(k == 4.0, _f64(0.016644691189821193), tail)
    tail = tl.where(k == 5.0, _f64(0.013876128823070748), tail)
    tail = tl.where(k == 6.0, _f64(0.01189670994589177), tail)
    tail = tl.where(k == 7.0, _f64(0.010411265261972096), tail)
    tail = tl.where(k == 8.0, _f64(0.009255462182712733), tail)
    return tl.where(k == 9.0, _f64(0.00833056343336287), tail)


@triton.jit
def _walk(first, second, active, w0, w1, BINOMIAL: tl.constexpr):
    """Inversion: walk up from zero until the mass passes a uniform number."""
    left = _unit53(w0, w1)
    if BINOMIAL:
        rest = 1.0 - second
        mass, odds = _exp(first * _log(rest)), second / rest
    else:
        mass, odds = _exp(-first), first
    count = tl.zeros_like(left)
    above = active & (left > mass)
    step = 1
    while (step <= _INVERSION_CAP) & (tl.sum(above.to(tl.int32)) > 0):
        k = tl.zeros_like(left) + step
        share = mass * ((first - k) + 1.0) * odds if BINOMIAL else mass * odds
        left = tl.where(above, left - mass, left)
        count = tl.where(above, k, count)
        mass = tl.where(above, share * (_f64(1.0) / k), mass)
        above = active & (left > mass)
        if BINOMIAL:
            above = above & (count < first)
        step += 1
    return count


@triton.jit
def _try_poisson(mean, w0, w1):
    b = 0.931 + 2.53 * tl.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 * (1.0 / (b - 3.4))
    u, v = _unit(w0) - 0.5, _unit(w1)
    us = 0.5 - tl.abs(u)
    k = tl.floor((2.0 * a / us + b) * u + mean + 0.43)
    quick = (us >= 0.07) & (v <= 0.9277 - 3.6224 * (1.0 / (b - 2.0)))
    far = (us < 0.013) & (v > us)
    inside = (k >= 0.0) & (far == 0)
    k = tl.where(k > 0.0, k, _f64(0.0))
    height = _log(v * inverse_alpha / (a / (us * us) + b) * tl.sqrt(6.283185307179586 * mean))
    next_k = k + 1.0
    target = (k + 0.5) * _log(mean / next_k) + (next_k - mean) - _factorial_tail(k)
    return k, quick | (inside & (height <= target))


@triton.jit
def _try_binomial(number, chance, w0, w1):
    expected = number * chance
    spread = tl.sqrt(expected * (1.0 - chance))
    odds = chance / (1.0 - chance)
    mode = tl.floor((number + 1.0) * chance)
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * chance
    u, v = _unit(w0) - 0.5, _unit(w1)
    us = 0.5 - tl.abs(u)
    k = tl.floor((2.0 * a / us + b) * u + (expected + 0.5))
    quick = (us >= 0.07) & (v <= 0.92 - 4.2 * (1.0 / b))
    inside = (k >= 0.0) & (k <= number)
    k = tl.where(k > 0.0, k, _f64(0.0))
    k = tl.where(k < number, k, number)
    alpha = (2.83 + 5.1 * (1.0 / b)) * spread
    height = _log(v * alpha / (a / (us * us) + b))
    rest, rest_mode = (number - k) + 1.0, (number - mode) + 1.0
    target = (mode + 0.5) * _log((mode + 1.0) / (odds * rest_mode))
    target = target + (number + 1.0) * _log(rest_mode / rest)
    target = target + (k + 0.5) * _log(odds * rest / (k + 1.0))
    target = target + (_factorial_tail(mode) + _factorial_tail(number - mode))
    target = target - (_factorial_tail(k) + _factorial_tail(number - k))
    return k, inside & (quick | (height <= target))


@triton.jit
def _reject(first, second, active, column, row, plane, last, seed, BINOMIAL: tl.constexpr):
    """Transformed rejection: trials, two to a block of random words, until every active element is done."""
    result = tl.zeros_like(first)
    pending = active
    block = 0
    while (block < _BLOCKS) & (tl.sum(pending.to(tl.int32)) > 0):
        w0, w1, w2, w3 = _philox(column, row, plane, last | tl.cast(block, tl.uint32), seed)
        for half in tl.static_range(2):
            high, low = (w2, w3) if half else (w0, w1)
            if BINOMIAL:
                k, accepted = _try_binomial(first, second, high, low)
            else:
                k, accepted = _try_poisson(first, high, low)
            taken = pending & accepted
            result = tl.where(taken, k, result)
            pending = pending & (taken == 0)
        block += 1
    return result


@triton.jit
def _poisson(mean, column, row, plane, last, seed):
    """Counts for float64 means; NaN where one is negative or not finite."""
    light = (mean >= 0.0) & (mean < 10.0)
    bright = (mean >= 10.0) & (mean < _INFINITY)
    w0, w1, _, _ = _philox(column, row, plane, last, seed)
    safe = tl.where(light, mean, _f64(1.0))
    few = _walk(safe, safe, light, w0, w1, False)
    safe = tl.where(bright, mean, _f64(100.0))
    many = _reject(safe, safe, bright, column, row, plane, last, seed, False)
    return tl.where(light, few, tl.where(bright, many, _f64(_NAN)))


@triton.jit
def _binomial(number, chance, column, row, plane, last, seed):
    mirrored = chance > 0.5
    p = tl.where(mirrored, 1.0 - chance, chance)
    valid = (number >= 0.0) & (number < _INFINITY) & (tl.floor(number) == number)
    valid = valid & (chance >= 0.0) & (chance <= 1.0)
    light = valid & (number * p < 10.0)
    bright = valid & (number * p >= 10.0)
    w0, w1, _, _ = _philox(column, row, plane, last, seed)
    few = _walk(tl.where(light, number, _f64(1.0)), tl.where(light, p, _f64(0.5)), light, w0, w1, True)
    n, q = tl.where(bright, number, _f64(100.0)), tl.where(bright, p, _f64(0.5))
    many = _reject(n, q, bright, column, row, plane, last, seed, True)
    kept = tl.where(light, few, tl.where(bright, many, _f64(_NAN)))
    return tl.where(mirrored, number - kept, kept)


@triton.jit
def _place(at, rows, columns, origin_row, origin_column):
    """Plane, row and column of flat indices, in the tensor and as counters."""
    line = at // columns
    column, row, plane = at - line * columns, line % rows, line // rows
    counters = (
        (column + origin_column).to(tl.uint32), (row + origin_row).to(tl.uint32), plane.to(tl.uint32)
    )  # fmt: skip
    return plane, row, column, counters


@triton.jit
def photon_bits_kernel(
    out, planes, rows, columns, origin_row, origin_column, seed, stream, BLOCK: tl.constexpr
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tl.cast(planes, tl.int64) * rows * columns
    _, _, _, place = _place(at, rows, columns, origin_row, origin_column)
    lane = place[0] & 3
    last = (tl.zeros_like(lane) + tl.cast(stream, tl.uint32) * 256) | _BITS_BLOCK
    w0, w1, w2, w3 = _philox(place[0] >> 2, place[1], place[2], last, tl.cast(seed, tl.int64))
    word = tl.where(lane == 0, w0, tl.where(lane == 1, w1, tl.where(lane == 2, w2, w3)))
    tl.store(out + at, word.to(tl.int32, bitcast=True), mask=inside)


@triton.jit
def photon_poisson_kernel(
    mean, out, planes, rows, columns, origin_row, origin_column, seed, stream, BLOCK: tl.constexpr
):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tl.cast(planes, tl.int64) * rows * columns
    _, _, _, place = _place(at, rows, columns, origin_row, origin_column)
    last = tl.zeros_like(place[0]) + tl.cast(stream, tl.uint32) * 256
    expected = tl.load(mean + at, mask=inside, other=0.0).to(tl.float64)
    counts = _poisson(expected, place[0], place[1], place[2], last, tl.cast(seed, tl.int64))
    tl.store(out + at, counts.to(tl.float32), mask=inside)


@triton.jit
def photon_thin_kernel(
    counts, chance, chance_plane, chance_row, chance_column, out,
    planes, rows, columns, origin_row, origin_column, seed, stream, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tl.cast(planes, tl.int64) * rows * columns
    plane, row, column, place = _place(at, rows, columns, origin_row, origin_column)
    last = tl.zeros_like(place[0]) + tl.cast(stream, tl.uint32) * 256
    number = tl.load(counts + at, mask=inside, other=0.0).to(tl.float64)
    level = chance + plane * chance_plane + row * chance_row + column * chance_column
    p = tl.load(level, mask=inside, other=0.0).to(tl.float64)
    kept = _binomial(number, p, place[0], place[1], place[2], last, tl.cast(seed, tl.int64))
    tl.store(out + at, kept.to(tl.float32), mask=inside)


@triton.jit
def photon_reexpose_kernel(
    state, prediction, out, start, start_plane, start_row, start_column,
    exposure, exposure_plane, exposure_row, exposure_column, white_e, white_plane, white_row, white_column,
    ceiling, planes, rows, columns, origin_row, origin_column, seed, stream, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < tl.cast(planes, tl.int64) * rows * columns
    plane, row, column, place = _place(at, rows, columns, origin_row, origin_column)
    last = tl.zeros_like(place[0]) + tl.cast(stream, tl.uint32) * 256
    before_at = start + plane * start_plane + row * start_row + column * start_column
    after_at = exposure + plane * exposure_plane + row * exposure_row + column * exposure_column
    white_at = white_e + plane * white_plane + row * white_row + column * white_column
    before = tl.load(before_at, mask=inside, other=1.0).to(tl.float64)
    after = tl.load(after_at, mask=inside, other=1.0).to(tl.float64)
    white = tl.load(white_at, mask=inside, other=1.0).to(tl.float64)
    light = tl.load(prediction + at, mask=inside, other=0.0).to(tl.float64)
    light = tl.where(light < 0.0, _f64(0.0), light)
    light = tl.where(light > ceiling, tl.zeros_like(light) + ceiling, light)
    mean = light * (after - before) * white
    added = _poisson(mean, place[0], place[1], place[2], last, tl.cast(seed, tl.int64))
    measured = tl.load(state + at, mask=inside, other=0.0).to(tl.float64)
    tl.store(out + at, ((measured * before + added / white) / after).to(tl.float32), mask=inside)


def _launcher(kernel: Any) -> Callable[..., None]:
    """A function that runs `kernel` over every element of its first argument."""

    def run(first: Tensor, *rest: float | Tensor) -> None:
        kernel[(programs(first.numel(), _BLOCK),)](first, *rest, BLOCK=_BLOCK)

    return run


random_bits = _launcher(photon_bits_kernel)
poisson = _launcher(photon_poisson_kernel)
thin = _launcher(photon_thin_kernel)
reexpose = _launcher(photon_reexpose_kernel)


def specimens() -> list[Specimen]:
    """The kernels with the types that they are compiled for ahead of time."""
    wide = ("planes", "rows", "columns", "origin_row", "origin_column", "stream")
    grid = dict.fromkeys(wide, "i32") | {"seed": "i64"}
    maps = ("start", "exposure", "white_e", "chance")
    steps = {f"{name}_{axis}": "i32" for name in (*maps, "white") for axis in ("plane", "row", "column")}
    pixels = dict.fromkeys((*maps, "state", "prediction", "mean", "counts", "out"), "*fp32")
    every = grid | steps | pixels | {"ceiling": "fp32"}
    kernels = {
        "poisson": photon_poisson_kernel, "thin": photon_thin_kernel, "reexpose": photon_reexpose_kernel,
        "bits": photon_bits_kernel,
    }  # fmt: skip
    found = []
    for name, kernel in kernels.items():
        types = {argument: every[argument] for argument in kernel.arg_names if argument != "BLOCK"}
        types |= {"out": "*i32"} if name == "bits" else {}
        found.append(Specimen(name, kernel, types, {"BLOCK": 256}))
    return found
