from __future__ import annotations

import math

import pytest
import torch

from rawdiff.color.spaces import SPACES, SRGB_TRANSFER
from rawdiff.enhance.apply import enhance_picture, settle
from rawdiff.enhance.local import LocalExposure, enlarge_rows
from rawdiff.enhance.survey import survey_picture

ENHANCER = LocalExposure()
LUMINANCE = torch.tensor(SPACES["srgb"].luminance()).float().view(3, 1, 1)


def scene(height: int = 96, width: int = 128) -> torch.Tensor:
    """Dim patches of many colours under a window."""
    generator = torch.Generator().manual_seed(2)
    patches = torch.rand(3, height // 8, width // 8, generator=generator) * 0.1
    light = patches.repeat_interleave(8, 1).repeat_interleave(8, 2)
    light[:, 10:40, 70:110] += 0.7
    return light + 0.002 * torch.randn(light.shape, generator=generator)


@pytest.mark.parametrize("gain", [1 / 2, 1 / 64, 4.0])
def test_a_gain_of_the_input_changes_nothing(gain: float) -> None:
    """Powers of two are exact in floating point but for the mean, which is taken in double precision."""
    torch.testing.assert_close(
        enhance_picture(scene() * gain, ENHANCER), enhance_picture(scene(), ENHANCER), rtol=1e-5, atol=1e-7
    )


def test_bands_give_the_bits_of_the_whole() -> None:
    image = scene()
    settled = settle(ENHANCER, survey_picture(image), (96, 128))
    assert settled.halo == 0
    whole = settled.apply(image, 0, 96)
    for rows in (1, 7, 50):
        pieces = [
            settled.apply(image[:, top : top + rows], top, min(top + rows, 96)) for top in range(0, 96, rows)
        ]
        assert torch.equal(torch.cat(pieces, dim=1), whole)


def test_threads_and_repetition_change_no_bit() -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            results.append(enhance_picture(scene(), ENHANCER))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_the_ratios_of_the_channels_are_kept() -> None:
    image = scene().clamp(min=0.001)
    lit = enhance_picture(image, ENHANCER)
    ratio = lit / image
    # Three products of one gain, and the shoulder's one factor, in single precision.
    torch.testing.assert_close(ratio[0], ratio[1], rtol=1e-5, atol=0)
    torch.testing.assert_close(ratio[2], ratio[1], rtol=1e-5, atol=0)


def test_the_mean_lightness_is_that_of_photographs() -> None:
    lit = (enhance_picture(scene(), ENHANCER) * LUMINANCE).sum(dim=0)
    shown = SRGB_TRANSFER.encode(lit.double().clamp(0, 1).numpy()).mean()
    # The shoulder, which the exposure does not know of, takes a little of the window.
    assert shown == pytest.approx(ENHANCER.lightness, abs=0.02)


def test_shadows_gain_more_than_highlights_and_highlights_are_not_lost() -> None:
    image = scene()
    lit = enhance_picture(image, ENHANCER)
    gain = (lit * LUMINANCE).sum(dim=0) / (image * LUMINANCE).sum(dim=0)
    assert float(gain[60:, :60].mean()) > 1.5 * float(gain[15:35, 75:105].mean())
    assert float(lit.max()) <= 1
    window = lit[1, 12:38, 72:108].flatten()
    order = image[1, 12:38, 72:108].flatten().argsort()
    # Patches in the window are still told apart.
    assert float(window[order[-200:]].mean()) > float(window[order[:200]].mean()) + 0.02


def test_an_edge_has_no_halo() -> None:
    """Beside a step of 16 the gain of the dark side stays within 15 % of what it is far away."""
    image = torch.full((3, 64, 128), 0.02)
    image[:, :, 64:] = 0.32
    gain = enhance_picture(image, ENHANCER)[1] / image[1]
    assert float((gain[:, :64] / gain[:, :8].mean() - 1).abs().max()) < 0.15


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (37, 1), (2, 3), (600, 5)])
def test_strange_sizes(size: tuple[int, int]) -> None:
    lit = enhance_picture(torch.full((3, *size), 0.01), ENHANCER)
    assert lit.shape == (3, *size) and bool(torch.isfinite(lit).all())
    assert float(lit.max() - lit.min()) < 1e-6


def test_an_all_white_picture_stays_light_and_grey() -> None:
    lit = enhance_picture(torch.ones(3, 20, 30), ENHANCER)
    assert float(lit.max() - lit.min()) < 1e-6 and 0.1 < float(lit.mean()) <= 1


def test_negative_noise_stays_negative() -> None:
    image = scene()
    image[:, 50, 20] = -0.003
    assert bool((enhance_picture(image, ENHANCER)[:, 50, 20] < 0).all())


def test_a_map_is_enlarged_without_seams() -> None:
    small = torch.rand(7, 9, generator=torch.Generator().manual_seed(0))
    whole = enlarge_rows(small, (50, 70), 0, 50)
    assert torch.equal(
        torch.cat([enlarge_rows(small, (50, 70), top, top + 10) for top in range(0, 50, 10)]), whole
    )
    expected = torch.nn.functional.interpolate(small[None, None], size=(50, 70), mode="bilinear")[0, 0]
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-5)
    assert math.isclose(float(enlarge_rows(small, (7, 9), 3, 4)[0, 4]), float(small[3, 4]), rel_tol=1e-6)
