"""The laws of tile matching: known shifts are found, what is left out has no say, flat tiles stay."""

from __future__ import annotations

import math

import pytest
import torch
from rawdiff_kernels import align, checks
from rawdiff_kernels.align import reference as plain
from rawdiff_kernels.align.reference import Metric
from torch import Tensor


def _scene(height: int, width: int, shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """A scene seen from a shifted place: waves of at least five pixels, so that any shift is exact."""
    generator = torch.Generator().manual_seed(12)
    waves = torch.rand(60, 4, generator=generator, dtype=torch.float64)
    y = torch.arange(height, dtype=torch.float64)[:, None] - shift[0]
    x = torch.arange(width, dtype=torch.float64)[None, :] - shift[1]
    scene = torch.zeros(height, width, dtype=torch.float64)
    for frequency_y, frequency_x, phase, height_of in waves:
        turn = (frequency_y - 0.5) * y + (frequency_x - 0.5) * x
        scene += height_of * torch.sin(2 * math.pi * (0.28 * turn + phase))
    return scene.float()


@pytest.mark.parametrize("metric", ["l1", "l2"])
@pytest.mark.parametrize("shift", [(0, 0), (3, -4), (-4, 4), (1, 2)])
def test_whole_pixel_shifts_are_found_exactly(metric: Metric, shift: tuple[int, int]) -> None:
    own, other = _scene(64, 80), _scene(64, 80, shift)
    vectors, cost = align.match_tiles(own, other, 16, 4, metric=metric, subpixel=False)
    assert vectors.shape == (7, 9, 2)
    inner = vectors[1:-1, 1:-1]
    assert torch.equal(inner, torch.tensor(shift, dtype=torch.float32).expand_as(inner))
    assert float(cost[1:-1, 1:-1].max()) < 1e-6


@pytest.mark.parametrize("shift", [(0.5, 0.25), (-1.3, 2.6), (0.0, -0.75)])
def test_fractions_of_a_pixel_are_found_within_a_twelfth(shift: tuple[float, float]) -> None:
    """The quadratic fit to squared differences; its bias on this scene stays below 0.08 pixel."""
    own, other = _scene(64, 80), _scene(64, 80, shift)
    vectors, _ = align.match_tiles(own, other, 16, 4, metric="l2")
    error = (vectors[1:-1, 1:-1] - torch.tensor(shift)).abs()
    assert float(error.max()) < 0.2
    assert float(error.mean()) < 0.08


def test_the_search_goes_around_its_start() -> None:
    own, other = _scene(64, 80), _scene(64, 80, (9, -7))
    start = torch.tensor((7.6, -8.4)).expand(7, 9, 2)
    vectors, _ = align.match_tiles(own, other, 16, 2, start, subpixel=False)
    assert torch.equal(vectors[2:-2, 2:-2], torch.tensor((9.0, -7.0)).expand(3, 5, 2))


def test_a_pyramid_finds_a_large_shift() -> None:
    own, other = _scene(256, 256), _scene(256, 256, (20, -28))
    levels = [(own, other)]
    for _ in range(2):
        levels.append((align.downsample(levels[-1][0]), align.downsample(levels[-1][1])))
    vectors = None
    for a, b in reversed(levels):
        rows, columns = align.tile_grid(*a.shape, 16, 8)
        middle = torch.zeros(2) if vectors is None else 2 * vectors.median(0)[0].median(0)[0]
        start = middle.expand(rows, columns, 2)
        vectors, _ = align.match_tiles(a, b, 16, 8 if vectors is None else 2, start)
    assert vectors is not None
    inner = vectors[6:-6, 6:-6].round()
    assert torch.equal(inner, torch.tensor((20.0, -28.0)).expand_as(inner))


def test_flat_tiles_stay_where_they_start() -> None:
    flat = torch.full((32, 32), 0.3)
    start = torch.tensor((2.0, -1.0)).expand(3, 3, 2)
    vectors, cost = align.match_tiles(flat, flat, 16, 3, start)
    assert torch.equal(vectors, start) and float(cost.max()) == 0.0


def test_the_penalty_holds_noise_to_the_start() -> None:
    generator = torch.Generator().manual_seed(2)
    own, other = torch.rand(96, 96, generator=generator), torch.rand(96, 96, generator=generator)
    free, _ = align.match_tiles(own, other, 16, 4, subpixel=False)
    held, _ = align.match_tiles(own, other, 16, 4, subpixel=False, length_penalty=1.0)
    assert float(free.abs().mean()) > 1.0 and float(held.abs().max()) == 0.0


def test_pixels_that_are_nan_have_no_say() -> None:
    """A saturated patch that does not move would win; marked by NaN it does not."""
    own, other = _scene(48, 48), _scene(48, 48, (2, 1))
    blown = torch.zeros(48, 48, dtype=torch.bool)
    blown[18:26, 18:26] = True
    own_marked, other_marked = own.masked_fill(blown, math.nan), other.masked_fill(blown, math.nan)
    vectors, cost = align.match_tiles(own_marked, other_marked, 16, 3, subpixel=False)
    assert torch.equal(vectors[1:-1, 1:-1], torch.tensor((2.0, 1.0)).expand(3, 3, 2))
    assert bool(cost.isfinite().all())


def test_a_tile_without_partners_stays_and_costs_infinity() -> None:
    own = _scene(32, 32)
    vectors, cost = align.match_tiles(own, torch.full((32, 32), math.nan), 16, 2)
    assert float(vectors.abs().max()) == 0.0 and bool(cost.isinf().all())
    start = torch.full((3, 3, 2), 500.0)
    vectors, cost = align.match_tiles(own, own, 16, 1, start)
    assert torch.equal(vectors, start) and bool(cost.isinf().all())


def test_the_fit_finds_the_minimum_of_a_quadratic() -> None:
    y, x = torch.meshgrid(torch.arange(-1.0, 2.0), torch.arange(-1.0, 2.0), indexing="ij")
    bowl = 3 * (y - 0.4) ** 2 + 2 * (x + 0.3) ** 2 + 0.8 * (y - 0.4) * (x + 0.3) + 5
    step = plain.subpixel_step(bowl.reshape(1, 9).double())
    torch.testing.assert_close(step, torch.tensor([[0.4, -0.3]], dtype=torch.float64))
    assert torch.equal(plain.subpixel_step(-bowl.reshape(1, 9)), torch.zeros(1, 2))


def test_downsampling_keeps_the_mean_and_halves_places() -> None:
    ramp = torch.arange(40, dtype=torch.float32).expand(30, 40)
    half = align.downsample(ramp)
    assert half.shape == (15, 20)
    # The centre of a coarse pixel is that of its 2x2 pixels.
    torch.testing.assert_close(half[3, 2:-2], torch.arange(2, 18) * 2 + 0.5)
    assert align.downsample(torch.ones(7, 1)).eq(1).all()
    holed = ramp.clone()
    holed[10, 10] = math.nan
    assert align.downsample(holed).isnan().sum() == 4


OWN = torch.rand(20, 24)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((OWN[None], OWN, 8, 1), {}, "reference has shape"),
        ((OWN, OWN.double(), 8, 1), {}, "alternate has dtype float64"),
        ((OWN.int(), OWN, 8, 1), {}, "reference has dtype int32"),
        ((OWN, OWN, 0, 1), {}, "tile"),
        ((OWN, OWN, 8, 33), {}, "radius"),
        ((OWN, OWN, 8, 1, torch.zeros(2, 2, 2)), {}, r"start has shape \[2, 2, 2\]"),
        ((OWN, OWN, 8, 1, torch.full((4, 5, 2), math.nan)), {}, "finite"),
        ((OWN, OWN.to("meta"), 8, 1), {}, "meta"),
        ((OWN, OWN, 8, 1), {"stride": 9}, "stride"),
        ((OWN, OWN, 8, 1), {"metric": "ncc"}, "metric"),
        ((OWN, OWN, 8, 1), {"length_penalty": -1.0}, "length_penalty"),
        ((OWN, OWN, 8, 1), {"route": "gpu"}, "gpu route of align"),
        ((OWN.double(), OWN.double(), 8, 1), {"route": "cpu"}, "float64"),
    ],
)
def test_wrong_arguments_are_refused_by_name(
    arguments: tuple[object, ...], options: dict[str, object], words: str
) -> None:
    with pytest.raises(checks.KernelError, match=words):
        align.match_tiles(*arguments, **options)  # type: ignore[arg-type]
