"""Calls of the Anscombe op whose routes must agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from rawdiff_kernels import anscombe
from rawdiff_kernels.anscombe.op import Constant
from rawdiff_kernels.routes import Route
from rawdiff_kernels.testing import ODD_SIZES, AgreementCase, strided
from torch import Tensor

KINDS = ("numbers", "planes", "maps", "gain map", "sigma map")


def _parameters(
    kind: str, shape: tuple[int, ...], device: torch.device
) -> tuple[Tensor | float, Tensor | float]:
    generator = torch.Generator().manual_seed(3)
    gain_map = (0.2 + 3.0 * torch.rand(shape, generator=generator)).to(device)
    sigma_map = (8.0 * torch.rand(shape, generator=generator).pow(3)).to(device)
    if kind == "numbers":
        return 0.73, 1.9
    if kind == "planes":
        return gain_map[..., :1, :1], sigma_map[..., :1, :1]
    gain = gain_map if kind != "sigma map" else 1.7
    return gain, sigma_map if kind != "gain map" else 0.0


def _case(
    shape: tuple[int, ...], kind: str, view: bool = False, constant: Constant = "level"
) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        generator = torch.Generator().manual_seed(sum(shape))
        x = (torch.randn(shape, generator=generator).pow(3) * 30.0 + 2.0).to(device)
        z = (torch.randn(shape, generator=generator).abs().pow(2) * 9.0 - 0.3).to(device)
        if view:
            x, z = strided(x), strided(z)
        x.requires_grad_()
        z.requires_grad_()
        gain, sigma = _parameters(kind, shape, device)
        stable = anscombe.forward(x, gain, sigma, constant=constant, route=route)
        linear = anscombe.inverse(z, gain, sigma, constant=constant, route=route)
        # Weights that follow from the outputs, such as their sine, would be ill-conditioned.
        weight = torch.randn(shape, generator=generator).to(device)
        gx, gz = torch.autograd.grad((stable * weight).sum() + (linear * weight).sum(), (x, z))
        return {"stable": stable, "linear": linear, "gradient x": gx, "gradient z": gz}

    return AgreementCase(f"{'x'.join(map(str, shape))} {kind}{' view' if view else ''} {constant}", compute)


def _special() -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        z = torch.tensor([0.0, -1.0, float("nan"), float("inf"), 1e-20, 1e4], device=device)
        return {
            "forward": anscombe.forward(z, 2.0, 0.5, route=route),
            "inverse": anscombe.inverse(z, 2.0, 0.5, route=route),
            "map": anscombe.inverse(z, 2.0, torch.full_like(z, 0.5), route=route),
        }

    return AgreementCase("NaN, infinity, nothing", compute)


def cases() -> Iterator[AgreementCase]:
    """Every odd size, every layout of gain and sigma, views, special values."""
    for number, size in enumerate(ODD_SIZES):
        yield _case((size, ODD_SIZES[number - 2]), KINDS[number % len(KINDS)])
    for kind in KINDS:
        yield _case((4, 7, 63), kind)
    yield _case((2, 3, 7, 13), "planes")
    yield _case((257,), "numbers")
    yield _case((4, 7, 63), "planes", view=True)
    yield _case((4, 7, 63), "maps", view=True)
    yield _case((4, 7, 63), "planes", constant="published")
    yield _case((4, 7, 63), "maps", constant="published")
    yield _special()
