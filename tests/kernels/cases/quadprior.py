"""Calls of the quadprior op: the filters give equal bits, the angles and the logarithm agree closely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from rawdiff_kernels import quadprior
from rawdiff_kernels.quadprior.reference import Form, Padding
from rawdiff_kernels.routes import Route
from rawdiff_kernels.testing import ODD_SIZES, AgreementCase, strided


def _prior(
    height: int, width: int, scales: Sequence[float], form: Form, padding: Padding, view: bool = False,
    gpu: bool = True, gradients: bool = False,
) -> AgreementCase:  # fmt: skip
    def compute(route: Route, device: torch.device) -> Mapping[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(height * 1000 + width)
        rgb = torch.rand(len(scales), 3, height, width, generator=generator).to(device)
        rgb[:, :, ::3] = rgb[:, :1, ::3]
        matrix = quadprior.default_matrix(device=device)
        scale = torch.tensor(scales, device=device)
        rgb = strided(rgb) if view else rgb
        inputs = {"rgb": rgb, "matrix": matrix, "scale": scale}
        for tensor in inputs.values():
            tensor.requires_grad_(gradients)
        out = quadprior.prior(rgb, matrix, scale, form=form, padding=padding, route=route)
        found = {"H": out[:, 0], "C": out[:, 1], "O": out[:, 2:5], "W": out[:, 5]}
        if gradients:
            weight = torch.randn(out.shape, generator=generator).to(device)
            weight[:, 2:5] = 0.0
            (out * weight).sum().backward()
            found |= {f"by {name}": _gradient(tensor) for name, tensor in inputs.items()}
        return found

    options = f"{' view' if view else ''}{' gradients' if gradients else ''}"
    name = f"{height}x{width} {scales} {form} {padding}{options}"
    return AgreementCase(name, compute, routes=("cpu", "gpu") if gpu else ("cpu",))


def _gradient(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None
    return tensor.grad


def cases() -> Iterator[AgreementCase]:
    """Odd sizes, filters wider than the picture, a block's border, both forms, views, gradients."""
    for size in ODD_SIZES:
        yield _prior(size, 7, (0.0, -2.5), "invariant", "reflect", gpu=size in (1, 257))
        yield _prior(3, size, (1.5,), "published", "zero", gpu=False)
        yield _prior(size, 1, (2.5,), "invariant", "reflect", gpu=False)
    yield _prior(63, 20, (-1.0, 1.0), "published", "zero")
    yield _prior(40, 1100, (0.0,), "invariant", "zero", gpu=False)
    yield _prior(140, 9, (0.0,), "published", "reflect", gpu=False)
    yield _prior(7, 33, (0.0,), "invariant", "reflect", view=True)
    yield _prior(9, 12, (0.3, -1.0), "invariant", "reflect", gradients=True)
