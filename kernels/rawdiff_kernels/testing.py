"""How the routes of an op are held against its reference: cases, poisoned memory, one comparison."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rawdiff_kernels.routes import Route

ODD_SIZES = (1, 2, 3, 7, 63, 257)
"""Sides that no block size divides, and the smallest there are."""


@dataclass(frozen=True)
class AgreementCase:
    """One call whose routes must agree with the reference.

    Attributes:
        name: unique within the op.
        compute: builds its inputs (seeded) on a device, calls the op by a route, and returns the outputs by
            name, gradients among them.
        relative: allowed difference relative to the largest magnitude of the reference output; 0 for equal
            bits.
        routes: the routes that are compared with the reference.
    """

    name: str
    compute: Callable[[Route, torch.device], Mapping[str, Tensor]]
    relative: float = 1e-5
    routes: tuple[Route, ...] = ("cpu", "gpu")

    def disagreement(self, route: Route, device: torch.device) -> str | None:
        """Compute by `route` into poisoned memory and by the reference; say what differs, or None."""
        expected = self.compute("reference", device)
        with poisoned_memory():
            actual = self.compute(route, device)
        if set(actual) != set(expected):
            return f"outputs {sorted(actual)} instead of {sorted(expected)}"
        for name, tensor in expected.items():
            problem = difference(actual[name], tensor, relative=self.relative)
            if problem is not None:
                return f"{name}: {problem}"
        return None


def difference(actual: Tensor, expected: Tensor, *, relative: float) -> str | None:
    """Say how two tensors differ by more than `relative` times the largest magnitude expected, or None.

    NaN and infinity must be in the same places. With `relative` 0 the values must be equal.
    """
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return f"{list(actual.shape)} {actual.dtype} instead of {list(expected.shape)} {expected.dtype}"
    left, right = actual.detach().cpu().to(torch.float64), expected.detach().cpu().to(torch.float64)
    finite = right.isfinite()
    special = (left == right) | (left.isnan() & right.isnan())
    odd = ~torch.where(finite, left.isfinite(), special)
    if odd.any():
        return f"{int(odd.sum())} of {odd.numel()} values are NaN or infinite on one side only"
    gap = torch.where(finite, (left - right).abs(), 0.0)
    worst, scale = float(gap.max()), float(torch.where(finite, right.abs(), 0.0).max())
    if worst <= relative * scale:
        return None
    return f"differs by {worst:.3g} at a magnitude of {scale:.3g}, allowed is {relative:g} of it"


def assert_close(actual: Tensor, expected: Tensor, *, relative: float = 1e-5) -> None:
    """Raise AssertionError where `difference` finds one."""
    problem = difference(actual, expected, relative=relative)
    if problem is not None:
        raise AssertionError(problem)


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Inside the block new uninitialised tensors hold NaN (or the largest integer), so that an element that
    is never written shows."""
    before = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def strided(tensor: Tensor) -> Tensor:
    """Return the same values in memory that is not contiguous: every other row and column of a larger one."""
    room = tensor.new_zeros([2 * size for size in tensor.shape])
    view = room[tuple(slice(1, None, 2) for _ in tensor.shape)]
    view.copy_(tensor)
    return view


def load_cases(folder: Path, op: str) -> tuple[AgreementCase, ...]:
    """Return the cases of an op: what `cases()` of `<folder>/<op>.py` yields.

    Raises:
        ValueError: two cases of one name.
    """
    spec = importlib.util.spec_from_file_location(f"cases_{op}", folder / f"{op}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(folder / f"{op}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cases = tuple(module.cases())
    if len({case.name for case in cases}) != len(cases):
        raise ValueError(f"two cases of {op} share a name")
    return cases
