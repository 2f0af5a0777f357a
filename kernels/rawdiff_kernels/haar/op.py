"""Two-dimensional Haar transform: orthonormal sums and differences of 2x2 pixels, over several levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rawdiff_kernels import checks, launch, native, routes
from rawdiff_kernels.checks import FLOATS, KernelError, ShapeError
from rawdiff_kernels.haar import reference
from rawdiff_kernels.haar.reference import Coefficients, half
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.routes import Chosen, Route

Size = tuple[int, int]


def forward(image: Tensor, levels: int, *, route: Route = "auto") -> Coefficients:
    """Transform an image: LL = (a+b+c+d)/2, HL = (-a-b+c+d)/2, LH = (-a+b-c+d)/2, HH = (a-b-c+d)/2.

    a and c are neighbours in a row, b and d those below them. Each further level transforms LL. Against
    PyWavelets' `dwt2(image, "haar", mode="symmetric")` = (cA, (cH, cV, cD)): LL = cA, HL = -cV, LH = -cH,
    HH = cD. Where a level has an odd number of rows or columns the last counts twice, so bands have
    ceil(size / 2). On even sizes the transform is orthonormal: it keeps the sum of squares and the variance
    of white noise. Differentiable any number of times.

    Args:
        image: [..., H, W] float32 or float64, any unit.
        levels: how often to split, at least 1.
        route: the way to compute it; all give the same bits.

    Returns:
        The average band of the last level and the detail bands of each, finest first.

    Raises:
        KernelError: a wrong shape, dtype or number of levels, or a forced route that cannot run.
    """
    checks.require_dtype("image", image, FLOATS)
    checks.require_shape("image", image, ("...", "H", "W"))
    if levels < 1:
        raise KernelError(f"levels must be at least 1, got {levels}")
    chosen = routes.choose("haar", route, image, unsupported=_unsupported(image))
    average, *details = _Forward.apply(image, levels, chosen)  # type: ignore[no-untyped-call]
    return Coefficients(average, tuple(details), (image.shape[-2], image.shape[-1]))


def inverse(coefficients: Coefficients, *, route: Route = "auto") -> Tensor:
    """Undo `forward`: a = (LL-HL-LH+HH)/2, b = (LL-HL+LH-HH)/2, c = (LL+HL-LH-HH)/2, d = (LL+HL+LH+HH)/2.

    Args:
        coefficients: what `forward` returns, or bands of those shapes.
        route: the way to compute it; all give the same bits.

    Returns:
        [..., H, W] in the dtype of the bands.

    Raises:
        KernelError: bands that do not fit together, or a forced route that cannot run.
    """
    average, details, size = coefficients
    if not details:
        raise KernelError("coefficients hold no detail band")
    checks.require_dtype("average", average, FLOATS)
    checks.require_shape("average", average, ("...", "h", "w"))
    _check_details(average, details, size)
    chosen = routes.choose("haar", route, average, *details, unsupported=_unsupported(average))
    image: Tensor = _Inverse.apply(size, chosen, average, *details)  # type: ignore[no-untyped-call]
    return image


def cost(image: Tensor, levels: int) -> Cost:
    """Bytes and operations of one direction: every pixel in, every coefficient out; 8 sums per 2x2 pixels."""
    coefficients = sum(3 * h * w for h, w in level_sizes(_size(image), levels)[1:])
    last_height, last_width = level_sizes(_size(image), levels)[-1]
    coefficients += last_height * last_width
    images = image.numel() // (image.shape[-2] * image.shape[-1])
    return Cost((image.numel() + images * coefficients) * image.element_size(), images * coefficients * 3)


def level_sizes(size: Size, levels: int) -> list[Size]:
    """H and W of the image and of the bands of each level."""
    sizes = [size]
    for _ in range(levels):
        sizes.append((half(sizes[-1][0]), half(sizes[-1][1])))
    return sizes


def _size(image: Tensor) -> Size:
    return image.shape[-2], image.shape[-1]


def _check_details(average: Tensor, details: Sequence[Tensor], size: Size) -> None:
    lead = average.shape[:-2]
    sizes = level_sizes(size, len(details))
    if _size(average) != sizes[-1]:
        raise ShapeError(
            "average", average.shape, f"[..., {sizes[-1][0]}, {sizes[-1][1]}] for an image of {size}"
        )
    for level, (band, (height, width)) in enumerate(zip(details, sizes[1:], strict=True), start=1):
        checks.require_dtype(f"details of level {level}", band, (average.dtype,))
        if band.shape != (*lead, 3, height, width):
            expected = f"{[*lead, 3, height, width]} for an image of {size}"
            raise ShapeError(f"details of level {level}", band.shape, expected)


def _unsupported(tensor: Tensor) -> dict[str, str]:
    if tensor.dtype != torch.float64:
        return {}
    reason = "float64 is computed by the reference only"
    return {"gpu": reason, "cpu": reason}


def _transform(image: Tensor, levels: int, chosen: Chosen) -> tuple[Tensor, ...]:
    """The bands (average, finest details, ...), two levels at a time so that each pixel is read once."""
    if chosen == "reference":
        average, details, _ = reference.forward(image, levels)
        return (average, *details)
    lead, bands, average = image.shape[:-2], [], image.contiguous()
    for step in _steps(levels):
        sizes = level_sizes(_size(average), step)
        new = [average.new_empty(*lead, 3, *size) for size in sizes[1:]]
        source, average = average, average.new_empty(*lead, *sizes[-1])
        count = math.prod(lead)
        if chosen == "gpu":
            launch.load("haar").forward(source, average, new)
        else:
            native.call("haar", f"haar_forward{step}", source, average, *new, count, *sizes[0])
        bands += new
    return (average, *bands)


def _restore(average: Tensor, details: Sequence[Tensor], size: Size, chosen: Chosen) -> Tensor:
    if chosen == "reference":
        return reference.inverse(Coefficients(average, tuple(details), size)).contiguous()
    lead, sizes = average.shape[:-2], level_sizes(size, len(details))
    image, level = average.contiguous(), len(details)
    for step in reversed(_steps(len(details))):
        level -= step
        bands = [band.contiguous() for band in details[level : level + step]]
        source, image = image, image.new_empty(*lead, *sizes[level])
        if chosen == "gpu":
            launch.load("haar").inverse(source, bands, image)
        else:
            native.call("haar", f"haar_inverse{step}", source, *bands, image, math.prod(lead), *sizes[level])
    return image


def _steps(levels: int) -> list[int]:
    """Levels per pass: pairs, and a single one at the end of an odd number."""
    return [2] * (levels // 2) + [1] * (levels % 2)


class _Forward(torch.autograd.Function):
    """The transform; its adjoint is the inverse, with what falls on a repeated border added to it."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, levels: int, chosen: Chosen) -> tuple[Tensor, ...]:
        ctx.size, ctx.levels, ctx.chosen = _size(image), levels, chosen
        return _transform(image, levels, chosen)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        average, *details = gradients
        return _spread(average, details, ctx.size, ctx.chosen), None, None


