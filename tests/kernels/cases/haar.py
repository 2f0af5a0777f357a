"""Calls of the Haar op whose routes must give equal bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from rawdiff_kernels import haar
from rawdiff_kernels.routes import Route
from rawdiff_kernels.testing import ODD_SIZES, AgreementCase, strided
from torch import Tensor


def _image(shape: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(device)


def _round_trip(shape: tuple[int, ...], levels: int, view: bool = False) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        image = _image(shape, device)
        found = haar.forward(strided(image) if view else image, levels, route=route)
        # Shrunk details, so that the inverse is not merely fed with what it undoes.
        shrunk = [strided(0.7 * band) if view else 0.7 * band for band in found.details]
        restored = haar.inverse(haar.Coefficients(found.average, tuple(shrunk), found.size), route=route)
        bands = {f"details {level}": band for level, band in enumerate(found.details, start=1)}
        return {"average": found.average, "restored": restored} | bands

    return AgreementCase(f"{'x'.join(map(str, shape))} {levels}{' view' if view else ''}", compute, 0.0)


def _gradients(shape: tuple[int, ...], levels: int) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        image = _image(shape, device).requires_grad_()
        found = haar.forward(image, levels, route=route)
        restored = haar.inverse(
            haar.Coefficients(found.average.sin(), tuple(band.cos() for band in found.details), found.size),
            route=route,
        )
        loss = (restored * _image(shape, device).square()).sum() + found.average.pow(3).sum()
        (gradient,) = torch.autograd.grad(loss, image)
        return {"restored": restored, "gradient": gradient}

    return AgreementCase(f"gradients {'x'.join(map(str, shape))} {levels}", compute, 1e-6)


def cases() -> Iterator[AgreementCase]:
    """Every odd size at one to three levels, batches, views, gradients."""
    for number, size in enumerate(ODD_SIZES):
        yield _round_trip((size, ODD_SIZES[number - 2]), 1 + number % 2)
        yield _round_trip((size, 6), 2)
    yield _round_trip((257, 63), 2)
    yield _round_trip((2, 3, 7, 63), 3)
    yield _round_trip((3, 64, 48), 2)
    yield _round_trip((6, 10), 3)
    yield _round_trip((2, 63, 7), 2, view=True)
    yield _gradients((2, 7, 13), 2)
    yield _gradients((5, 8, 6), 1)
    yield _gradients((6, 10), 3)
