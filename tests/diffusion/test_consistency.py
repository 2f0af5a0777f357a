from __future__ import annotations

import pytest
import torch

from rawdiff.diffusion.consistency import chain, lowfreq, pg_prox, project, wiener

D = torch.float64


def test_projection_takes_what_was_measured() -> None:
    measured = torch.tensor([1.0, 0.0])
    out = project(torch.tensor([5.0, 6.0]), measured)(torch.tensor([1.0, 2.0]), torch.tensor(1.0))
    assert out.tolist() == [5.0, 2.0]


def test_wiener_is_the_gaussian_posterior_mean() -> None:
    y, x0 = torch.tensor([2.0, 2.0], dtype=D), torch.tensor([1.0, 1.0], dtype=D)
    variance, level = torch.tensor([0.5, 0.5], dtype=D), torch.tensor(0.7, dtype=D)
    out = wiener(y, variance, torch.tensor([1.0, 0.0], dtype=D))(x0, level)
    q = 0.7**2
    assert out[0] == pytest.approx((2.0 / 0.5 + 1.0 / q) / (1 / 0.5 + 1 / q))
    assert out[1] == 1.0


@pytest.mark.parametrize("level", [0.01, 0.5, 20.0])
def test_pg_prox_minimises_its_objective(level: float) -> None:
    """The gradient of the objective vanishes at the answer: (1 - y'/x') / a + (x' - x0') / q = 0."""
    generator = torch.Generator().manual_seed(0)
    y = 3 * torch.rand(200, generator=generator, dtype=D)
    x0 = 4 * torch.randn(200, generator=generator, dtype=D)
    a, b, q = torch.tensor(0.3, dtype=D), torch.tensor(0.2, dtype=D), level**2
    x = pg_prox(y, a, b)(x0, torch.tensor(level, dtype=D))
    shifted, count = x + b / a, y + b / a
    assert (shifted > 0).all()
    gradient = (1 - count / shifted) / a + (x - x0) / q
    scale = 1 / a + (x.abs() + x0.abs()) / q + count / shifted / a
    assert ((gradient / scale).abs() < 1e-9).all()


def test_low_frequencies_follow_the_light_measured() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.full((1, 4, 37, 41), 0.2, dtype=D)
    y = truth + 0.05 * torch.randn(truth.shape, generator=generator, dtype=D)
    cast = truth * 1.3
    out = lowfreq(y, torch.tensor(0.05**2, dtype=D), 8)(cast, torch.tensor(1.0, dtype=D))
    # A block mean of 64 values is known to 0.05 / 8; n = 80 blocks, the whole mean to 0.0007: 5 of those.
    assert abs(float(out.mean()) - 0.2) < 0.0035
    assert (out - truth).abs().max() < 6 * 0.05 / 8
    with pytest.raises(ValueError, match="block of 64"):
        lowfreq(y, torch.tensor(1.0), 64)


def test_hooks_chain_in_order() -> None:
    hooks = chain([lambda x, _: x + 1, lambda x, _: x * 2])
    assert hooks(torch.tensor(3.0), torch.tensor(0.0)) == 8
