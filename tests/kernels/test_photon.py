"""The laws of counted light: published random numbers, exact distributions, photons that add up."""

from __future__ import annotations

import math

import pytest
import torch
from rawdiff_kernels import checks, photon
from rawdiff_kernels.photon import reference
from scipy import stats
from torch import Tensor

WORD = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((WORD,) * 4, (WORD, WORD), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_numbers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    """The known-answer vectors that the authors of Philox publish for philox4x32-10."""
    c0, c1, c2, c3 = (torch.tensor([word]) for word in counter)
    found = reference.philox((c0, c1, c2, c3), key[0] | key[1] << 32)
    assert tuple(int(word) for word in found) == words


def test_the_bits_are_philox_of_the_place_on_the_default_route() -> None:
    plane, row, column, seed, stream = 2, 3, 9, 77, 5
    counter = [torch.tensor([part]) for part in (column // 4, row, plane, stream << 8 | 255)]
    words = reference.philox((counter[0], counter[1], counter[2], counter[3]), seed)
    bits = photon.random_bits((3, 4, 10), seed, stream)
    assert int(bits[plane, row, column]) & WORD == int(words[column % 4])


def test_a_tile_draws_what_the_whole_frame_draws_there() -> None:
    mean = torch.linspace(0, 60, 4 * 40 * 50).reshape(4, 40, 50)
    whole = photon.poisson(mean, 3, 1)
    tile = photon.poisson(mean[:, 11:31, 7:30], 3, 1, origin=(11, 7))
    assert torch.equal(tile, whole[:, 11:31, 7:30])
    assert torch.equal(photon.uniform((13, 9), 1, origin=(4, 2)), photon.uniform((20, 20), 1)[4:17, 2:11])


def test_seeds_streams_and_planes_are_independent() -> None:
    """Correlation of n uniform pairs has a standard error of 1/sqrt(n): five of them."""
    n = 1 << 16
    draws = [
        photon.uniform((2, 256, 256), 1),
        photon.uniform((2, 256, 256), 2),
        photon.uniform((2, 256, 256), 1, 1),
    ]
    planes = [plane.flatten().double() for draw in draws for plane in draw]
    planes.append(planes[0].roll(1))
    correlation = torch.corrcoef(torch.stack(planes)) - torch.eye(len(planes), dtype=torch.float64)
    assert correlation.abs().max() < 5 / math.sqrt(n)
    assert all(plane.min() >= 0.0 and plane.max() < 1.0 for plane in planes)
    # The mean of n uniform numbers has the standard error sqrt(1 / (12 n)).
    assert all(abs(plane.mean() - 0.5) < 5 * math.sqrt(1 / (12 * n)) for plane in planes)


def _assert_moments(draws: Tensor, mean: float, variance: float, fourth: float) -> None:
    """Mean and variance within five standard errors: sqrt(v/n), and sqrt((mu4 - v^2)/n)."""
    n = draws.numel()
    values = draws.double()
    assert abs(float(values.mean()) - mean) < 5 * math.sqrt(variance / n)
    assert abs(float(((values - mean) ** 2).mean()) - variance) < 5 * math.sqrt((fourth - variance**2) / n)


@pytest.mark.parametrize("mean", [0.02, 0.7, 9.99, 10.0, 31.4, 500.0, 1e5, 1e7])
def test_poisson_counts_have_the_mean_and_variance_of_light(mean: float) -> None:
    exact = float(torch.tensor(mean))
    counts = photon.poisson(torch.full((300, 1000), mean), 17, 3)
    _assert_moments(counts, exact, exact, exact + 3 * exact**2)


@pytest.mark.parametrize("mean", [0.4, 4.0, 9.9, 10.1, 24.0, 200.0])
def test_poisson_counts_follow_the_distribution(mean: float) -> None:
    """Chi-square over the counts expected at least 20 times; p above 1e-6 (a fixed seed, six tests)."""
    n = 400_000
    counts = photon.poisson(torch.full((400, 1000), mean), 29).flatten().long()
    found = torch.bincount(counts).double()
    law = stats.poisson(float(torch.tensor(mean)))
    _assert_fit(found, law, n)


@pytest.mark.parametrize(("number", "chance"), [(3, 0.2), (30, 0.25), (50, 0.5), (200, 0.9), (5000, 0.01)])
def test_thinned_counts_follow_the_binomial_distribution(number: int, chance: float) -> None:
    n = 400_000
    kept = photon.thin(torch.full((400, 1000), float(number)), chance, 31).flatten().long()
    assert kept.max() <= number
    _assert_fit(torch.bincount(kept).double(), stats.binom(number, float(torch.tensor(chance))), n)


def _assert_fit(found: Tensor, law: stats.rv_discrete, n: int) -> None:
    expected = n * torch.from_numpy(law.pmf(range(found.numel())))
    common = expected >= 20
    rest_found, rest_expected = n - found[common].sum(), n - expected[common].sum()
    statistic = float(((found - expected) ** 2 / expected)[common].sum())
    if rest_expected > 5:
        statistic += float((rest_found - rest_expected) ** 2 / rest_expected)
    assert stats.chi2.sf(statistic, int(common.sum())) > 1e-6


@pytest.mark.parametrize("mean", [2.0, 60.0, 4000.0])
def test_thinning_splits_light_into_independent_lights(mean: float) -> None:
    """A thinned Poisson is Poisson; kept and lost photons are uncorrelated (standard error 1/sqrt(n))."""
    chance = 0.25
    counts = photon.poisson(torch.full((300, 1000), mean), 5)
    kept = photon.thin(counts, chance, 6)
    light = mean * chance
    _assert_moments(kept, light, light, light + 3 * light**2)
    pair = torch.stack([kept.flatten(), (counts - kept).flatten()]).double()
    assert abs(float(torch.corrcoef(pair)[0, 1])) < 5 / math.sqrt(kept.numel())


def test_reexposure_has_the_mean_and_variance_of_a_longer_exposure() -> None:
    """E[Z] = Z0/r + (1 - 1/r) F, Var = F (r - 1) / (w r^2), w = sat / (K R); n = 4e5."""
    white, ratio, light, measured = 15583 / (1.5 * 100), 34.0, 0.3, -0.02
    state, prediction = torch.full((4, 100, 1000), measured), torch.full((4, 100, 1000), light)
    exposed = photon.reexpose(state, prediction, ratio, white, 3)
    added = light * (ratio - 1) * white
    scale = 1 / (white * ratio)
    _assert_moments(
        exposed - measured / ratio,
        (1 - 1 / ratio) * light,
        added * scale**2,
        (added + 3 * added**2) * scale**4,
    )


def test_reexposure_by_steps_of_known_light_equals_one_step() -> None:
    """Adding photons from 1 to 5 and on to 9 has the law of 1 to 9 (Poisson lights add)."""
    light = torch.full((200, 1000), 0.4)
    half = photon.reexpose(light, light, 5.0, 20.0, 1, 0)
    steps = photon.reexpose(half, light, 9.0, 20.0, 1, 1, start=5.0)
    added = 0.4 * 8 * 20.0
    scale = 1 / (20.0 * 9)
    _assert_moments(steps, 0.4, added * scale**2, (added + 3 * added**2) * scale**4)


def test_the_gradient_is_that_of_the_mean() -> None:
    state = torch.zeros(6, requires_grad=True)
    prediction = torch.tensor([-0.5, 0.0, 0.3, 1.0, 1.2, 5.0], requires_grad=True)
    photon.reexpose(state, prediction, 4.0, 50.0, 1).sum().backward()
    assert state.grad is not None and prediction.grad is not None
    assert torch.equal(state.grad, torch.full((6,), 0.25))
    assert torch.equal(prediction.grad, torch.tensor([0.0, 0.75, 0.75, 0.75, 0.0, 0.0]))


def test_no_growth_of_exposure_changes_nothing_and_maps_equal_numbers() -> None:
    state, light = torch.randn(4, 9, 11), torch.rand(4, 9, 11)
    assert torch.equal(photon.reexpose(state, light, 3.0, 40.0, 1, start=3.0), state)
    maps = {"start": torch.full((9, 11), 1.5), "exposure": torch.full((1,), 7.0)}
    white = torch.full((4, 1, 1), 40.0)
    by_maps = photon.reexpose(state, light, maps["exposure"], white, 1, start=maps["start"])
    assert torch.equal(by_maps, photon.reexpose(state, light, 7.0, 40.0, 1, start=1.5))


def test_what_has_no_count_is_nan_and_nothing_else() -> None:
    mean = torch.tensor([-1e-9, 0.0, 1.0, math.nan, math.inf, 50.0])
    assert photon.poisson(mean, 1).isnan().tolist() == [True, False, False, True, True, False]
    counts = torch.tensor([-1.0, 0.0, 2.5, 40.0, math.inf])
    assert photon.thin(counts, 0.5, 1).isnan().tolist() == [True, False, True, False, True]
    assert photon.thin(torch.full((3,), 8.0), torch.tensor([-0.1, 0.0, 1.1]), 1).isnan().tolist() == [
        True,
        False,
        True,
    ]
    assert torch.equal(photon.thin(torch.tensor([5.0, 90.0]), 1.0, 1), torch.tensor([5.0, 90.0]))


def test_float64_is_drawn_like_float32() -> None:
    mean = torch.rand(40, 50) * 30
    assert torch.equal(photon.poisson(mean.double(), 8), photon.poisson(mean, 8).double())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: photon.random_bits((3,), -1), "seed"),
        (lambda: photon.random_bits((3,), 1, 1 << 24), "stream"),
        (lambda: photon.random_bits((3,), 1, origin=(-1, 0)), "origin"),
        (lambda: photon.random_bits((0, 3), 1), "shape"),
        (lambda: photon.random_bits((3,), 1, route="gpu"), "gpu route of photon"),
        (lambda: photon.poisson(torch.ones(3, dtype=torch.int64), 1), "dtype int64"),
        (lambda: photon.poisson(torch.ones(3, dtype=torch.float64), 1, route="cpu"), "float64"),
        (lambda: photon.thin(torch.ones(3), torch.ones(2), 1), r"probability has shape \[2\]"),
        (lambda: photon.thin(torch.ones(3), torch.ones(3, device="meta"), 1), "meta"),
        (lambda: photon.reexpose(torch.ones(3), torch.ones(2), 2.0, 9.0, 1), "prediction"),
        (lambda: photon.reexpose(torch.ones(3), torch.ones(3).double(), 2.0, 9.0, 1), "prediction"),
        (lambda: photon.reexpose(torch.ones(3), torch.ones(3), 0.5, 9.0, 1), "at least start"),
        (lambda: photon.reexpose(torch.ones(3), torch.ones(3), 2.0, 0.0, 1), "electrons_at_white"),
        (lambda: photon.reexpose(torch.ones(3), torch.ones(3), 2.0, 9.0, 1, ceiling=0.0), "ceiling"),
    ],
)
def test_wrong_arguments_are_refused_by_name(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(checks.KernelError, match=words):
        call()
