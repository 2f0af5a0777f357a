"""Quadruple prior: H, C, O and W of linear RGB in one pass, at a scale per image."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from rawdiff_kernels import checks, launch, native, routes
from rawdiff_kernels.checks import FLOATS, KernelError
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.quadprior import reference
from rawdiff_kernels.quadprior.reference import Form, Padding
from rawdiff_kernels.routes import Chosen, Route

DEFAULT_EPS = {"invariant": 1e-14, "published": 1e-4}
LEAST_EPS = 1e-37
LARGEST_SCALE = 4.0


class Settings(NamedTuple):
    """What a call computes beside its tensors: eps, the borders, the form, the half-width per image."""

    eps: float
    padding: Padding
    form: Form
    radii: list[int]


def default_matrix(dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """Return the Gaussian colour model, [3, 3]: rows E, E_lambda, E_lambda_lambda of linear R, G, B.

    Geusebroek, van den Boomgaard, Smeulders, Geerts, "Color invariance", TPAMI 23(12), 2001.
    """
    return torch.tensor(reference.COLOR_MODEL, dtype=dtype, device=device)


def prior(
    rgb: Tensor, matrix: Tensor, scale: Tensor, *, eps: float | None = None, padding: Padding = "reflect",
    form: Form = "invariant", route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Compute what a picture keeps when the light changes: [H, C, O_R, O_G, O_B, W] of each pixel.

    With [E, E_l, E_ll] = matrix [R, G, B], each smoothed by a Gaussian of sigma = 2^scale pixels and
    E_r, E_c the Gaussian derivatives of E along rows and columns:

        H = atan(E_l / E_ll)                              in [-pi/2, pi/2]
        C = log((E_l^2 + E_ll^2) / (E^2 + eps) + 1e-4)
        O = rank of R, G, B before smoothing              in [-1, 1], hard, without a gradient
        W = atan((E_r^2 + E_c^2) / (E^2 + eps))           in [0, pi/2]

    That is `form="invariant"`, where eps (1e-14 by default, the square of 1e-7) only keeps 0/0 away.
    `form="published"` is the released code's: H = atan(E_l / (E_ll + eps)),
    C = log((E_l^2 + E_ll^2) / (E^2 + eps) + eps), W = atan((E_r / (E + eps))^2 + (E_c / (E + eps))^2) with
    eps 1e-4, which changes C by 4 when the light falls to 1/300; with `padding="zero"` it also reproduces
    its borders, where W of a flat picture is 0.47.
    Wang, Ren, Yang, Huang, Liu, "Zero-reference low-light enhancement via physical quadruple priors",
    CVPR 2024 (its paper prints tan and no square for W; its code, followed here, has atan of the square).

    Differentiable with respect to `rgb`, `matrix` and `scale`; the half-width ceil(3 sigma + 1/2) of the
    filters is a constant, and the backward pass is the reference's on every route.

    Args:
        rgb: [B, 3, H, W] float32 or float64, linear, in the order R, G, B.
        matrix: [3, 3] colour model, rows E, E_l, E_ll; `default_matrix()` to begin with.
        scale: [B] log2 of sigma in pixels, in [-4, 4].
        eps: at least 1e-37 (a normal float32) and below 1; None for the default of the form.
        padding: mirrored borders, or zeros as published.
        form: where eps stands.
        route: the way to compute it.

    Returns:
        [B, 6, H, W] in the order H, C, O_R, O_G, O_B, W (the published order).

    Raises:
        KernelError: a wrong shape, dtype, scale or option, or a forced route that cannot run.
    """
    checks.require_dtype("rgb", rgb, FLOATS)
    checks.require_shape("rgb", rgb, ("B", 3, "H", "W"))
    for name, tensor, shape in (("matrix", matrix, (3, 3)), ("scale", scale, (rgb.shape[0],))):
        checks.require_dtype(name, tensor, (rgb.dtype,))
        checks.require_shape(name, tensor, shape)
    if form not in get_args(Form) or padding not in get_args(Padding):
        raise KernelError(f"form must be one of {get_args(Form)} and padding of {get_args(Padding)}")
    eps = DEFAULT_EPS[form] if eps is None else eps
    if not LEAST_EPS <= eps < 1.0:
        raise KernelError(f"eps must be at least {LEAST_EPS} and below 1, got {eps}")
    reason = {} if rgb.dtype == torch.float32 else dict.fromkeys(("gpu", "cpu"), "float64 is the reference's")
    chosen = routes.choose("quadprior", route, rgb, matrix, scale, unsupported=reason)
    settings = Settings(eps, padding, form, _radii(scale))
    features: Tensor = _Prior.apply(rgb, matrix, scale, settings, chosen)  # type: ignore[no-untyped-call]
    return features


