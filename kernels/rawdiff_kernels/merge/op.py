"""Robust merging: warp a frame onto the reference, judge it by the noise model, add its photons."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rawdiff_kernels import checks, launch, native, routes
from rawdiff_kernels.checks import FLOATS, KernelError, PlaneValues
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.merge import reference as plain
from rawdiff_kernels.merge.reference import Plane, Rule
from rawdiff_kernels.merge.taps import PERIOD, Taps
from rawdiff_kernels.routes import Route

LARGEST_RADIUS = 16
LARGEST_SAMPLES = 3


def warp(
    planes: Tensor, field: Tensor, spacing: int, origin: float, taps: Taps, *, red: tuple[int, int] = (0, 0),
    rows: tuple[int, int] | None = None, route: Route = "auto",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Bring packed planes onto the reference: out(p) = the mosaic at p + v(p), each plane in its own colour.

    v is bilinear between the points of `field`, point (i, j) at the cell (origin + i spacing,
    origin + j spacing), and constant beyond them. A colour is read between its samples from those of all
    colours by `taps`, at the nearest of their places; at whole-cell v values are copies.

    Args:
        planes: [4, h, w] float32 or float64, packed raw R, Gr, Gb, B.
        field: [gh, gw, 2] vectors (dy, dx) in packed pixels; tiles of `align.match_tiles` have spacing
            `stride` and origin (tile - 1) / 2.
        spacing: pixels from one point of the field to the next.
        origin: row and column of the first point.
        taps: weights of `mosaic_taps`.
        red: site (row, column) of red in the CFA's 2x2 cell, which sets all others.
        rows: first row to make and the one after the last; None for all. The same bits as of the whole.
        route: the way to compute it.

    Returns:
        The planes [4, rows, w], and the share of the noise variance that interpolation leaves [rows, w], the
        mean of the four planes': 1 for copies. Both are 0 where a weight falls outside of the planes.

    Raises:
        KernelError: a wrong shape, dtype, size or row range, or a forced route that cannot run.
    """
    checks.require_dtype("planes", planes, FLOATS)
    checks.require_shape("planes", planes, (4, "h", "w"))
    checks.require_dtype("field", field, (planes.dtype,))
    checks.require_shape("field", field, ("gh", "gw", 2))
    checks.require_shape("the taps' weights", taps.weights, (3, PERIOD, PERIOD, 4, "s", "s"))
    checks.require_shape("the taps' shares", taps.shares, (3, PERIOD, PERIOD))
    count = taps.weights.shape[-1]
    if not 1 <= count <= LARGEST_SAMPLES:
        raise KernelError(f"taps hold 1 to {LARGEST_SAMPLES} samples along an axis, got {count}")
    first, last = (0, planes.shape[1]) if rows is None else rows
    if spacing < 1 or not math.isfinite(origin) or not 0 <= first < last <= planes.shape[1]:
        raise KernelError(f"nothing to warp: spacing {spacing}, origin {origin}, rows {first} to {last}")
    if not set(red) <= {0, 1}:
        raise KernelError(f"red has a site of a 2x2 cell, not {red}")
    chosen = routes.choose("merge", route, planes, field, unsupported=_unsupported(planes))
    source, vectors = planes.detach().contiguous(), field.detach().contiguous()
    if not bool((vectors.abs() < 1 << 20).all()):
        raise KernelError("the field must be finite and below 2^20 pixels")
    taps = Taps(taps.weights.to(source).contiguous(), taps.shares.to(source).contiguous())
    if chosen == "reference":
        return plain.warp(source, vectors, spacing, origin, taps, red, (first, last))
    _, height, width = source.shape
    out = torch.empty(4, last - first, width, dtype=torch.float32, device=source.device)
    share = torch.empty(last - first, width, dtype=torch.float32, device=source.device)
    sizes = (height, width, vectors.shape[0], vectors.shape[1], spacing, first, last - first)
    _run(chosen, "warp", source, vectors, *taps, out, share, *sizes, *red, count, float(origin))
    return out, share


