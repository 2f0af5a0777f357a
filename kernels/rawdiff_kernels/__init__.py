"""Pixel kernels for raw photography: each a plain torch reference, a compiled CPU route, a Triton route.

The ops are subpackages, named in `routes.OPS`: `from rawdiff_kernels import haar`.
"""

from rawdiff_kernels.checks import DeviceError, DTypeError, KernelError, RouteError, ShapeError
from rawdiff_kernels.routes import Route, RouteState, route_table

__all__ = [
    "DTypeError",
    "DeviceError",
    "KernelError",
    "Route",
    "RouteError",
    "RouteState",
    "ShapeError",
    "route_table",
]
