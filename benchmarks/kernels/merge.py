"""What a burst pays for each frame after the first: warping, judging, adding; on packed raw."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from rawdiff_kernels import merge
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.merge.op import cost

from benchmarks.kernels.measure import Measurement

GAIN, SIGMA = (1.0,) * 4, (2.0,) * 4


def measurements(height: int, width: int, device: torch.device) -> Iterator[Measurement]:
    """Each step alone, on frames of random light."""
    generator = torch.Generator().manual_seed(0)
    frame = (50 * torch.rand(4, height // 2, width // 2, generator=generator)).to(device)
    field = torch.randn(height // 32 + 1, width // 32 + 1, 2, generator=generator).to(device)
    sums = (frame.clone(), torch.ones_like(frame[0]), torch.ones_like(frame[0]))
    taps = merge.mosaic_taps((0.5, 1.0, 0.7), (0.5, 1.0, 0.7))
    share = torch.full_like(frame[0], 0.6)
    route = "gpu" if device.type == "cuda" else "cpu"
    cells = share.numel()
    yield Measurement(
        "merge", "warp", Cost(cells * 4 * 9, cells * (4 * 48 + 40)),
        {route: lambda: merge.warp(frame, field, 16, 7.5, taps, route=route)},
    )  # fmt: skip
    known = {"gain": GAIN, "sigma": SIGMA, "route": route}
    yield Measurement(
        "merge", "accumulate, judging, radius 2", cost(frame),
        {route: lambda: merge.accumulate(*sums, frame, share, **known)},
    )  # fmt: skip
    yield Measurement(
        "merge", "accumulate with a given trust", Cost(cells * 4 * 18, cells * 20),
        {route: lambda: merge.accumulate(*sums, frame, share, share, route=route)},
    )  # fmt: skip
    for radius in (2, 6):
        operations = cells * (4 * 20 + 24 * (2 * radius + 1))
        yield Measurement(
            "merge", f"mismatch, radius {radius}", Cost(cells * 4 * 15, operations),
            {route: lambda radius=radius: merge.mismatch(
                frame, frame, frame, share, GAIN, SIGMA, 1.0, radius, route=route)},
        )  # fmt: skip
