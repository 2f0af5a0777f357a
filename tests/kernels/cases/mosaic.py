"""Calls of the mosaic op whose routes must give equal bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from rawdiff_kernels import mosaic
from rawdiff_kernels.routes import Route
from rawdiff_kernels.testing import ODD_SIZES, AgreementCase, strided
from torch import Tensor

LEVELS = {
    "black": (512.0, 510.25, 511.0, 513.5),
    "white": (16383.0, 16300.0, 16383.0, 15000.0),
    "gain": (2.1, 1.0, 1.01, 1.63),
}


def _shots(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    counts = torch.randint(0, 65536, (2 * height, 2 * width), generator=generator)
    return (counts.to(dtype) if dtype == torch.uint16 else counts.to(dtype) + 0.37).to(device)


def _pack(height: int, width: int, dtype: torch.dtype, phase: str, view: bool = False) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        shot = _shots(height, width, dtype, device)
        packed = mosaic.pack(strided(shot) if view else shot, phase, **LEVELS, route=route)
        return {"packed": packed}

    return AgreementCase(f"pack {height}x{width} {dtype} {phase}{' view' if view else ''}", compute, 0.0)


def _unpack(height: int, width: int, phase: str, view: bool = False) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        generator = torch.Generator().manual_seed(7)
        planes = torch.randn(4, height, width, generator=generator).to(device)
        planes = strided(planes) if view else planes
        return {
            "mosaic": mosaic.unpack(planes, phase, **LEVELS, route=route),
            "placed": mosaic.unpack(planes, phase, route=route),
        }

    return AgreementCase(f"unpack {height}x{width} {phase}{' view' if view else ''}", compute, 0.0)


def _gradients() -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        shot = _shots(7, 63, torch.float32, device).requires_grad_()
        packed = mosaic.pack(shot, "GBRG", **LEVELS, route=route)
        placed = mosaic.unpack(packed, "BGGR", (0.0,) * 4, (2.0, 3.0, 5.0, 7.0), route=route)
        weight = torch.linspace(-1, 1, placed.numel(), device=device).reshape(placed.shape)
        (placed * weight).sum().backward()
        assert shot.grad is not None
        return {"placed": placed, "gradient": shot.grad}

    return AgreementCase("gradients", compute, 0.0)


def cases() -> Iterator[AgreementCase]:
    """Every odd size and phase, both pixel types, views, gradients."""
    for number, size in enumerate(ODD_SIZES):
        phase = ("RGGB", "BGGR", "GRBG", "GBRG")[number % 4]
        yield _pack(size, 63 if size != 63 else 257, torch.uint16, phase)
        yield _pack(3, size, torch.float32, phase)
        yield _unpack(size, 7, phase)
    yield _pack(7, 63, torch.uint16, "GRBG", view=True)
    yield _pack(7, 63, torch.float32, "BGGR", view=True)
    yield _unpack(7, 63, "GBRG", view=True)
    yield _gradients()
