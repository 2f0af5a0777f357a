"""What a kernel refuses, and the errors it raises: each carries the facts.

KernelError(ValueError)
├── ShapeError      a tensor of another shape than the op takes
├── DTypeError      a tensor of another type of number
├── DeviceError     tensors on devices that do not fit together
└── RouteError      a route was forced that cannot run here
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

PlaneValues: TypeAlias = Sequence[float] | Tensor
"""Four numbers in the order R, Gr, Gb, B."""

FLOATS = (torch.float32, torch.float64)


class KernelError(ValueError):
    """Root of the tree."""


class ShapeError(KernelError):
    """`name` has the shape `actual` where `expected` is taken."""

    def __init__(self, name: str, actual: Sequence[int], expected: str) -> None:
        self.name = name
        self.actual = tuple(actual)
        self.expected = expected
        super().__init__(f"{name} has shape {list(self.actual)}, expected {expected}")


class DTypeError(KernelError):
    """`name` has the dtype `actual` where one of `expected` is taken."""

    def __init__(self, name: str, actual: torch.dtype, expected: Sequence[torch.dtype]) -> None:
        self.name = name
        self.actual = actual
        self.expected = tuple(expected)
        taken = " or ".join(str(dtype).removeprefix("torch.") for dtype in expected)
        super().__init__(f"{name} has dtype {str(actual).removeprefix('torch.')}, expected {taken}")


class DeviceError(KernelError):
    """`name` is on the device `actual` where `expected` is needed."""

    def __init__(self, name: str, actual: torch.device, expected: torch.device) -> None:
        self.name = name
        self.actual = actual
        self.expected = expected
        super().__init__(f"{name} is on {actual}, expected {expected}")


class RouteError(KernelError):
    """The route `route` of `op` was asked for by name and cannot run, for `reason`."""

    def __init__(self, op: str, route: str, reason: str) -> None:
        self.op = op
        self.route = route
        self.reason = reason
        super().__init__(f"the {route} route of {op} cannot run: {reason}")


def require_dtype(name: str, tensor: Tensor, expected: Sequence[torch.dtype]) -> None:
    """Raise DTypeError unless the tensor's dtype is one of `expected`."""
    if tensor.dtype not in expected:
        raise DTypeError(name, tensor.dtype, expected)


def require_shape(name: str, tensor: Tensor, expected: Sequence[int | str]) -> None:
    """Raise ShapeError unless the sizes fit.

    Args:
        name: the argument's name, for the message.
        tensor: the argument.
        expected: one entry per dimension: a number is the size itself, a word stands for any size of at
            least 1; a leading "..." for any number of dimensions.
    """
    sizes = list(expected)
    shape = list(tensor.shape)
    if sizes and sizes[0] == "...":
        sizes = sizes[1:]
        shape = shape[len(shape) - len(sizes) :] if len(shape) >= len(sizes) else []
    fits = len(shape) == len(sizes) and all(
        have == want if isinstance(want, int) else have >= 1 for have, want in zip(shape, sizes, strict=True)
    )
    if not fits or tensor.numel() == 0:
        raise ShapeError(name, tensor.shape, f"[{', '.join(map(str, expected))}], none of them empty")


def require_device(name: str, tensor: Tensor, expected: torch.device) -> None:
    """Raise DeviceError unless the tensor is on `expected`."""
    if tensor.device != expected:
        raise DeviceError(name, tensor.device, expected)


def four_planes(name: str, values: PlaneValues) -> tuple[float, float, float, float]:
    """Return four finite floats in the order R, Gr, Gb, B.

    Raises:
        ShapeError: not four values.
        KernelError: a value that is not finite, or one that requires a gradient.
    """
    if isinstance(values, Tensor) and values.requires_grad:
        raise KernelError(f"{name} requires a gradient, and this op has none with respect to it")
    listed = [
        float(v) for v in (values.detach().flatten().tolist() if isinstance(values, Tensor) else values)
    ]
    if len(listed) != 4:
        raise ShapeError(name, (len(listed),), "[4] in the order R, Gr, Gb, B")
    if not all(abs(value) < float("inf") for value in listed):
        raise KernelError(f"{name} must be finite, got {listed}")
    red, green_red, green_blue, blue = listed
    return red, green_red, green_blue, blue
