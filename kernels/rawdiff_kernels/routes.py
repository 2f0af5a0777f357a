"""Which way an op is computed: Triton on a GPU, compiled code on the CPU, or its torch reference.

`auto` takes the GPU route where the tensor is on a GPU, then the compiled CPU route, then the reference.
The choice is made before the call, from what is known then; an error inside a route is never rescued by
another. A route asked for by name that cannot run raises RouteError with the reason.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from rawdiff_kernels import launch, native
from rawdiff_kernels.checks import DeviceError, KernelError, RouteError

Route = Literal["auto", "gpu", "cpu", "reference"]
Chosen = Literal["gpu", "cpu", "reference"]

OPS: Final = ("mosaic", "haar", "anscombe", "photon", "quadprior", "align", "merge")
"""Every op of the package, one folder each."""


@dataclass(frozen=True)
class RouteState:
    """One line of the route table: whether `route` of `op` can run on this machine, and why (not)."""

    op: str
    route: str
    available: bool
    reason: str


def choose(
    op: str,
    route: Route,
    tensor: Tensor,
    *others: Tensor | None,
    unsupported: Mapping[str, str] | None = None,
) -> Chosen:
    """Return the route that computes this call.

    Args:
        op: the op's name, one of OPS.
        route: what the caller asked for.
        tensor: the tensor whose device decides.
        *others: further tensors of the call; they must be on the same device.
        unsupported: routes that this very call cannot take (a dtype, a gradient), each with the reason.

    Raises:
        DeviceError: tensors on different devices.
        RouteError: a forced route that cannot run.
        KernelError: no such route.
    """
    if route not in get_args(Route):
        raise KernelError(f"no route {route!r}: one of {', '.join(get_args(Route))}")
    for number, other in enumerate(others, start=2):
        if other is not None and other.device != tensor.device:
            raise DeviceError(f"tensor {number} of {op}", other.device, tensor.device)
    if route == "reference":
        return "reference"
    if route == "auto":
        candidates: tuple[Literal["gpu", "cpu"], ...] = ("gpu",) if tensor.is_cuda else ("cpu",)
        for candidate in candidates:
            if _obstacle(op, candidate, tensor.device, unsupported or {}) is None:
                return candidate
        return "reference"
    obstacle = _obstacle(op, route, tensor.device, unsupported or {})
    if obstacle is not None:
        raise RouteError(op, route, obstacle)
    return route


def route_table() -> tuple[RouteState, ...]:
    """Return the state of every route of every op on this machine, in the order of choice."""
    return tuple(_states())


def _states() -> Iterator[RouteState]:
    for op in OPS:
        gpu = _gpu_obstacle(op)
        yield RouteState(op, "gpu", gpu is None, gpu or f"Triton on {_device_name()}")
        cpu = native.obstacle(op)
        yield RouteState(op, "cpu", cpu is None, cpu or f"compiled for {native.variant()}")
        yield RouteState(op, "reference", True, f"torch {torch.__version__}")


def _obstacle(
    op: str, route: Literal["gpu", "cpu"], device: torch.device, unsupported: Mapping[str, str]
) -> str | None:
    """Say why `route` cannot take tensors on `device`, or None where it can."""
    if route in unsupported:
        return unsupported[route]
    if route == "cpu":
        return f"the tensor is on {device}" if device.type != "cpu" else native.obstacle(op)
    if device.type != "cuda" and not launch.interpreted():
        return f"the tensor is on {device}"
    return _gpu_obstacle(op)


@cache
def _gpu_obstacle(op: str) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "the package 'triton' is not installed (pip install 'rawdiff[gpu]')"
    if not launch.interpreted() and not torch.cuda.is_available():
        return "torch sees no GPU"
    launch.load(op)
    return None


def _device_name() -> str:
    return "the interpreter" if launch.interpreted() else torch.cuda.get_device_name()
