"""The laws of merging: photons add, strangers stay out at the stated rate, the noise is foretold."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from rawdiff_kernels import checks, merge, photon
from rawdiff_kernels.merge.reference import sites
from torch import Tensor

GAIN, SIGMA = (1.0,) * 4, (1.5,) * 4
NOISE = {"gain": GAIN, "sigma": SIGMA}
TAPS = merge.mosaic_taps((1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
TINTED = (0.4, 1.0, 0.6)


def _shot(light: Tensor, seed: int, exposure: float = 1.0) -> Tensor:
    """A frame of `light` electrons at exposure 1, with read noise, divided by its exposure."""
    generator = torch.Generator().manual_seed(seed)
    read = 1.5 * torch.randn(light.shape, generator=generator)
    return (photon.poisson(light * exposure, seed) + read) / exposure


def _begin(reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    ones = torch.ones(reference.shape[1:])
    return reference.clone(), ones, ones.clone()


@pytest.mark.parametrize("level", [1.0, 4.0, 40.0, 1000.0])
@pytest.mark.parametrize("false_alarm", [0.1, 0.01])
def test_equal_light_is_doubted_at_the_stated_rate(level: float, false_alarm: float) -> None:
    """Trust below 1/2 in the stated share of the cells.

    300 x 300 cells hold 300^2 / 25 independent windows: five standard errors of their share. At four
    electrons and below the tail of the difference is up to three quarters heavier than a normal one's.
    """
    light = torch.full((4, 300, 300), level)
    sums = _begin(_shot(light, 1))
    trust = merge.accumulate(*sums, _shot(light, 2), torch.ones(300, 300), false_alarm=false_alarm, **NOISE)
    rate = float((trust < 0.5).double().mean())
    error = math.sqrt(false_alarm * (1 - false_alarm) / (300**2 / 25))
    heavier = 0.75 if level <= 4.0 else 0.2
    assert abs(rate - false_alarm) < 5 * error + heavier * false_alarm


def test_equal_frames_add_up_and_keep_the_light() -> None:
    """Eight frames: mean within three standard errors, variance 1/8 within 3 %, effective exposure near 8."""
    light = torch.full((4, 200, 200), 30.0)
    sums = _begin(_shot(light, 10))
    for seed in range(11, 18):
        merge.accumulate(*sums, _shot(light, seed), torch.ones(200, 200), false_alarm=1e-4, **NOISE)
    merged, exposures = merge.result(*sums)
    variance = (30.0 + 1.5**2) / 8
    assert abs(float(merged.mean()) - 30.0) < 3 * math.sqrt(variance / merged.numel())
    # The variance of n values has a relative standard error of sqrt(2/n) = 0.0035.
    assert float(merged.var()) == pytest.approx(variance, rel=0.03)
    assert float(exposures.mean()) == pytest.approx(8.0, rel=0.01)


def test_effective_exposure_tells_the_noise_of_warped_and_doubted_frames() -> None:
    """Over 60 bursts the variance of the merge equals one frame's over the effective exposure, within 5 %.

    Photons only (the law is exact for them); 60 x 4 x 32 x 32 values have a relative error of 0.3 %, and the
    weights depend a little on the noise.
    """
    light = torch.full((4, 32, 32), 50.0)
    field = torch.full((4, 4, 2), 0.3)
    squares, expected = [], []
    for burst in range(60):
        frames = [photon.poisson(light, 100 * burst + k) for k in range(4)]
        sums = _begin(frames[0])
        for frame in frames[1:]:
            warped, share = merge.warp(frame, field, 8, 3.5, TAPS)
            merge.accumulate(*sums, warped, share, gain=GAIN, sigma=(0.0,) * 4, false_alarm=1e-4)
        merged, exposures = merge.result(*sums)
        squares.append((merged - 50.0)[:, 4:-4, 4:-4] ** 2)
        expected.append((50.0 / exposures)[4:-4, 4:-4])
    assert float(torch.stack(squares).mean()) == pytest.approx(float(torch.stack(expected).mean()), rel=0.05)


def test_a_moving_object_stays_out() -> None:
    """A box of three times the light that left: no trust inside, full trust away from it, no ghost."""
    light = torch.full((4, 96, 96), 40.0)
    moved = light.clone()
    moved[:, 30:50, 30:50] = 120.0
    sums = _begin(_shot(light, 5))
    for seed in range(6, 12):
        trust = merge.accumulate(*sums, _shot(moved, seed), torch.ones(96, 96), false_alarm=1e-3, **NOISE)
        assert float(trust[31:49, 31:49].max()) == 0.0
        assert float(trust[60:, 60:].mean()) > 0.98
    merged, exposures = merge.result(*sums)
    # 1296 values of variance 42: a standard error of 0.18.
    assert abs(float(merged[:, 31:49, 31:49].mean()) - 40.0) < 5 * math.sqrt(42.25 / 1296)
    assert torch.equal(exposures[31:49, 31:49], torch.ones(18, 18))


def test_longer_frames_weigh_by_their_photons_and_drop_out_where_they_clip() -> None:
    light = torch.full((4, 64, 64), 60.0)
    sums = _begin(_shot(light, 3))
    long = _shot(light, 4, exposure=4.0)
    long[2, 20:30, 20:30] = math.nan
    trust = merge.accumulate(*sums, long, torch.ones(64, 64), None, 4.0, false_alarm=1e-5, **NOISE)
    merged, exposures = merge.result(*sums)
    assert float(trust[20:30, 20:30].max()) == 0.0 and bool(merged.isfinite().all())
    assert float(exposures[40:, 40:].mean()) == pytest.approx(5.0, rel=0.01)
    assert torch.equal(merged[:, 20:30, 20:30], sums[0][:, 20:30, 20:30])


def test_edges_survive_a_known_misregistration() -> None:
    """A third of a pixel of misalignment on steps of 400 electrons: rejected unless it is allowed for."""
    x = torch.arange(120.0)
    ramp = 300 + 200 * torch.sin(0.6 * x)
    shifted = 300 + 200 * torch.sin(0.6 * (x - 0.3))
    own, other = (row.expand(4, 80, 120).contiguous() for row in (ramp, shifted))
    strict = merge.accumulate(*_begin(_shot(own, 1)), _shot(other, 2), torch.ones(80, 120), **NOISE)
    told = merge.accumulate(
        *_begin(_shot(own, 1)), _shot(other, 2), torch.ones(80, 120), misregistration=0.3, **NOISE
    )
    assert float(strict.mean()) < 0.2 and float(told.mean()) > 0.9


def test_a_given_trust_is_used_as_it_is_and_views_are_updated() -> None:
    whole = torch.zeros(4, 30, 20)
    sums = (whole[:, 10:20], torch.ones(10, 20), torch.ones(10, 20))
    frame, trust = torch.rand(4, 10, 20), torch.rand(10, 20)
    share = torch.full((10, 20), 0.6)
    merge.accumulate(*sums, frame, share, trust, 2.0)
    torch.testing.assert_close(whole[:, 10:20], 2 * trust * frame)
    assert float(whole[:, :10].abs().max()) == 0.0
    torch.testing.assert_close(sums[1], 1 + 2 * trust)
    torch.testing.assert_close(sums[2], 1 + (2 * trust) ** 2 * 0.6 / 2)


def test_mismatch_is_one_where_nothing_moved_and_sees_what_did() -> None:
    """Energy and shift average 1 over equal light (4 x 150^2 values, windows of 25); more where it moved."""
    light = torch.full((4, 150, 150), 50.0)
    own = _shot(light, 1)
    moved = light.clone()
    moved[:, 50:80, 50:80] += 6.0
    variance = torch.full((4, 150, 150), 50.0 + 1.5**2)
    ones = torch.ones(150, 150)
    still = merge.mismatch(own, variance, _shot(light, 2), ones, GAIN, SIGMA, 1.0, 2)
    # Energy: relative error sqrt(2 / 90000) = 0.005; shift: sqrt(2 / (90000 / 25)) = 0.024.
    assert float(still[0].mean()) == pytest.approx(1.0, abs=0.025)
    assert float(still[1].mean()) == pytest.approx(1.0, abs=0.12)
    other = merge.mismatch(own, variance, _shot(moved, 3), ones, GAIN, SIGMA, 1.0, 2)
    # (sum d)^2 / sum V gains n 6^2 / 105 with n = 25: 8.6 per plane.
    assert float(other[1][55:75, 55:75].mean()) == pytest.approx(1.0 + 25 * 36 / 104.5, rel=0.25)
    assert float(other[0][55:75, 55:75].mean()) < 2.0


def test_whole_cell_vectors_copy() -> None:
    planes = torch.rand(4, 20, 30)
    out, share = merge.warp(planes, torch.tensor([[[2.0, -3.0]]]), 16, 7.5, TAPS)
    assert torch.equal(out[:, :18, 3:], planes[:, 2:, :27])
    assert torch.equal(share[:18, 3:], torch.ones(18, 27))
    assert float(share[18:].max()) == 0.0 and float(out[:, :, :3].abs().max()) == 0.0
    still, share = merge.warp(planes, torch.zeros(2, 2, 2), 16, 7.5, TAPS)
    assert torch.equal(still, planes) and torch.equal(share, torch.ones(20, 30))


def mosaic_of(
    scene: Callable[[Tensor, Tensor], Tensor], red: tuple[int, int], height: int, width: int
) -> Tensor:
    """Packed planes of a scene that depends on (row, column) in raw pixels alone, tinted by `TINTED`."""
    planes = []
    for color, (row, column) in zip((0, 1, 1, 2), sites(red), strict=True):
        y, x = torch.arange(height)[:, None] * 2.0 + row, torch.arange(width) * 2.0 + column
        planes.append(TINTED[color] * scene(y, x))
    return torch.stack(planes)


@pytest.mark.parametrize("red", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize(("down", "right"), [(1, 0), (-3, 5), (2, -1)])
def test_detail_finer_than_a_plane_is_carried_by_all_colours(
    red: tuple[int, int], down: int, right: int
) -> None:
    """A wave of four raw pixels, two samples of a plane, moved by odd raw pixels.

    On one plane half a sample's step of it cannot be told from no wave at all, and interpolation errs by all
    of its 0.7 amplitudes rms. From three samples each way of all colours it errs by less than a quarter.
    """

    def wave(y: Tensor, x: Tensor) -> Tensor:
        return 1 + 0.3 * torch.sin(2 * math.pi / 4 * x + 0.1 * y)

    planes = mosaic_of(wave, red, 40, 50)
    sought = mosaic_of(lambda y, x: wave(y + down, x + right), red, 40, 50)
    taps = merge.mosaic_taps(TINTED, TINTED, samples=3)
    out, _ = merge.warp(planes, torch.tensor([[[down / 2, right / 2]]]), 16, 7.5, taps, red=red)
    error = ((out - sought)[:, 6:-6, 6:-6] / torch.tensor(TINTED)[[0, 1, 1, 2]].view(4, 1, 1)).square().mean()
    assert float(error.sqrt()) < 0.3 * 0.7 / 4


def test_uniform_colours_stay_and_slow_light_is_interpolated() -> None:
    """Every colour's weights sum to 1 on itself and to 0 on the others, at any place."""
    field = torch.tensor([-1.7, 0.4]).expand(4, 5, 2)
    flat = torch.tensor([7.0, -2.0, -2.0, 0.5]).view(4, 1, 1).expand(4, 60, 80)
    taps = merge.mosaic_taps(TINTED, TINTED)
    out, _ = merge.warp(flat, field, 16, 7.5, taps)
    inner = (slice(None), slice(4, -4), slice(4, -4))
    torch.testing.assert_close(out[inner], flat[inner], rtol=1e-5, atol=1e-5)

    def slow(y: Tensor, x: Tensor) -> Tensor:
        return torch.sin(0.15 * x + 0.1 * y)

    planes = mosaic_of(slow, (0, 0), 60, 80)
    moved = mosaic_of(lambda y, x: slow(y - 3.4, x + 0.8), (0, 0), 60, 80)
    out, _ = merge.warp(planes, field, 16, 7.5, taps)
    # Places are kept to a 32nd of a pixel: slopes of 0.18 a pixel err by 0.006, curvature by less.
    assert float((out - moved)[inner].abs().max()) < 0.01


