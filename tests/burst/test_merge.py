"""Merging: what photons count for, what moved, what clips, what the exposure map promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from rawdiff.burst.align import STRIDE, TILE
from rawdiff.burst.merge import Light, Merge

Shoot = Callable[..., Any]
Decibels = Callable[..., float]


def still_field(planes: Tensor) -> Tensor:
    rows, columns = (-(-(size - TILE) // STRIDE) + 1 for size in planes.shape[1:])
    return torch.zeros(rows, columns, 2)


def flat_frames(level_e: float, count: int, seed: int, side: int = 160) -> Iterator[Light]:
    """Flat fields of `level_e` electrons, read noise 1.5 e-, one electron a thousandth of white."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        photons = torch.poisson(torch.full((4, side, side), level_e), generator=generator)
        read = 1.5 * torch.randn(photons.shape, generator=generator)
        yield Light((photons + read) / 1000, torch.full((4,), 1e-3), torch.full((4,), 1.5e-3))


def test_one_frame_is_itself() -> None:
    frame = next(flat_frames(40.0, 1, 0))
    planes, exposure = Merge(frame).result()
    assert torch.equal(planes, frame.planes) and torch.equal(exposure, torch.ones_like(exposure))


@pytest.mark.parametrize("level_e", [5.0, 60.0])
def test_flat_fields_fall_as_one_over_n_and_keep_their_mean(level_e: float) -> None:
    """n = 4 x 140^2 = 78400 values: the variance is known to sqrt(2 / n) = 0.5 %, the mean to 3 errors."""
    frames = list(flat_frames(level_e, 8, 1))
    merge = Merge(frames[0])
    for count, frame in enumerate(frames[1:], 2):
        merge.add(frame, still_field(frame.planes))
        planes, exposure = merge.result()
        inner = 1000 * planes[:, 10:-10, 10:-10].double()
        expected = (level_e + 1.5**2) / count
        assert float(inner.var()) == pytest.approx(expected, rel=0.03)
        # Frames that differ more by chance are trusted less, by a false-alarm rate, in both directions.
        assert abs(float(inner.mean()) - level_e) < max(
            3 * (expected / inner.numel()) ** 0.5, 0.005 * level_e
        )
        assert float(exposure.mean()) == pytest.approx(count, rel=0.03)


@pytest.mark.parametrize(
    ("white_e", "short_of_ideal"), [pytest.param(400.0, 0.3, marks=pytest.mark.slow), (60.0, 0.6)]
)
def test_a_shaken_burst_comes_near_the_mean_of_still_frames(
    scene: Tensor, shoot: Shoot, decibels: Decibels, white_e: float, short_of_ideal: float
) -> None:
    shots = shoot(scene, white_e, frames=8, shake_px=12.0, rotation_deg=0.5, seed=4)
    planes, exposure = shots.merge().result()
    # Away from the border, where frames that look elsewhere have nothing to give.
    inside = (slice(10, -10), slice(10, -10))
    single = decibels(shots.lights[shots.still].planes, shots, inside)
    merged, ideal = decibels(planes, shots, inside), decibels(shots.ideal(), shots, inside)
    assert merged > ideal - short_of_ideal
    assert merged > single + 6
    assert 6 < float(exposure[inside].mean()) < 13