def cost(rgb: Tensor, scale: float = 0.0) -> Cost:
    """Bytes and operations of `prior`: three planes in, six out; nine filters of 2 radius + 1 taps."""
    batch, _, height, width = rgb.shape
    pixels = batch * height * width
    return Cost(pixels * 9 * rgb.element_size(), pixels * (15 + 14 * reference.radius_of(scale) * 2 + 60))


class _Prior(torch.autograd.Function):
    """Forward by the chosen route; backward through the reference, computed anew."""

    @staticmethod
    def forward(
        ctx: Any, rgb: Tensor, matrix: Tensor, scale: Tensor, settings: Settings, chosen: Chosen
    ) -> Tensor:
        ctx.save_for_backward(rgb, matrix, scale)
        ctx.settings = settings
        if chosen == "reference":
            return _by_reference(rgb, matrix, scale, settings)
        taps = _taps(scale.detach(), settings.radii)
        if chosen == "gpu":
            features: Tensor = launch.load("quadprior").prior(rgb, matrix, taps, settings)
            return features
        return _by_cpu(rgb.contiguous(), matrix.contiguous(), taps, settings)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        wanted = ctx.needs_input_grad[:3]
        with torch.enable_grad():
            inputs = [t.detach().requires_grad_(w) for t, w in zip(ctx.saved_tensors, wanted, strict=True)]
            rgb, matrix, scale = inputs
            features = _by_reference(rgb, matrix, scale, ctx.settings)
        asked = [tensor for tensor, want in zip(inputs, wanted, strict=True) if want]
        found = iter(torch.autograd.grad(features, asked, gradients[0]))
        return *(next(found) if want else None for want in wanted), None, None


def _by_reference(rgb: Tensor, matrix: Tensor, scale: Tensor, settings: Settings) -> Tensor:
    return reference.prior(rgb, matrix, scale, settings.radii, settings.eps, settings.padding, settings.form)


def _by_cpu(rgb: Tensor, matrix: Tensor, taps: Tensor, settings: Settings) -> Tensor:
    batch, _, height, width = rgb.shape
    out = torch.empty(batch, 6, height, width, dtype=rgb.dtype)
    native.call(
        "quadprior", "quadprior_f32", rgb, matrix, taps, torch.tensor(settings.radii), out,
        batch, height, width, taps.shape[2], settings.eps, reference.RATIO_FLOOR,
        int(settings.padding == "reflect"), int(settings.form == "published"),
    )  # fmt: skip
    return out


def _radii(scale: Tensor) -> list[int]:
    scales = scale.detach().tolist()
    if not all(abs(value) <= LARGEST_SCALE for value in scales):
        raise KernelError(f"scale is log2 of sigma and must be in [-4, 4], got {scales}")
    return [reference.radius_of(value) for value in scales]


def _taps(scale: Tensor, radii: list[int]) -> Tensor:
    """The right halves of the two filters of every image, [B, 2, largest radius + 1]; zero beyond its own."""
    taps = scale.new_zeros(len(radii), 2, max(radii) + 1)
    for number, radius in enumerate(radii):
        bell, slope = reference.taps(scale[number], radius)
        taps[number, 0, : radius + 1] = bell
        taps[number, 1, : radius + 1] = slope
    return taps
