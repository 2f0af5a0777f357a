"""The laws of the Haar transform, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from rawdiff_kernels import haar
from rawdiff_kernels.checks import DTypeError, KernelError, RouteError, ShapeError
from rawdiff_kernels.haar import Coefficients
from rawdiff_kernels.testing import ODD_SIZES


def _noise(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(11), dtype=dtype)


@pytest.mark.parametrize("levels", [1, 2, 3, 5])
@pytest.mark.parametrize("height", ODD_SIZES)
@pytest.mark.parametrize("width", ODD_SIZES)
def test_reconstruction_is_perfect(height: int, width: int, levels: int) -> None:
    image = torch.rand(height, width, generator=torch.Generator().manual_seed(5))
    restored = haar.inverse(haar.forward(image, levels))
    assert float((restored - image).abs().max()) < 1e-6


def test_even_sizes_keep_energy_and_inner_products() -> None:
    left, right = _noise(2, 48, 80, dtype=torch.float64)
    a, b = haar.forward(left, 3), haar.forward(right, 3)
    product = sum(
        float((x * y).sum()) for x, y in zip((a.average, *a.details), (b.average, *b.details), strict=True)
    )
    assert product == pytest.approx(float((left * right).sum()), rel=1e-12)


def test_the_published_ramp() -> None:
    """A 4x4 ramp 0..15: LL = [[5, 9], [21, 25]], HL = 1, LH = 4, HH = 0."""
    found = haar.forward(torch.arange(16.0).reshape(4, 4), 1)
    assert found.average.tolist() == [[5.0, 9.0], [21.0, 25.0]]
    assert [band.unique().tolist() for band in found.details[0]] == [[1.0], [4.0], [0.0]]


@pytest.mark.parametrize("shape", [(8, 12), (7, 9), (1, 6), (257, 63), (6, 10)])
def test_signs_against_pywavelets(shape: tuple[int, int]) -> None:
    image = _noise(*shape, dtype=torch.float64)
    found = haar.forward(image, 2)
    expected = image.numpy()
    for bands in found.details:
        expected, (horizontal, vertical, diagonal) = pywt.dwt2(expected, "haar", mode="symmetric")
        np.testing.assert_allclose(bands.numpy(), [-vertical, -horizontal, diagonal], atol=1e-12)
    np.testing.assert_allclose(found.average.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 10), (5, 7), (1, 1), (8, 4), (3, 6)])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_gradients(shape: tuple[int, int], levels: int) -> None:
    image = _noise(2, *shape, dtype=torch.float64).requires_grad_()

    def bands_of(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = haar.forward(x, levels)
        return (found.average, *found.details)

    def image_of(average: torch.Tensor, *details: torch.Tensor) -> torch.Tensor:
        return haar.inverse(Coefficients(average, details, shape))

    assert torch.autograd.gradcheck(bands_of, image)
    bands = [band.detach().requires_grad_() for band in bands_of(image)]
    assert torch.autograd.gradcheck(image_of, bands)


def test_gradients_of_gradients() -> None:
    image = _noise(5, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: haar.forward(x, 2).average.pow(3), image)


def test_leading_dimensions_are_independent() -> None:
    images = _noise(2, 3, 10, 14)
    batched = haar.forward(images, 2)
    single = haar.forward(images[1, 2], 2)
    assert torch.equal(batched.average[1, 2], single.average)
    assert torch.equal(batched.details[0][1, 2], single.details[0])


def test_what_is_refused() -> None:
    with pytest.raises(DTypeError, match="image has dtype int64, expected float32 or float64"):
        haar.forward(torch.zeros(4, 4, dtype=torch.int64), 1)
    with pytest.raises(ShapeError, match=r"image has shape \[4\]"):
        haar.forward(torch.zeros(4), 1)
    with pytest.raises(ShapeError, match="none of them empty"):
        haar.forward(torch.zeros(0, 4), 1)
    with pytest.raises(KernelError, match="levels must be at least 1, got 0"):
        haar.forward(torch.zeros(4, 4), 0)
    with pytest.raises(RouteError, match="the cpu route of haar cannot run: float64"):
        haar.forward(torch.zeros(4, 4, dtype=torch.float64), 1, route="cpu")
    found = haar.forward(torch.zeros(6, 10), 2)
    with pytest.raises(ShapeError, match="average has shape"):
        haar.inverse(found._replace(size=(12, 10)))
    with pytest.raises(ShapeError, match="details of level 2 has shape"):
        haar.inverse(found._replace(details=(found.details[0], found.details[1][..., :1])))
    with pytest.raises(DTypeError, match="details of level 1"):
        haar.inverse(found._replace(details=(found.details[0].double(), found.details[1])))
    with pytest.raises(KernelError, match="no detail band"):
        haar.inverse(found._replace(details=()))