@pytest.mark.parametrize("phase", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_every_phase_of_the_mosaic_is_read_alike(
    scene: Tensor, shoot: Shoot, decibels: Decibels, phase: str
) -> None:
    """A colour taken for another would err by tens of percent of a tinted scene."""
    tinted = (scene * torch.tensor([1.0, 0.7, 0.4]).view(3, 1, 1))[:, :260, :260].contiguous()
    shots = shoot(tinted, 200.0, frames=4, shake_px=5.0, phase=phase, seed=5)
    planes, _ = shots.merge().result()
    inside = (slice(8, -8), slice(8, -8))
    assert decibels(planes, shots, inside) > decibels(shots.ideal(), shots, inside) - 0.6


def test_a_frame_without_light_or_colour_can_be_merged_on() -> None:
    """No ratio of colours is told by darkness, negative means or one lit plane: values stay finite."""
    gain, sigma = torch.full((4,), 1e-3), torch.full((4,), 2e-3)
    field = torch.full((4, 4, 2), 0.3)
    for level in (0.0, -1e-3, 0.5):
        planes = torch.zeros(4, 60, 60)
        planes[0] = level
        merge = Merge(Light(planes, gain, sigma))
        merge.add(Light(planes.clone(), gain, sigma), field)
        merged, exposure = merge.result()
        torch.testing.assert_close(merged, planes, rtol=1e-4, atol=1e-6)
        assert bool(exposure.isfinite().all()) and float(exposure[10:-10, 10:-10].min()) > 1.5


@pytest.mark.parametrize("white_e", [pytest.param(400.0, marks=pytest.mark.slow), 60.0])
def test_what_moves_leaves_no_ghost(scene: Tensor, shoot: Shoot, decibels: Decibels, white_e: float) -> None:
    shots = shoot(scene, white_e, frames=6, shake_px=6.0, motion="object", seed=6)
    planes, _ = shots.merge().result()
    still = shots.frames[shots.still].thing
    radius = int(still.radius / 2) + 1
    top, left = int(still.center_y / 2) - radius, int(still.center_x / 2) - radius
    box = (slice(top, top + 2 * radius), slice(left, left + 2 * radius))
    assert decibels(planes, shots, box) > decibels(shots.lights[shots.still].planes, shots, box) - 0.2
    without = shoot(scene, white_e, frames=6, shake_px=6.0, seed=6)
    assert abs(ghost(planes - shots.truth, shots, without)) < 0.05


def ghost(residual: Tensor, shots: Any, without: Any) -> float:
    """Correlation of what the merge has too much with what the object changes in the other frames.

    Frames shake by a few pixels; the object is many pixels wide, so positions need not be corrected. Its
    five other positions hold some 3000 cells: noise correlates with anything by 1 / sqrt(3000) = 0.02.
    """
    still = shots.frames[shots.still].thing
    size = residual.shape[1:]
    y, x = (torch.arange(extent) * 2 + 0.5 for extent in size)
    away = ((y[:, None] - still.center_y) ** 2 + (x - still.center_x) ** 2).sqrt() > still.radius + 4
    pairs = []
    for index, (frame, plain) in enumerate(zip(shots.frames, without.frames, strict=True)):
        change = (frame.clean - plain.clean).view(size[0], 2, size[1], 2).mean(dim=(1, 3))
        where = away & (change.abs() > 0.01)
        if index != shots.still:
            pairs.append(torch.stack([residual.mean(dim=0)[where], change[where]]))
    both = torch.cat(pairs, dim=1)
    assert both.shape[1] > 1500
    # A ghost has the sign of the change: nothing is centred.
    return float((both[0] * both[1]).sum() / (both[0].square().sum() * both[1].square().sum()).sqrt())


def test_brackets_count_their_photons_and_clipped_ones_drop_out(shoot: Shoot) -> None:
    """Brackets of 1, 4, 16 times: dark stripes gain what 21 exposures give, bright ones keep their colour.

    The white balance of highlights is bent where some planes clip before others: each plane's mean must
    stand at its truth within 1 %, at n = 2000 values of at least 12 electrons: 3 errors are 0.2 to 1 %.
    """
    light = torch.tensor([0.004, 0.02, 0.2, 0.9])
    scene = light.repeat_interleave(100).expand(3, 160, 400).contiguous()
    shots = shoot(scene, 3000.0, frames=3, brackets=(1.0, 4.0, 16.0))
    reference = shots.lights[0]
    merge = Merge(reference)
    for frame in shots.lights[1:]:
        merge.add(frame, still_field(frame.planes))
    planes, exposure = merge.result()
    truth = shots.truth
    for patch, least, most in ((0, 20.0, 21.5), (1, 20.0, 21.5), (2, 4.8, 21.5), (3, 1.0, 5.2)):
        inside = (slice(8, -8), slice(50 * patch + 8, 50 * patch + 42))
        part, clean = planes[:, inside[0], inside[1]], truth[:, inside[0], inside[1]]
        assert least <= float(exposure[inside].mean()) <= most
        means = part.mean(dim=(1, 2)) / clean.mean(dim=(1, 2))
        assert float((means - 1).abs().max()) < 0.01
        if patch < 2:  # each frame brings its read noise once, and 1/e of it in the light's units
            gain, sigma = reference.gain.view(4, 1, 1), reference.sigma.view(4, 1, 1)
            expected = (gain * clean.clamp(min=0)).mean() / 21 + 3 * (sigma**2).mean() / 21**2
            gained = 10 * torch.log10(part.var(dim=(1, 2)).mean() / expected)
            assert abs(float(gained)) < 0.5


def test_a_long_base_keeps_its_photons_and_is_filled_where_it_clips(shoot: Shoot) -> None:
    """Hand-held 1, 16, 4 times laid on the longest: shadows gain as of 21 exposures, highlights stay neutral.

    Stripes as above, bent into a slope so that there is something to align; n = 10^4 values a stripe.
    """
    light = torch.tensor([0.004, 0.02, 0.2, 0.9])
    texture = 1 + 0.3 * torch.sin(torch.arange(400) / 6)[:, None] * torch.sin(torch.arange(400) / 9)[None]
    scene = (light.repeat_interleave(100)[None] * texture).clamp(max=1).expand(3, 400, 400).contiguous()
    shots = shoot(scene, 3000.0, frames=3, brackets=(1.0, 16.0, 4.0), shake_px=4.0, seed=3)
    reference, long = shots.lights[0], shots.lights[shots.still]
    merge = Merge(reference, base=long)
    alone, exposure = merge.result()
    dark = (slice(20, 180), slice(8, 92))
    assert torch.equal(alone[:, dark[0], dark[1]], (long.planes / long.exposure)[:, dark[0], dark[1]])
    assert torch.equal(exposure[dark], torch.full_like(exposure[dark], 16.0))
    for index in (0, 2):
        merge.add(shots.lights[index], shots.align(index).field)
    planes, exposure = merge.result()
    left_out = merge.left_out()
    assert 0 <= float(left_out.min()) <= float(left_out.max()) <= 1
    truth, gain, sigma = shots.truth, reference.gain.view(4, 1, 1), reference.sigma.view(4, 1, 1)
    for patch, least, most in ((0, 17.0, 26.0), (1, 17.0, 26.0), (3, 0.8, 6.5)):
        inside = (slice(20, -20), slice(50 * patch + 12, 50 * patch + 38))
        part, clean = planes[:, inside[0], inside[1]], truth[:, inside[0], inside[1]]
        assert least <= float(exposure[inside].mean()) <= most
        means = part.mean(dim=(1, 2)) / clean.mean(dim=(1, 2))
        assert float((means - 1).abs().max()) < 0.01
        if patch < 2:
            expected = (gain * clean.clamp(min=0)).mean() / 21 + 3 * (sigma**2).mean() / 21**2
            assert abs(float(10 * torch.log10((part - clean).square().mean() / expected))) < 0.5


def test_threads_change_no_bit(scene: Tensor, shoot: Shoot) -> None:
    shots = shoot(scene[:, :260, :260].contiguous(), 100.0, frames=3, shake_px=5.0, motion="object", seed=7)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(shots.merge().result())
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(("band", "long"), [(13, 1), (40, 1), (40, 2)])
def test_band_wise_equals_whole(scene: Tensor, shoot: Shoot, band: int, long: int) -> None:
    """Also where a band is lower than what judges a row reaches, with a frame or a base that clips."""
    brackets = tuple(8.0 if index == long else 1.0 for index in range(4))
    choices = {"frames": 4, "shake_px": 5.0, "motion": "object", "brackets": brackets}
    shots = shoot(scene[:, :260, :260].contiguous(), 2000.0, seed=7, **choices)
    whole, banded = (Merge(shots.lights[3], rows, shots.lights[2]) for rows in (10_000, band))
    for index in (1, 3, 0):
        field = shots.align(index).field
        assert whole.add(shots.lights[index], field) == pytest.approx(
            banded.add(shots.lights[index], field), abs=1e-12
        )
    assert all(torch.equal(a, b) for a, b in zip(whole.result(), banded.result(), strict=True))
    assert torch.equal(whole.left_out(), banded.left_out())
    assert 0.02 < float(whole.left_out().mean()) < 0.95  # judged: neither all taken nor all refused


@pytest.mark.slow
@pytest.mark.parametrize(("motion", "within"), [("none", 0.05), ("object", 0.15)])
def test_the_exposure_map_predicts_the_variance_of_repeated_bursts(
    scene: Tensor, shoot: Shoot, motion: str, within: float
) -> None:
    """50 bursts of one scene, one set of poses and new noise: variance per cell against (K x + s^2) / n.

    Each variance is known to sqrt(2 / 49) = 20 %; the mean over 4 x 10^4 values of it to 0.2 %, more with the
    correlation that interpolation gives; moving areas hold 10^3 cells or more: 2 %.
    """
    small = scene[:, :256, :280].contiguous()
    shots = shoot(small, 100.0, frames=4, shake_px=6.0, motion=motion, seed=8)
    fields = {index: shots.align(index).field for index in range(4) if index != shots.still}
    generator = torch.Generator().manual_seed(17)
    gain, sigma = (v.view(4, 1, 1) for v in (shots.lights[0].gain, shots.lights[0].sigma))
    clean = [reclean(frame, shots) for frame in shots.frames]
    sums = [torch.zeros_like(clean[0], dtype=torch.float64) for _ in range(2)]
    predicted = torch.zeros_like(sums[0])
    for _ in range(50):
        for index, light in enumerate(clean):
            noisy = gain * torch.poisson(light / gain, generator=generator)
            noisy += sigma * torch.randn(light.shape, generator=generator)
            shots.lights[index] = Light(noisy, gain.flatten(), sigma.flatten())
        planes, exposure = shots.merge(fields).result()
        sums[0] += planes
        sums[1] += planes.double() ** 2
        predicted += ((gain * clean[shots.still] + sigma**2) / exposure) / 50
    measured = (sums[1] - sums[0] ** 2 / 50) / 49
    moving = torch.zeros(clean[0].shape[1:], dtype=torch.bool)
    if motion == "object":
        moving = moving_cells(shots)
        assert float(ratio_of(measured, predicted, moving)) == pytest.approx(1.0, abs=within)
    inner = torch.zeros_like(moving)
    inner[10:-10, 10:-10] = True
    assert float(ratio_of(measured, predicted, inner & ~moving)) == pytest.approx(1.0, abs=0.05)


def reclean(frame: Any, shots: Any) -> Tensor:
    clean = frame.clean / shots.plan.ratio
    return torch.stack([clean[0::2, 0::2], clean[0::2, 1::2], clean[1::2, 0::2], clean[1::2, 1::2]])


def moving_cells(shots: Any) -> Tensor:
    """Cells that the object covers in any frame, with what the window of the comparison adds."""
    height, width = shots.truth.shape[1:]
    y, x = torch.arange(height)[:, None] * 2 + 0.5, torch.arange(width) * 2 + 0.5
    covered = torch.zeros(height, width, dtype=torch.bool)
    for frame in shots.frames:
        thing = frame.thing
        covered |= ((y - thing.center_y) ** 2 + (x - thing.center_x) ** 2).sqrt() < thing.radius + 16
    covered[:10], covered[-10:], covered[:, :10], covered[:, -10:] = (False,) * 4
    return covered


def ratio_of(measured: Tensor, predicted: Tensor, where: Tensor) -> Tensor:
    """Mean of measured over predicted variance, each cell weighing the same."""
    return (measured[:, where] / predicted[:, where]).mean()