def test_share_tells_the_noise_that_is_left() -> None:
    """Noise of another variance in every colour; 160 000 values of each plane tell a variance to 1 %."""
    variance = (0.5, 1.0, 0.7)
    taps = merge.mosaic_taps(TINTED, variance)
    scale = torch.tensor(variance)[[0, 1, 1, 2]].sqrt().view(4, 1, 1)
    noise = scale * torch.randn(4, 400, 400, generator=torch.Generator().manual_seed(1))
    for vector in ((0.5, 0.5), (0.25, -0.125), (0.5, 0.0)):
        warped, share = merge.warp(noise, torch.tensor([[vector]]), 16, 7.5, taps)
        left = (warped[:, 4:-4, 4:-4] / scale).var(dim=(1, 2)).mean()
        assert float(left) == pytest.approx(float(share[9, 9]), rel=0.02)


def test_the_field_holds_at_its_points_and_is_even_between_them() -> None:
    field = torch.zeros(3, 4, 2)
    field[1, 2, 1] = 4.0
    columns = torch.arange(64.0).expand(4, 48, 64).contiguous()
    out, share = merge.warp(columns, field, 16, 8.0, TAPS)
    moved = torch.where(share > 0, out[0] - columns[0], 0.0)
    # A place is kept to half a 32nd of a cell, and another colour's columns lie half a cell away.
    assert float(moved[24, 40]) == 4.0 and float(moved[24, 48]) == pytest.approx(2.0, abs=1e-4)
    assert float(moved[32, 40]) == pytest.approx(2.0, abs=1e-4) and float(moved[24, 24]) == 0.0


