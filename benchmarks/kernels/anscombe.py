"""The Anscombe transform and its unbiased inverse on packed raw, beside NumPy's closed forms."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from rawdiff_kernels import anscombe
from rawdiff_kernels.anscombe.op import cost
from rawdiff_kernels.anscombe.table import RISE, TURN
from rawdiff_kernels.launch import Cost

from benchmarks.kernels.measure import Call, Measurement, agree

SIGMA = 1.2


def measurements(height: int, width: int, device: torch.device) -> Iterator[Measurement]:
    """There and back with a gain for each plane and one sigma, each way alone, then with maps of both."""
    generator = torch.Generator().manual_seed(0)
    shape = (4, height // 2, width // 2)
    x = (torch.rand(shape, generator=generator) * 40.0 - 2.0).to(device)
    gain = torch.tensor([1.0, 0.9, 0.9, 1.1], device=device).reshape(4, 1, 1)
    z = anscombe.forward(x, gain, SIGMA)
    gain_map = (0.1 + torch.rand(shape, generator=generator)).to(device)
    sigma_map = 2.0 * gain_map
    routes = ("gpu" if device.type == "cuda" else "cpu", "reference")
    on_cpu = device.type == "cpu"
    one_way = cost(x)
    yield Measurement(
        "anscombe", "forward and inverse", Cost(2 * one_way.bytes, 2 * one_way.operations),
        {route: lambda r=route: anscombe.inverse(
            anscombe.forward(x, gain, SIGMA, route=r), gain, SIGMA, route=r) for route in routes},
    )  # fmt: skip
    for name, function, data in (("forward", anscombe.forward, x), ("inverse", anscombe.inverse, z)):
        peers = _peers(data, name) if on_cpu else {}
        yield Measurement(
            "anscombe", name, cost(data),
            {route: lambda f=function, d=data, r=route: f(d, gain, SIGMA, route=r) for route in routes},
            peers,
        )  # fmt: skip
        yield Measurement(
            "anscombe", f"{name}, gain and sigma maps", cost(data, maps=2),
            {route: lambda f=function, d=data, r=route: f(d, gain_map, sigma_map, route=r)
             for route in routes},
        )  # fmt: skip


def _peers(data: torch.Tensor, direction: str) -> dict[str, Call]:
    """NumPy at gain 1, with the op's constant; its inverse is published (Makitalo and Foi 2013)."""
    values = data.numpy()

    raised = 0.375 + RISE * SIGMA**2 / (TURN + SIGMA**2)

    def forward() -> np.ndarray:
        return 2.0 * np.sqrt(np.maximum(values + np.float32(raised + SIGMA**2), 0))

    def inverse() -> np.ndarray:
        d, root = np.maximum(values, 1.0), np.float32(np.sqrt(1.5))
        return (
            d * d / 4
            + root / (4 * d)
            - 1.375 / (d * d)
            + 0.625 * root / (d * d * d)
            - np.float32(0.125 + SIGMA**2)
        )

    if direction == "forward":
        agree([torch.from_numpy(forward())], [anscombe.forward(data, 1.0, SIGMA)])
        return {"NumPy": forward}
    return {"NumPy, closed form": inverse}