def mismatch(
    estimate: Tensor, estimate_variance: Tensor, alternate: Tensor, share: Tensor, gain: PlaneValues,
    sigma: PlaneValues, exposure: float, radius: int, *, route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Measure how a frame differs from an estimate, in units of what noise explains: energy and shift.

    With d = alternate - estimate, light m the window mean of the estimate, and the expected variance
    V = estimate_variance + share (gain max(m, 0) / exposure + sigma^2 / exposure^2) of each plane,

        energy = mean over window and planes of d^2 / V,   shift = mean over planes of (sum d)^2 / sum V

    over the cells of the window that have samples. Both are 1 on average where nothing moved; energy sees
    texture that moved, shift sees an object that hides in the noise.

    Args:
        estimate: [4, h, w] float32 or float64, packed R, Gr, Gb, B.
        estimate_variance: [4, h, w] its variance.
        alternate: [4, h, w] the frame on the estimate's grid and scale.
        share: [h, w] of `warp`; cells with 0 or with a NaN sample are left out.
        gain: variance per unit of light of R, Gr, Gb, B as stored, above 0.
        sigma: standard deviation in the dark of R, Gr, Gb, B as stored, at least 0.
        exposure: what the stored frame was divided by.
        radius: of the window, 0 to 16.
        route: the way to compute it.

    Returns:
        [2, h, w]: energy and shift; 0 where the window has no sample.

    Raises:
        KernelError: a wrong shape, dtype or value, or a forced route that cannot run.
    """
    _require_pixels(
        estimate, {"estimate_variance": estimate_variance, "alternate": alternate}, {"share": share}
    )
    planes = _planes(gain, sigma)
    _require_window(exposure, radius)
    chosen = routes.choose(
        "merge", route, estimate, estimate_variance, alternate, share, unsupported=_unsupported(estimate)
    )
    pixels = [t.detach().contiguous() for t in (estimate, estimate_variance, alternate, share)]
    if chosen == "reference":
        return plain.mismatch(pixels[0], pixels[1], pixels[2], pixels[3], planes, exposure, radius)
    out = torch.empty(2, *share.shape, dtype=torch.float32, device=share.device)
    constants = _constants(planes, estimate)
    _run(chosen, "mismatch", *pixels, constants, out, *share.shape, radius, float(exposure))
    return out


def accumulate(
    total: Tensor, weight: Tensor, square: Tensor, alternate: Tensor, share: Tensor,
    trust: Tensor | None = None, exposure: float = 1.0,
    *, gain: PlaneValues | None = None, sigma: PlaneValues | None = None,
    radius: int = 2, false_alarm: float = 0.01, misregistration: float = 0.0, reference: Tensor | None = None,
    route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Add a frame to a merge, in place: total += w y, weight += w, square += w^2 share / exposure.

    With w = trust exposure, total / weight is the merged light and weight^2 / square its effective exposure
    (`result`).

    Without a given `trust` the frame is judged against the running estimate total / weight under the noise
    model. With the stabilised T(x) = 2 sqrt((x + sigma^2/gain + 4 sigma + 4 3/8 gain) / gain) the mismatch is

        sum over window and planes of (T(estimate) - T(y))^2 / sum of its expected variance

    which follows chi^2_n / n, n = 4 (2 radius + 1)^2, where both show the same light. Trust falls smoothly
    from 1 to 0 around one quantile of that law, so that equal light gets less than half weight with
    probability `false_alarm`, at any level from about one electron up. Interpolated noise is correlated,
    which widens the law: state a smaller `false_alarm` for warped frames. The four samples of a cell share
    one trust: colours stay neutral where a frame drops out.

    Args:
        total: [4, h, w] float32 or float64, sum of w y; starts as the reference frame. Updated.
        weight: [h, w] sum of w; starts as 1. Updated.
        square: [h, w] sum of w^2 share / exposure; starts as 1. Updated.
        alternate: [4, h, w] the frame y on the reference's grid, black 0, divided by its exposure.
        share: [h, w] of `warp`; 1 for a frame that was not interpolated. A cell with 0, or with a NaN among
            its samples (clipped, missing), adds nothing.
        trust: [h, w] 0 to 1, where the caller has judged the frame; None to judge it here.
        exposure: of the frame in units of the reference's, above 0.
        gain: variance per unit of light of R, Gr, Gb, B in the reference frame, above 0.
        sigma: standard deviation in the dark of R, Gr, Gb, B in the reference frame, at least 0.
        radius: of the window, 0 to 16.
        false_alarm: probability that equal light gets less than half weight, in [1e-6, 0.5].
        misregistration: standard deviation of the alignment [packed pixels]: the expected sum grows by its
            square times the squared slope of the estimate beyond noise, so that edges are not rejected.
        reference: [4, h, w] to compare with instead of the running estimate: one frame of exposure 1.
        route: the way to compute it.

    Returns:
        The trust [h, w] that the frame got.

    Raises:
        KernelError: a wrong shape, dtype, value or option, neither or both of `trust` and a noise model, or a
            forced route that cannot run.
    """
    cells = {"weight": weight, "square": square, "share": share} | ({} if trust is None else {"trust": trust})
    compared = {} if reference is None else {"reference": reference}
    _require_pixels(total, {"alternate": alternate} | compared, cells)
    _require_window(exposure, radius)
    others = (weight, square, alternate, share, trust, reference)
    chosen = routes.choose("merge", route, total, *others, unsupported=_unsupported(total))
    y, q = alternate.detach().contiguous(), share.detach().contiguous()
    sums = [tensor.contiguous() for tensor in (total, weight, square)]
    if trust is None:
        if gain is None or sigma is None:
            raise KernelError("accumulate needs a trust map, or gain and sigma to judge the frame by")
        rule = _rule(total, exposure, radius, false_alarm, misregistration)
        trust = _judge(chosen, sums, y, q, _planes(gain, sigma), rule, reference)
    elif gain is not None or sigma is not None or reference is not None:
        raise KernelError("accumulate takes a trust map or a noise model, not both")
    kept = trust.detach().contiguous()
    if chosen == "reference":
        plain.add(sums[0], sums[1], sums[2], y, q, kept, exposure)
    else:
        _run(chosen, "add", *sums, y, q, kept, *weight.shape, float(exposure))
    for tensor, summed in zip((total, weight, square), sums, strict=True):
        if summed is not tensor:
            tensor.copy_(summed)
    return kept


def result(total: Tensor, weight: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    """Return the merged light total / weight, and the effective exposure weight^2 / square of each cell.

    N where N equal frames agree, 1 where all but the reference were rejected: the merged light is as noisy
    as one frame of that exposure. Exact for shot noise; with read noise, for frames of equal exposure.
    """
    _require_pixels(total, {}, {"weight": weight, "square": square})
    return total / weight, weight * weight / square


def cost(alternate: Tensor) -> Cost:
    """Bytes and operations of `accumulate`: sums and frame are read twice, sums are written."""
    cells = alternate.shape[1] * alternate.shape[2]
    return Cost(cells * 4 * (2 * 6 + 2 * 5 + 6 + 2), cells * (4 * 40 + 80))


def _judge(
    chosen: routes.Chosen, sums: list[Tensor], y: Tensor, share: Tensor, planes: list[Plane], rule: Rule,
    reference: Tensor | None,
) -> Tensor:  # fmt: skip
    total, weight, square = sums
    if chosen == "reference":
        ones = torch.ones_like(weight)
        if reference is not None:
            return plain.judge(reference, ones, ones, y, share, planes, rule)
        return plain.judge(total / weight, weight, square / (weight * weight), y, share, planes, rule)
    trust = torch.empty_like(weight)
    light = total if reference is None else reference.detach().contiguous()
    _run(
        chosen, "judge", light, weight, square, y, share, trust, _constants(planes, total),
        rule.low, rule.high, *weight.shape, rule.radius, int(reference is not None),
        rule.exposure, rule.slack,
    )  # fmt: skip
    return trust


def _rule(like: Tensor, exposure: float, radius: int, false_alarm: float, misregistration: float) -> Rule:
    if not 1e-6 <= false_alarm <= 0.5:
        raise KernelError(f"false_alarm must be in [1e-6, 0.5], got {false_alarm}")
    if not 0.0 <= misregistration < math.inf:
        raise KernelError(f"misregistration must be finite and at least 0, got {misregistration}")
    low, high = (
        torch.tensor(bounds, dtype=like.dtype, device=like.device)
        for bounds in plain.thresholds(radius, false_alarm)
    )
    return Rule(float(exposure), radius, float(misregistration * misregistration), low, high)


def _run(chosen: routes.Chosen, name: str, *arguments: Tensor | int | float) -> None:
    """Run a function of the GPU or the CPU route: both take the same arguments."""
    if chosen == "gpu":
        getattr(launch.load("merge"), name)(*arguments)
    else:
        native.call("merge", f"merge_{name}", *arguments)


def _constants(planes: list[Plane], like: Tensor) -> Tensor:
    """Gain, floor, and the stabiliser's offset and factor of each plane, [4, 4]."""
    rows = [[plane.gain, plane.floor, *plane.stabiliser()] for plane in planes]
    return torch.tensor(rows, dtype=torch.float32, device=like.device)


def _planes(gain: PlaneValues, sigma: PlaneValues) -> list[Plane]:
    gains, sigmas = checks.four_planes("gain", gain), checks.four_planes("sigma", sigma)
    if min(gains) <= 0.0 or min(sigmas) < 0.0:
        raise KernelError(f"gain must be above 0 and sigma at least 0, got {gains} and {sigmas}")
    return [Plane(k, dark * dark) for k, dark in zip(gains, sigmas, strict=True)]


def _require_pixels(main: Tensor, pixels: dict[str, Tensor], cells: dict[str, Tensor]) -> None:
    """Hold all tensors against the first: [4, h, w] like it, or [h, w] like its planes."""
    checks.require_dtype("the first tensor", main, FLOATS)
    checks.require_shape("the first tensor", main, (4, "h", "w"))
    for group, shape in ((pixels, tuple(main.shape)), (cells, tuple(main.shape[1:]))):
        for name, tensor in group.items():
            checks.require_dtype(name, tensor, (main.dtype,))
            checks.require_shape(name, tensor, shape)


def _require_window(exposure: float, radius: int) -> None:
    if not 0.0 < exposure < math.inf:
        raise KernelError(f"exposure must be finite and above 0, got {exposure}")
    if not 0 <= radius <= LARGEST_RADIUS:
        raise KernelError(f"radius must be 0 to {LARGEST_RADIUS}, got {radius}")


def _unsupported(tensor: Tensor) -> dict[str, str]:
    return (
        {} if tensor.dtype == torch.float32 else dict.fromkeys(("gpu", "cpu"), "float64 is the reference's")
    )
