"""Calls of the merge op: roots and divisions in a fixed order, hence equal bits on every route."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from rawdiff_kernels import merge
from rawdiff_kernels.routes import Route
from rawdiff_kernels.testing import ODD_SIZES, AgreementCase, strided
from torch import Tensor

GAIN, SIGMA = (0.9, 1.0, 1.0, 1.2), (1.5, 2.0, 2.0, 0.0)
BOTH: tuple[Route, ...] = ("cpu", "gpu")


def _burst(height: int, width: int, device: torch.device, view: bool) -> dict[str, Tensor]:
    """Sums after some frames, a frame with holes and a moved part, its share and a field of vectors."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    scene = 40 * torch.rand(4, height, width, generator=generator)
    weight = 1 + 3 * torch.rand(height, width, generator=generator)
    frame = scene + 5 * torch.randn(scene.shape, generator=generator)
    frame[:, height // 2 :, : width // 2] += 30
    frame[1][torch.rand(height, width, generator=generator) < 0.05] = float("nan")
    share = torch.rand(height, width, generator=generator)
    tensors = {
        "total": scene * weight,
        "weight": weight,
        "square": weight * (0.4 + torch.rand(height, width, generator=generator)),
        "frame": frame,
        "share": torch.where(share < 0.1, 0.0, share),
        "trust": torch.rand(height, width, generator=generator).round(decimals=1),
        "field": 3 * torch.randn(-(-height // 5), -(-width // 5), 2, generator=generator),
    }
    tensors["field"][:1, :1] = 0.0
    tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    return {name: strided(tensor) for name, tensor in tensors.items()} if view else tensors


def _accumulate(height: int, width: int, radius: int, view: bool = False, gpu: bool = True) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        b = _burst(height, width, device, view)
        sums = (b["total"], b["weight"], b["square"])
        reference = (b["total"] / b["weight"]).clone()
        known = {"gain": GAIN, "sigma": SIGMA, "radius": radius, "route": route}
        first = merge.accumulate(*sums, b["frame"], b["share"], exposure=2.5, misregistration=0.2, **known)
        second = merge.accumulate(*sums, b["frame"], b["share"], reference=reference, **known)
        merge.accumulate(*sums, b["frame"], b["share"], b["trust"], 0.5, route=route)
        names = ("total", "weight", "square", "first", "second")
        return dict(zip(names, (*(s.clone() for s in sums), first, second), strict=True))

    name = f"accumulate {height}x{width} radius {radius}{' view' if view else ''}"
    return AgreementCase(name, compute, 0.0, BOTH if gpu else ("cpu",))


def _mismatch(height: int, width: int, radius: int, view: bool = False, gpu: bool = True) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        b = _burst(height, width, device, view)
        estimate = b["total"] / b["weight"]
        variance = estimate.abs() / b["weight"]
        found = merge.mismatch(
            estimate, variance, b["frame"], b["share"], GAIN, SIGMA, 2.0, radius, route=route
        )
        return {"energy": found[0], "shift": found[1]}

    name = f"mismatch {height}x{width} radius {radius}{' view' if view else ''}"
    return AgreementCase(name, compute, 0.0, BOTH if gpu else ("cpu",))


def _warp(
    height: int,
    width: int,
    samples: int = 2,
    red: tuple[int, int] = (0, 0),
    view: bool = False,
    gpu: bool = True,
) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        b = _burst(height, width, device, view)
        taps = merge.mosaic_taps((0.5, 1.0, 0.7), (0.6, 1.0, 0.8), samples)
        planes, share = merge.warp(b["frame"], b["field"], 5, 2.0, taps, red=red, route=route)
        rows = (height // 3, height // 3 + max(height // 2, 1))
        band, _ = merge.warp(b["frame"], b["field"], 5, 2.0, taps, red=red, rows=rows, route=route)
        return {"planes": planes, "share": share, "band": band}

    name = f"warp {height}x{width}, {samples} samples, red {red}{' view' if view else ''}"
    return AgreementCase(name, compute, 0.0, BOTH if gpu else ("cpu",))


def cases() -> Iterator[AgreementCase]:
    """Odd sizes, windows wider than the frame, strips, holes, views."""
    for size in ODD_SIZES:
        small = size in (1, 63)
        yield _accumulate(size, 7, 2, gpu=small)
        yield _accumulate(4, size, 0, gpu=False)
        yield _mismatch(size, 7, 2, gpu=small)
        yield _mismatch(5, size, 6, gpu=False)
        yield _warp(size, 7, gpu=size == 257)
        yield _warp(4, size, gpu=False)
    for samples, red in ((1, (1, 1)), (2, (0, 1)), (3, (1, 0))):
        yield _warp(17, 21, samples, red)
    yield from (_accumulate(63, 20, 3, view=True), _mismatch(63, 20, 1, view=True), _warp(20, 33, view=True))
