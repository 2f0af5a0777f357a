"""Metrics against closed forms and a peer."""

from __future__ import annotations

import math

import pytest
import torch

from rawdiff.report.metrics import BrightnessBias, align_brightness, psnr, ssim


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


def test_unseen_brightness_has_no_row() -> None:
    table = BrightnessBias(edges_e=(1.0, 4.0, 100.0))
    table.add(torch.full((1, 64, 64), 2.0), torch.full((1, 64, 64), 2.0))
    assert [row["from_e"] for row in table.table()] == [1.0]
