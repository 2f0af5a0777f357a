"""The choice of route: its order, its reasons, and that it is made before the call."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from rawdiff_kernels import launch, mosaic, native, routes
from rawdiff_kernels.checks import DeviceError, KernelError, RouteError
from rawdiff_kernels.routes import RouteState, choose

ONE = torch.zeros(2, 2)


def test_the_table_names_every_route_of_every_op_with_a_reason() -> None:
    table = routes.route_table()
    assert [(state.op, state.route) for state in table] == [
        (op, route) for op in routes.OPS for route in ("gpu", "cpu", "reference")
    ]
    assert all(isinstance(state, RouteState) and state.reason for state in table)
    assert all(state.available for state in table if state.route == "reference")


def test_auto_takes_the_compiled_route_where_it_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "obstacle", lambda op: None)
    assert choose("mosaic", "auto", ONE) == "cpu"
    assert choose("mosaic", "auto", ONE, unsupported={"cpu": "float64"}) == "reference"
    monkeypatch.setattr(native, "obstacle", lambda op: "no compiler")
    assert choose("mosaic", "auto", ONE) == "reference"


def test_auto_takes_the_gpu_where_the_tensor_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGpu:
        is_cuda = True
        device = torch.device("cuda", 0)

    monkeypatch.setattr(routes, "_gpu_obstacle", lambda op: None)
    assert choose("mosaic", "auto", OnGpu()) == "gpu"  # type: ignore[arg-type]
    assert choose("mosaic", "auto", OnGpu(), unsupported={"gpu": "float64"}) == "reference"  # type: ignore[arg-type]
    with pytest.raises(RouteError, match="the cpu route of mosaic cannot run: the tensor is on cuda:0"):
        choose("mosaic", "cpu", OnGpu())  # type: ignore[arg-type]
    monkeypatch.setattr(routes, "_gpu_obstacle", lambda op: "no triton")
    assert choose("mosaic", "auto", OnGpu()) == "reference"  # type: ignore[arg-type]


def test_a_forced_route_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "obstacle", lambda op: "no C++ compiler was found at install")
    with pytest.raises(RouteError) as caught:
        mosaic.pack(ONE, "RGGB", (0.0,) * 4, (1.0,) * 4, route="cpu")
    assert (caught.value.op, caught.value.route) == ("mosaic", "cpu")
    assert caught.value.reason == "no C++ compiler was found at install"
    monkeypatch.setattr(launch, "interpreted", lambda: False)
    with pytest.raises(RouteError, match="the gpu route of mosaic cannot run: the tensor is on cpu"):
        mosaic.pack(ONE, "RGGB", (0.0,) * 4, (1.0,) * 4, route="gpu")
    with pytest.raises(KernelError, match="no route 'fast': one of auto, gpu, cpu, reference"):
        mosaic.pack(ONE, "RGGB", (0.0,) * 4, (1.0,) * 4, route="fast")  # type: ignore[arg-type]


def test_an_error_inside_a_route_is_not_rescued(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("scratch")

    monkeypatch.setattr(native, "obstacle", lambda op: None)
    monkeypatch.setattr(native, "call", broken)
    with pytest.raises(MemoryError, match="scratch"):
        mosaic.pack(ONE, "RGGB", (0.0,) * 4, (1.0,) * 4)


def test_tensors_on_two_devices_are_refused() -> None:
    with pytest.raises(DeviceError, match="tensor 3 of merge is on meta, expected cpu"):
        choose("merge", "auto", ONE, None, torch.zeros(1, device="meta"))


def test_triton_is_imported_only_when_the_gpu_route_is_looked_at() -> None:
    """Importing every op, and choosing a route for a CPU tensor, leaves Triton alone."""
    program = (
        "import importlib, sys, torch\n"
        "from rawdiff_kernels import routes\n"
        "for op in routes.OPS: importlib.import_module(f'rawdiff_kernels.{op}')\n"
        "routes.choose('mosaic', 'auto', torch.zeros(2, 2))\n"
        "before = 'triton' in sys.modules\n"
        "ours = [name for name in sys.modules if name.startswith('rawdiff_kernels.')]\n"
        "sys.exit(before or any(name.endswith('.gpu') for name in ours))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