class _Inverse(torch.autograd.Function):
    """The inverse; its adjoint transforms the gradient, with nothing beyond the border."""

    @staticmethod
    def forward(ctx: Any, size: Size, chosen: Chosen, average: Tensor, *details: Tensor) -> Tensor:
        ctx.size, ctx.levels, ctx.chosen = size, len(details), chosen
        return _restore(average, details, size, chosen)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        image = _extend(gradients[0], _padded(ctx.size, ctx.levels))
        average, *details = _Forward.apply(image, ctx.levels, ctx.chosen)  # type: ignore[no-untyped-call]
        sizes = level_sizes(ctx.size, ctx.levels)
        bands = [band[..., :height, :width] for band, (height, width) in zip(details, sizes[1:], strict=True)]
        return None, None, average, *bands


def _spread(average: Tensor, details: Sequence[Tensor], size: Size, chosen: Chosen) -> Tensor:
    """The adjoint of the transform: in fused passes where every level is even, else level by level."""
    sizes = level_sizes(size, len(details))
    if _padded(size, len(details)) == size:
        image: Tensor = _Inverse.apply(size, chosen, average, *details)  # type: ignore[no-untyped-call]
        return image
    for band, above in zip(reversed(details), reversed(sizes[:-1]), strict=True):
        whole = _Inverse.apply(_padded(above, 1), chosen, average, band)  # type: ignore[no-untyped-call]
        average = _fold(whole, above)
    return average


def _padded(size: Size, levels: int) -> Size:
    """H and W rounded up so that every level is even."""
    unit = 2**levels
    return -(-size[0] // unit) * unit, -(-size[1] // unit) * unit


def _extend(tensor: Tensor, size: Size) -> Tensor:
    """Add zeros below and to the right up to `size`."""
    if _size(tensor) == size:
        return tensor.contiguous()
    return functional.pad(tensor, (0, size[1] - tensor.shape[-1], 0, size[0] - tensor.shape[-2]))


def _fold(tensor: Tensor, size: Size) -> Tensor:
    """Cut to `size`, adding the rows and columns beyond it to the last ones."""
    height, width = size
    if tensor.shape[-2] > height:
        last = tensor[..., height - 1 :, :].sum(-2, keepdim=True)
        tensor = torch.cat((tensor[..., : height - 1, :], last), dim=-2)
    if tensor.shape[-1] > width:
        last = tensor[..., width - 1 :].sum(-1, keepdim=True)
        tensor = torch.cat((tensor[..., : width - 1], last), dim=-1)
    return tensor
