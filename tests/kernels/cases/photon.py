"""Calls of the photon op whose routes must give equal bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from rawdiff_kernels import photon
from rawdiff_kernels.routes import Route
from rawdiff_kernels.testing import ODD_SIZES, AgreementCase, strided
from torch import Tensor

SEED = (1 << 63) + 12345
LIGHTS = (0.3, 8.0, 40.0, 3e3, 1e7)
"""Mean counts of both samplers: inversion below 10, rejection above, with a series and without."""


def _light(shape: Sequence[int], device: torch.device) -> Tensor:
    """Means from 0 over every regime, and the three that have no count."""
    generator = torch.Generator().manual_seed(sum(shape))
    mean = torch.rand(*shape, generator=generator).flatten()
    mean *= torch.tensor(LIGHTS).repeat(-(-mean.numel() // len(LIGHTS)))[: mean.numel()]
    mean[:1] = 0.0
    if mean.numel() > 20:
        mean[10:14] = torch.tensor([-1.0, float("nan"), float("inf"), 10.0])
    return mean.reshape(shape).to(device)


def _bits(shape: Sequence[int]) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        place = {"origin": (5, 3), "device": device, "route": route}
        return {
            "bits": photon.random_bits(shape, SEED, 7, **place),
            "uniform": photon.uniform(shape, 3, **place),
        }

    return AgreementCase(f"bits {list(shape)}", compute, 0.0)


def _counts(shape: Sequence[int], view: bool = False, gpu: bool = True) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        mean = _light(shape, device)
        number = (3.0 * mean).floor()
        chance = torch.rand(shape[-1], generator=torch.Generator().manual_seed(5)).to(device)
        mean, number = (strided(mean), strided(number)) if view else (mean, number)
        return {
            "poisson": photon.poisson(mean, SEED, 7, origin=(1, 2), route=route),
            "thin": photon.thin(number, chance, SEED, 8, route=route),
            "thin by a number": photon.thin(number, 0.75, 1, route=route),
        }

    routes: tuple[Route, ...] = ("cpu", "gpu") if gpu else ("cpu",)
    return AgreementCase(f"counts {list(shape)}{' view' if view else ''}", compute, 0.0, routes)


def _exposure(shape: Sequence[int], light: float, view: bool = False, gpu: bool = True) -> AgreementCase:
    def compute(route: Route, device: torch.device) -> Mapping[str, Tensor]:
        generator = torch.Generator().manual_seed(11)
        state = torch.randn(*shape, generator=generator).to(device)
        prediction = (torch.rand(*shape, generator=generator) * 1.4 - 0.2).to(device)
        start = (1.0 + torch.rand(*shape[-2:], generator=generator)).to(device)
        white = light * (1.0 + torch.rand(shape[0], 1, 1, generator=generator)).to(device)
        state, prediction = (strided(state), strided(prediction)) if view else (state, prediction)
        state.requires_grad_()
        prediction.requires_grad_()
        exposed = photon.reexpose(state, prediction, 34.0, white, 9, 2, start=start, route=route)
        exposed.backward(torch.linspace(-1, 1, exposed.numel(), device=device).reshape(exposed.shape))
        assert state.grad is not None and prediction.grad is not None
        return {"exposed": exposed, "by state": state.grad, "by prediction": prediction.grad}

    routes: tuple[Route, ...] = ("cpu", "gpu") if gpu else ("cpu",)
    return AgreementCase(f"exposure {list(shape)} {light:g}{' view' if view else ''}", compute, 0.0, routes)


def cases() -> Iterator[AgreementCase]:
    """Odd sizes, every regime of light, maps that broadcast, views, gradients."""
    for size in ODD_SIZES:
        yield _bits((size, 5))
        yield _counts((3, size), gpu=size == 257)
        yield _counts((size, 1, 2), gpu=False)
        yield _exposure((2, size, 3), 30.0, gpu=False)
    yield _bits((2, 3, 7, 63))
    yield _counts((63,), view=True, gpu=False)
    yield _exposure((4, 7, 23), 0.4, view=True)
    yield _exposure((4, 7, 23), 40.0)
