"""Poisson counts, thinning and re-exposure of packed raw, beside torch's and NumPy's own samplers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from rawdiff_kernels import photon
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.photon.op import cost
from torch import Tensor

from benchmarks.kernels.measure import Call, Measurement, agree

LIGHTS = (0.5, 5.0, 50.0, 5000.0)


def measurements(height: int, width: int, device: torch.device) -> Iterator[Measurement]:
    """Counts at four levels of light, thinning, and a step of the exposure process in the dark."""
    route = "gpu" if device.type == "cuda" else "cpu"
    shape = (4, height // 2, width // 2)
    for light in LIGHTS:
        mean = torch.full(shape, light, device=device)
        yield Measurement(
            "photon", f"poisson, mean {light:g}", Cost(mean.numel() * 8, mean.numel() * 150),
            {route: lambda mean=mean: photon.poisson(mean, 1, route=route)}, _peers(mean, light),
        )  # fmt: skip
    counts = torch.full(shape, 20.0, device=device)
    yield Measurement(
        "photon", "thin 20 counts by 1/2", Cost(counts.numel() * 8, counts.numel() * 150),
        {route: lambda: photon.thin(counts, 0.5, 1, route=route)},
        {"torch.binomial": lambda: torch.binomial(counts, torch.full_like(counts, 0.5))},
    )  # fmt: skip
    state = torch.rand(shape, device=device) * 0.2
    exposure = torch.full(shape[1:], 34.0, device=device)
    yield Measurement(
        "photon", "reexpose to a map", cost(state),
        {route: lambda: photon.reexpose(state, state, exposure, 3.0, 1, route=route)},
    )  # fmt: skip


def _peers(mean: Tensor, light: float) -> dict[str, Call]:
    peers: dict[str, Call] = {"torch.poisson": lambda: torch.poisson(mean)}
    if mean.device.type == "cpu":
        generator = np.random.default_rng(1)
        drawn = torch.from_numpy(generator.poisson(light, 100_000).astype(np.float32))
        # Both sample one law: their means agree within five standard errors.
        own = photon.poisson(torch.full((100_000,), light), 2)
        agree([own.mean()], [drawn.mean()], relative=5 * (2 / (light * 100_000)) ** 0.5)
        peers["NumPy"] = lambda: generator.poisson(light, tuple(mean.shape))
    return peers
