"""Generalised Anscombe transform of Poisson-Gaussian data, and its exact unbiased inverse."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from rawdiff_kernels import checks, launch, native, routes
from rawdiff_kernels.anscombe import reference
from rawdiff_kernels.anscombe.table import Q_CELLS, RISE, V_CELLS
from rawdiff_kernels.checks import FLOATS, KernelError, ShapeError
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.routes import Chosen, Route

Constant = Literal["level", "published"]
"""What stands beside the read noise under the root, in electrons: 3/8 as published, or risen with the read
noise so that the variance is level."""


def forward(
    x: Tensor, gain: float | Tensor, sigma: float | Tensor, *, constant: Constant = "level",
    route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Stabilise the variance: f(x) = (2/K) sqrt(max(0, K x + a K^2 + sigma^2)).

    For x = K p + n with p Poisson and n Gaussian of standard deviation sigma = s K, f(x) has a variance of 1
    within 1.2 % from 4 electrons up, with a = 3/8 + 7/16 s^2 / (7/4 + s^2). The published a = 3/8 (Anscombe
    1948; Starck, Murtagh and Bijaoui 1998) has it within 3 % from 7 electrons; at 4, 1.059 where s is 1.5.

    Args:
        x: [...] float32 or float64, black level subtracted, in any linear unit; negative values are kept as
            far as the root allows.
        gain: K, that unit per electron, above 0: a number, one value for each plane (a tensor that
            broadcasts against x, the last two sizes being 1), or a map.
        sigma: standard deviation of the noise that does not depend on the light, in that unit, at least 0:
            like gain.
        constant: "level", or "published" for the a of the literature and of networks trained with it.
        route: the way to compute it.

    Returns:
        f(x), of the shape of x. Its gradients are those of the formula, 0 where the root is cut off.

    Raises:
        KernelError: a wrong shape, dtype, device or value, or a forced route that cannot run.
    """
    return _apply("forward", "x", x, gain, sigma, constant, route)


