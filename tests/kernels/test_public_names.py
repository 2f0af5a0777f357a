"""What the kernels package hands to others; a name that goes away breaks somebody."""

from __future__ import annotations

import importlib
import importlib.resources

import pytest
import rawdiff_kernels
from rawdiff_kernels import checks, routes

OPS = {
    "mosaic": {"pack", "unpack"},
    "haar": {"Coefficients", "forward", "inverse"},
    "anscombe": {"forward", "inverse"},
}


def test_the_package_hands_on_its_errors_and_its_route_table() -> None:
    names = {"DTypeError", "DeviceError", "KernelError", "RouteError", "ShapeError"}
    assert set(rawdiff_kernels.__all__) == names | {"Route", "RouteState", "route_table"}
    assert all(issubclass(getattr(checks, name), checks.KernelError) for name in names)
    assert issubclass(checks.KernelError, ValueError)


@pytest.mark.parametrize("op", OPS)
def test_ops_hand_on_their_functions(op: str) -> None:
    assert set(importlib.import_module(f"rawdiff_kernels.{op}").__all__) == OPS[op]


@pytest.mark.parametrize("op", routes.OPS)
def test_every_op_has_all_that_an_op_has(op: str) -> None:
    package = importlib.import_module(f"rawdiff_kernels.{op}")
    folder = importlib.resources.files(package)
    for name in ("op.py", "reference.py", "gpu.py", f"{op}.cpp", "README.md"):
        assert folder.joinpath(name).is_file(), name
    assert package.__all__ and package.__doc__
