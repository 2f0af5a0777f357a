"""Mosaic normalise-and-pack: plane = ((x - black) / (white - black)) gain, and its inverse."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rawdiff_kernels import checks, launch, native, routes
from rawdiff_kernels.checks import FLOATS, KernelError, PlaneValues
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.mosaic import reference
from rawdiff_kernels.mosaic.reference import Site, sites_of
from rawdiff_kernels.routes import Chosen, Route

_NATIVE_NAME = {torch.uint16: "mosaic_pack_u16", torch.float32: "mosaic_pack_f32"}


def pack(
    mosaic: Tensor, phase: str, black: PlaneValues, white: PlaneValues, gain: PlaneValues | None = None,
    *, route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Normalise a Bayer mosaic and pack it: ((x - black) / (white - black)) gain, negatives kept.

    Computed as (x - black) scale with scale = gain / (white - black) rounded once, so that every route gives
    the same bits. Differentiable with respect to a floating-point mosaic.

    Args:
        mosaic: [H, W] uint16, float32 or float64 [DN], H and W even.
        phase: the colours of the top left 2x2 pixels, row by row: RGGB, BGGR, GRBG or GBRG.
        black: black level of R, Gr, Gb, B [DN].
        white: white level of R, Gr, Gb, B [DN], above black.
        gain: factor of R, Gr, Gb, B (white balance, exposure ratio); None for 1.
        route: the way to compute it.

    Returns:
        [4, H/2, W/2] in the order R, Gr, Gb, B; float32, or float64 for a float64 mosaic.

    Raises:
        KernelError: a wrong shape, dtype, phase or level, or a forced route that cannot run.
    """
    checks.require_dtype("mosaic", mosaic, (torch.uint16, *FLOATS))
    checks.require_shape("mosaic", mosaic, ("H", "W"))
    if mosaic.shape[0] % 2 or mosaic.shape[1] % 2:
        raise checks.ShapeError("mosaic", mosaic.shape, "[H, W] with both even")
    steps = _steps(black, white, gain)
    sites = sites_of(phase, checks.four_planes("black", black), [1.0 / step for step in steps])
    chosen = routes.choose("mosaic", route, mosaic, unsupported=_unsupported(mosaic))
    packed: Tensor = _Pack.apply(mosaic, sites, chosen)  # type: ignore[no-untyped-call]
    return packed


def unpack(
    packed: Tensor, phase: str, black: PlaneValues | None = None, white: PlaneValues | None = None,
    gain: PlaneValues | None = None, *, route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Place the planes back on the mosaic: x = plane (white - black) / gain + black.

    Without levels the planes are placed as they are. Differentiable with respect to `packed`.

    Args:
        packed: [4, H/2, W/2] float32 or float64 in the order R, Gr, Gb, B.
        phase: the colours of the top left 2x2 pixels, row by row.
        black: black level of R, Gr, Gb, B [DN]; None for 0.
        white: white level of R, Gr, Gb, B [DN]; None for 1 above black.
        gain: the gain that `pack` was given; None for 1.
        route: the way to compute it.

    Returns:
        [H, W] in the dtype of `packed` [DN].

    Raises:
        KernelError: a wrong shape, dtype, phase or level, or a forced route that cannot run.
    """
    checks.require_dtype("packed", packed, FLOATS)
    checks.require_shape("packed", packed, (4, "H/2", "W/2"))
    floor = (0.0,) * 4 if black is None else checks.four_planes("black", black)
    ceiling = [level + 1.0 for level in floor] if white is None else white
    sites = sites_of(phase, floor, _steps(floor, ceiling, gain))
    chosen = routes.choose("mosaic", route, packed, unsupported=_unsupported(packed))
    mosaic: Tensor = _Unpack.apply(packed, sites, chosen)  # type: ignore[no-untyped-call]
    return mosaic


def cost(mosaic: Tensor) -> Cost:
    """Bytes and operations of `pack`: each pixel is read once and written once as float32."""
    return Cost(mosaic.numel() * (mosaic.element_size() + 4), mosaic.numel() * 2)


def _steps(black: PlaneValues, white: PlaneValues, gain: PlaneValues | None) -> list[float]:
    """DN per unit of each plane: (white - black) / gain."""
    floor = checks.four_planes("black", black)
    ceiling = checks.four_planes("white", white)
    factor = (1.0,) * 4 if gain is None else checks.four_planes("gain", gain)
    if any(high <= low for low, high in zip(floor, ceiling, strict=True)):
        raise KernelError(f"white must be above black in every plane, got white {ceiling}, black {floor}")
    if any(value == 0 for value in factor):
        raise KernelError(f"gain must not be 0, got {factor}")
    return [(high - low) / value for low, high, value in zip(floor, ceiling, factor, strict=True)]


def _unsupported(tensor: Tensor) -> dict[str, str]:
    if tensor.dtype != torch.float64:
        return {}
    reason = "float64 is computed by the reference only"
    return {"gpu": reason, "cpu": reason}


def _pack(mosaic: Tensor, sites: tuple[Site, ...], chosen: Chosen) -> Tensor:
    if chosen == "reference":
        return reference.pack(mosaic, sites)
    if chosen == "gpu":
        packed: Tensor = launch.load("mosaic").pack(mosaic, sites)
        return packed
    source = mosaic.contiguous()
    height, width = source.shape[0] // 2, source.shape[1] // 2
    out = torch.empty(4, height, width, dtype=torch.float32)
    native.call("mosaic", _NATIVE_NAME[source.dtype], source, out, height, width, *_tables(sites))
    return out


def _unpack(packed: Tensor, sites: tuple[Site, ...], chosen: Chosen) -> Tensor:
    if chosen == "reference":
        return reference.unpack(packed, sites)
    if chosen == "gpu":
        mosaic: Tensor = launch.load("mosaic").unpack(packed, sites)
        return mosaic
    source = packed.contiguous()
    _, height, width = source.shape
    out = torch.empty(2 * height, 2 * width, dtype=torch.float32)
    native.call("mosaic", "mosaic_unpack_f32", source, out, height, width, *_tables(sites))
    return out


def _tables(sites: tuple[Site, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Plane, black and scale of the four sites as C reads them."""
    return (
        torch.tensor([site.plane for site in sites], dtype=torch.int64),
        torch.tensor([site.black for site in sites], dtype=torch.float32),
        torch.tensor([site.scale for site in sites], dtype=torch.float32),
    )


def _linear(sites: tuple[Site, ...]) -> tuple[Site, ...]:
    """The sites without their offset: the derivative of an affine map."""
    return tuple(Site(site.plane, 0.0, site.scale) for site in sites)


class _Pack(torch.autograd.Function):
    """(x - black) scale; its adjoint places the gradient back, times scale."""

    @staticmethod
    def forward(ctx: Any, mosaic: Tensor, sites: tuple[Site, ...], chosen: Chosen) -> Tensor:
        ctx.sites, ctx.chosen = sites, chosen
        return _pack(mosaic, sites, chosen)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Unpack.apply(gradients[0], _linear(ctx.sites), ctx.chosen), None, None  # type: ignore[no-untyped-call]


class _Unpack(torch.autograd.Function):
    """x scale + black; its adjoint packs the gradient, times scale."""

    @staticmethod
    def forward(ctx: Any, packed: Tensor, sites: tuple[Site, ...], chosen: Chosen) -> Tensor:
        ctx.sites, ctx.chosen = sites, chosen
        return _unpack(packed, sites, chosen)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Pack.apply(gradients[0], _linear(ctx.sites), ctx.chosen), None, None  # type: ignore[no-untyped-call]
