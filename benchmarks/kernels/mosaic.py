"""Normalise-and-pack and its inverse, beside NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from rawdiff_kernels import mosaic
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.mosaic.op import cost
from rawdiff_kernels.routes import Route

from benchmarks.kernels.measure import Call, Measurement, agree

BLACK, WHITE, GAIN = (512.0,) * 4, (16383.0,) * 4, (2.1, 1.0, 1.0, 1.6)


def measurements(height: int, width: int, device: torch.device) -> Iterator[Measurement]:
    """Pack 16-bit counts, and place the planes back."""
    generator = torch.Generator().manual_seed(0)
    shot = torch.randint(0, 16384, (height, width), generator=generator).to(torch.uint16).to(device)
    fast: tuple[Route, ...] = ("gpu",) if device.type == "cuda" else ("cpu",)
    kinds = (*fast, "reference")
    levels = ("RGGB", BLACK, WHITE, GAIN)
    yield Measurement(
        "mosaic", "pack uint16", cost(shot),
        {route: lambda route=route: mosaic.pack(shot, *levels, route=route) for route in kinds},
        _peers(shot) if device.type == "cpu" else {},
    )  # fmt: skip
    packed = mosaic.pack(shot, "RGGB", BLACK, WHITE, GAIN)
    yield Measurement(
        "mosaic", "unpack", Cost(packed.numel() * 8, packed.numel() * 2),
        {route: lambda route=route: mosaic.unpack(packed, *levels, route=route) for route in kinds},
    )  # fmt: skip


def _peers(shot: torch.Tensor) -> dict[str, Call]:
    counts = shot.numpy()
    scale = np.asarray(GAIN, np.float32) / np.float32(16383.0 - 512.0)

    def by_numpy() -> np.ndarray:
        sites = ((0, 0), (0, 1), (1, 0), (1, 1))
        planes = [
            (counts[y::2, x::2].astype(np.float32) - 512.0) * scale[i] for i, (y, x) in enumerate(sites)
        ]
        return np.stack(planes)

    agree([torch.from_numpy(by_numpy())], [mosaic.pack(shot, "RGGB", BLACK, WHITE, GAIN)])
    return {"NumPy": by_numpy}
