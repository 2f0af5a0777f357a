"""Metrics against closed forms and a peer."""

from __future__ import annotations

import math

import pytest
import torch

from rawdiff.report import classical
from rawdiff.report.flat_fields import measure_flats
from rawdiff.report.metrics import BrightnessBias, align_brightness, pattern_share, psnr, ssim


def _pair(shape: tuple[int, ...] = (4, 40, 36)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(shape, generator=generator)
    return (clean + 0.1 * torch.randn(shape, generator=generator)).clamp(0, 1), clean


def test_psnr_of_a_constant_error_is_its_size() -> None:
    clean = torch.full((4, 8, 8), 0.5)
    assert psnr(clean + 0.01, clean) == pytest.approx(40.0, abs=1e-4)
    assert psnr(clean, clean) == math.inf


def test_ssim_agrees_with_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    noisy, clean = _pair()
    peer = metrics.structural_similarity(
        noisy.numpy().astype("float64"),
        clean.numpy().astype("float64"),
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(noisy, clean) == pytest.approx(peer, abs=1e-6)
    assert ssim(clean, clean) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="11x11"):
        ssim(noisy[:, :8, :8], clean[:, :8, :8])


def test_alignment_undoes_a_gain_and_nothing_else() -> None:
    _, clean = _pair()
    assert torch.allclose(align_brightness(0.5 * clean, clean), clean, atol=1e-6)
    assert psnr(align_brightness(clean + 0.1, clean), clean) < 40


def test_bias_is_found_per_brightness_with_an_honest_error() -> None:
    generator = torch.Generator().manual_seed(1)
    table = BrightnessBias(edges_e=(1.0, 4.0, 100.0))
    for _ in range(4):
        clean = torch.where(torch.rand(4, 96, 96, generator=generator) < 0.5, 2.0, 50.0)
        noise = torch.randn(clean.shape, generator=generator)
        table.add(clean * torch.where(clean < 4, 1.02, 0.97) + noise, clean)
    dark, bright = table.table()
    assert abs(dark["bias"] - 0.02) < 4 * dark["standard_error"]
    assert abs(bright["bias"] + 0.03) < 4 * bright["standard_error"]
    # White noise of one electron on n pixels of L electrons: 1/(L sqrt(n)), n about 73700 in each bin.
    assert dark["standard_error"] == pytest.approx(1 / (2 * math.sqrt(73_728)), rel=0.25)


def test_a_pattern_is_found_by_its_period_and_noise_is_none() -> None:
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(256, 256, generator=generator)
    # Power at a frequency of white noise is exponential: one of 1024 frequencies beyond twenty times the mean
    # has odds of 1024 exp(-20).
    assert pattern_share(noise) < 20 / 256**2
    assert pattern_share(noise + 100.0) == pytest.approx(pattern_share(noise), rel=1e-3)
    for period in (2, 8, 32):
        wave = torch.cos(2 * math.pi * torch.arange(256) / period)[None, :]
        # A wave of amplitude a has the power a^2 / 2 (a^2 at period 2), in two conjugate frequencies.
        power = 0.01 if period == 2 else 0.005
        share = power / (1 + power) / (1 if period == 2 else 2)
        assert pattern_share(noise + 0.1 * wave) == pytest.approx(share, rel=0.35)
    with pytest.raises(ValueError, match="whole periods"):
        pattern_share(noise[:100])


def test_flat_grey_as_captured_has_the_error_of_its_noise_and_no_pattern() -> None:
    def darken(planes: torch.Tensor, *told: object) -> torch.Tensor:
        return 0.9 * planes

    found = measure_flats({"noisy": classical.leave_noisy, "dark": darken}, (2.0, 100.0), side=64)
    for flat in found:
        expected = -0.1 if flat.method == "dark" else 0.0
        assert abs(flat.bias - expected) < 4 * flat.standard_error
        assert flat.pattern < 20 / 128**2
    # Four planes of 64x64 pixels of two electrons and read noise two: sqrt(6 / 16384) / 2.
    assert found[0].standard_error == pytest.approx((6 / 16384) ** 0.5 / 2)


def test_unseen_brightness_has_no_row() -> None:
    table = BrightnessBias(edges_e=(1.0, 4.0, 100.0))
    table.add(torch.full((1, 64, 64), 2.0), torch.full((1, 64, 64), 2.0))
    assert [row["from_e"] for row in table.table()] == [1.0]