def test_a_band_has_the_bits_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(9)
    planes, field = torch.rand(4, 50, 40, generator=generator), torch.randn(4, 3, 2, generator=generator)
    whole, share = merge.warp(planes, field, 16, 7.5, TAPS)
    band, its_share = merge.warp(planes, field, 16, 7.5, TAPS, rows=(13, 31))
    assert torch.equal(band, whole[:, 13:31]) and torch.equal(its_share, share[13:31])


A, CELL = torch.ones(4, 6, 7), torch.ones(6, 7)
WIDE = merge.mosaic_taps((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), samples=4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: merge.warp(A[0], torch.zeros(1, 1, 2), 8, 3.5, TAPS), "planes has shape"),
        (lambda: merge.warp(A.half(), torch.zeros(1, 1, 2), 8, 3.5, TAPS), "float16"),
        (lambda: merge.warp(A, torch.zeros(1, 1, 3), 8, 3.5, TAPS), "field has shape"),
        (lambda: merge.warp(A, torch.full((1, 1, 2), math.nan), 8, 3.5, TAPS), "finite"),
        (lambda: merge.warp(A, torch.zeros(1, 1, 2), 0, 3.5, TAPS), "spacing 0"),
        (lambda: merge.warp(A, torch.zeros(1, 1, 2), 8, 3.5, TAPS, rows=(3, 9)), "rows 3 to 9"),
        (lambda: merge.warp(A, torch.zeros(1, 1, 2), 8, 3.5, TAPS, route="gpu"), "gpu route of merge"),
        (lambda: merge.warp(A.double(), torch.zeros(1, 1, 2).double(), 8, 3.5, TAPS, route="cpu"), "float64"),
        (lambda: merge.warp(A, torch.zeros(1, 1, 2, device="meta"), 8, 3.5, TAPS), "meta"),
        (lambda: merge.warp(A, torch.zeros(1, 1, 2), 8, 3.5, TAPS, red=(0, 2)), "red has a site"),
        (lambda: merge.warp(A[:3], torch.zeros(1, 1, 2), 8, 3.5, TAPS), "planes has shape"),
        (lambda: merge.warp(A, torch.zeros(1, 1, 2), 8, 3.5, merge.Taps(*TAPS[::-1])), "the taps' weights"),
        (lambda: merge.warp(A, torch.zeros(1, 1, 2), 8, 3.5, WIDE), "1 to 3 samples"),
        (lambda: merge.accumulate(A, CELL, CELL, A, CELL), "gain and sigma"),
        (lambda: merge.accumulate(A, CELL, CELL, A, CELL, CELL, **NOISE), "not both"),
        (lambda: merge.accumulate(A, CELL, CELL, A, CELL[1:], CELL), "share has shape"),
        (lambda: merge.accumulate(A, CELL, CELL, A[:3], CELL, CELL), "alternate has shape"),
        (lambda: merge.accumulate(A, CELL.double(), CELL, A, CELL, CELL), "weight has dtype"),
        (lambda: merge.accumulate(A, CELL, CELL, A, CELL, CELL, 0.0), "exposure"),
        (lambda: merge.accumulate(A, CELL, CELL, A, CELL, radius=17, **NOISE), "radius"),
        (lambda: merge.accumulate(A, CELL, CELL, A, CELL, false_alarm=0.9, **NOISE), "false_alarm"),
        (lambda: merge.accumulate(A, CELL, CELL, A, CELL, misregistration=-1.0, **NOISE), "misregistration"),
        (lambda: merge.accumulate(A, CELL, CELL, A, CELL, gain=(0.0,) * 4, sigma=SIGMA), "gain must be"),
        (lambda: merge.mismatch(A, A, A, CELL, GAIN, (-1.0,) * 4, 1.0, 2), "sigma"),
        (lambda: merge.mismatch(A, A[:, 1:], A, CELL, GAIN, SIGMA, 1.0, 2), "estimate_variance"),
        (lambda: merge.result(A, CELL[1:], CELL), "weight has shape"),
    ],
)
def test_wrong_arguments_are_refused_by_name(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(checks.KernelError, match=words):
        call()