def inverse(
    z: Tensor, gain: float | Tensor, sigma: float | Tensor, *, constant: Constant = "level",
    route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Undo `forward` without bias: the linear value whose transform has the mean z.

    The exact unbiased inverse of Makitalo and Foi (IEEE TIP 2013), tabulated for every read noise instead of
    their closed form, which is 3 % off at 1 electron where sigma is 1 electron: unbiased within 0.2 % from
    half an electron up. Below the mean of pure read noise, where no light has the mean z, it goes on as a
    straight line in z^2 with the slope it has there (`table`); negative z counts as 0.

    Args:
        z: [...] float32 or float64: what a denoiser made of `forward(x)`.
        gain: the K that `forward` was given.
        sigma: the sigma that `forward` was given.
        constant: likewise.
        route: the way to compute it.

    Returns:
        The signal in the unit of gain, of the shape of z.

    Raises:
        KernelError: a wrong shape, dtype, device or value, or a forced route that cannot run.
    """
    return _apply("inverse", "z", z, gain, sigma, constant, route)


def cost(x: Tensor, maps: int = 0) -> Cost:
    """Bytes and operations of either direction, with 0, 1 or 2 of gain and sigma given as maps."""
    return Cost(x.numel() * x.element_size() * (2 + maps), x.numel() * 10)


class Parameter(NamedTuple):
    """Gain or sigma as the compiled routes read it.

    Attributes:
        values: [planes], or as many as pixels; contiguous, in the dtype of the data.
        is_map: whether there is one for each pixel.
    """

    values: Tensor
    is_map: bool


class Layout(NamedTuple):
    """The data as planes of pixels that may share a gain and a sigma."""

    planes: int
    pixels: int


def _apply(
    direction: str,
    name: str,
    data: Tensor,
    gain: float | Tensor,
    sigma: float | Tensor,
    constant: Constant,
    route: Route,
) -> Tensor:
    if constant not in ("level", "published"):
        raise KernelError(f"constant must be level or published, got {constant}")
    rise = RISE if constant == "level" else 0.0
    checks.require_dtype(name, data, FLOATS)
    if data.numel() == 0:
        raise ShapeError(name, data.shape, "at least one element")
    gain, sigma = _parameter("gain", gain, name, data), _parameter("sigma", sigma, name, data)
    unsupported = {}
    if data.dtype == torch.float64:
        unsupported = dict.fromkeys(("gpu", "cpu"), "float64 is computed by the reference only")
    elif gain.requires_grad or sigma.requires_grad:
        reason = "gradients with respect to gain and sigma are computed by the reference only"
        unsupported = dict.fromkeys(("gpu", "cpu"), reason)
    chosen = routes.choose("anscombe", route, data, gain, sigma, unsupported=unsupported)
    if chosen == "reference":
        function = reference.forward if direction == "forward" else reference.inverse
        return function(data, gain, sigma, rise)
    out: Tensor = _Compiled.apply(data, gain, sigma, rise, direction, chosen)  # type: ignore[no-untyped-call]
    return out


def _parameter(name: str, value: float | Tensor, data_name: str, data: Tensor) -> Tensor:
    """Gain or sigma as a tensor that broadcasts against the data; few values are looked at, maps are not."""
    if not isinstance(value, Tensor):
        value = torch.tensor(float(value), dtype=data.dtype, device=data.device)
    checks.require_dtype(name, value, FLOATS)
    checks.require_device(name, value, data.device)
    try:
        fits = value.expand(data.shape).shape == data.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ShapeError(
            name, value.shape, f"a shape that broadcasts to the {list(data.shape)} of {data_name}"
        )
    if value.device.type == "cpu" and value.numel() <= 64:
        least = float(value.detach().min())
        if not (least > 0 if name == "gain" else least >= 0):
            raise KernelError(f"{name} must be {'above' if name == 'gain' else 'at least'} 0, got {least:g}")
    return value.to(data.dtype)


def _spread(value: Tensor, data: Tensor, layout: Layout) -> Parameter:
    sizes = (1,) * (data.dim() - value.dim()) + tuple(value.shape)
    if value.numel() == 1:
        return Parameter(value.detach().reshape(1).expand(layout.planes).contiguous(), False)
    if data.dim() >= 2 and sizes[-2:] == (1, 1):
        return Parameter(
            value.detach().expand(*data.shape[:-2], 1, 1).reshape(layout.planes).contiguous(), False
        )
    return Parameter(value.detach().expand(data.shape).contiguous(), True)


class _Compiled(torch.autograd.Function):
    """The compiled routes; the gradient with respect to the data is that of the reference."""

    @staticmethod
    def forward(
        ctx: Any, data: Tensor, gain: Tensor, sigma: Tensor, rise: float, direction: str, chosen: Chosen
    ) -> Tensor:
        ctx.save_for_backward(data, gain, sigma)
        ctx.direction, ctx.rise = direction, rise
        pixels = math.prod(data.shape[-2:])
        layout = Layout(data.numel() // pixels, pixels)
        out = torch.empty(data.shape, dtype=data.dtype, device=data.device)
        parameters = _spread(gain, data, layout), _spread(sigma, data, layout)
        if chosen == "gpu":
            getattr(launch.load("anscombe"), direction)(data.contiguous(), out, layout, *parameters, rise)
        else:
            _run_native(direction, data.contiguous(), out, layout, *parameters, rise)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        data, gain, sigma = ctx.saved_tensors
        function = reference.forward if ctx.direction == "forward" else reference.inverse
        with torch.enable_grad():
            leaf = data.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(function(leaf, gain, sigma, ctx.rise), leaf, gradients[0])
        return gradient, None, None, None, None, None


def _run_native(
    direction: str, data: Tensor, out: Tensor, layout: Layout, gain: Parameter, sigma: Parameter, rise: float
) -> None:
    scalars = (*layout, gain.values, int(gain.is_map), sigma.values, int(sigma.is_map), rise)
    if direction == "forward":
        native.call("anscombe", "anscombe_forward", data, out, *scalars)
    else:
        table, cells = inverse_table(gain, sigma, rise)
        native.call("anscombe", "anscombe_inverse", data, out, *scalars, table, *cells)


def inverse_table(gain: Parameter, sigma: Parameter, rise: float) -> tuple[Tensor, tuple[int, int]]:
    """The table that the compiled inverse reads, and its cells in v and q.

    One row per plane (cells in q: 0) where each plane has one gain and one sigma, else the whole table.
    """
    if gain.is_map or sigma.is_map:
        return reference.correction_like(gain.values, rise), (V_CELLS, Q_CELLS)
    return reference.rows(gain.values, sigma.values, rise), (V_CELLS, 0)
