from __future__ import annotations

import numpy as np
import pytest
import torch

from rawdiff.color.encode import DisplayEncoder
from rawdiff.color.exposure import choose_exposure, make_thumbnail
from rawdiff.color.highlights import recover_highlights
from rawdiff.color.spaces import REC2020_TRANSFER, SPACES, SRGB_TRANSFER, Transfer
from rawdiff.color.tone import BRIGHTEST, MID_GREY, apply_filmic, filmic, fit_gamut

GAINS = torch.tensor([2.0, 1.0, 1.6]).view(3, 1, 1)
LUMINANCE = (0.2126, 0.7152, 0.0722)


def pixel(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(3, 1, 1)


def recover(camera: torch.Tensor) -> torch.Tensor:
    return recover_highlights(camera * GAINS, camera, GAINS)


def test_the_curve_keeps_black_grey_and_white() -> None:
    shown = filmic(torch.tensor([0.0, MID_GREY, BRIGHTEST, 100.0]))
    assert shown.tolist() == pytest.approx([0.0, MID_GREY, 1.0, 1.0], abs=1e-6)


def test_the_curve_rises_everywhere() -> None:
    light = torch.linspace(0, BRIGHTEST, 10001)
    assert (torch.diff(filmic(light)) > 0).all()


def test_the_curve_keeps_greys_grey_and_hues_in_place() -> None:
    light = torch.rand(3, 50, 50, generator=torch.Generator().manual_seed(1)) * 3
    shown = apply_filmic(light)

    def middle_place(rgb: torch.Tensor) -> torch.Tensor:
        ordered = rgb.sort(dim=0).values
        return (ordered[1] - ordered[0]) / (ordered[2] - ordered[0])

    assert torch.equal(light.argmax(dim=0), shown.argmax(dim=0))
    assert (middle_place(light) - middle_place(shown)).abs().max() < 1e-3
    grey = torch.rand(1, 9, 9).expand(3, 9, 9)
    assert (apply_filmic(grey) - filmic(grey)).abs().max() < 1e-6


def test_gamut_fitting_keeps_luminance_and_what_is_inside() -> None:
    rgb = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(2)) - 0.2
    fitted = fit_gamut(rgb, LUMINANCE)
    weights = torch.tensor(LUMINANCE).view(3, 1, 1)
    before, after = (rgb * weights).sum(0), (fitted * weights).sum(0)
    assert (fitted >= 0).all()
    assert (after - before.clamp(min=0)).abs().max() < 1e-6
    inside = (rgb >= 0).all(dim=0)
    assert (fitted - rgb)[:, inside].abs().max() < 1e-6


@pytest.mark.parametrize("transfer", [SRGB_TRANSFER, REC2020_TRANSFER])
def test_transfer_functions_invert_and_join_smoothly(transfer: Transfer) -> None:
    light = np.linspace(0, 1, 4097)
    value = transfer.encode(light)
    assert np.abs(transfer.decode(value) - light).max() < 1e-6
    assert np.diff(value).min() > 0
    below, above = transfer.encode(np.array([transfer.linear_end * 0.999999, transfer.linear_end]))
    assert above - below < 1e-5


@pytest.mark.parametrize("space", list(SPACES))
@pytest.mark.parametrize("depth", [8, 16])
def test_the_table_encodes_as_the_formula(space: str, depth: int) -> None:
    transfer = SPACES[space].transfer  # type: ignore[index]
    light = torch.cat((torch.linspace(0, 1, 20001), torch.linspace(0, 0.01, 20001)))
    codes = DisplayEncoder(transfer, depth)(light).to(torch.int32).numpy()  # type: ignore[arg-type]
    exact = transfer.encode(light.double().numpy()) * (2**depth - 1)
    # Rounding, and the table's own error as stated beside it.
    assert np.abs(codes - exact).max() < 0.5 + 0.06
    assert codes[0] == 0 and codes[20000] == 2**depth - 1


def test_the_encoder_clips_and_survives_what_is_no_number() -> None:
    light = torch.tensor([-1.0, 2.0, torch.inf, -torch.inf, torch.nan])
    assert DisplayEncoder(SRGB_TRANSFER, 8)(light).tolist() == [0, 255, 255, 0, 0]
    assert DisplayEncoder(SRGB_TRANSFER, 16)(light).tolist() == [0, 65535, 65535, 0, 0]


def test_clipped_white_is_neutral() -> None:
    for camera in (pixel(1.0, 1.0, 1.0), pixel(0.8, 1.0, 1.0), pixel(0.7, 1.0, 0.875), pixel(0.7, 0.99, 0.9)):
        shown = recover(camera)
        assert (shown.amax() - shown.amin()) / shown.amax() < 2e-3


def test_clipped_cloud_keeps_the_detail_of_red_and_blue() -> None:
    # A white cloud at 1.4 of green's white: red 0.7 and blue 0.875 still measure it.
    assert recover(pixel(0.7, 1.0, 0.875)).flatten().tolist() == pytest.approx([1.4, 1.4, 1.4], abs=2e-3)


def test_colours_without_clipping_pass_untouched() -> None:
    for camera in (pixel(0.8, 0.2, 0.1), pixel(0.2, 0.5, 0.4), pixel(1.0, 0.3, 0.1), pixel(0.2, 0.3, 1.0)):
        assert torch.equal(recover(camera), camera * GAINS)


def test_a_highlight_ramp_has_no_step() -> None:
    # A blue sky (R : G : B = 0.7 : 1 : 1.4) brightening until every channel is clipped.
    light = torch.linspace(0.3, 2.5, 2201)
    camera = (pixel(0.7, 1.0, 1.4) / GAINS).view(3, 1) * light
    shown = recover(camera.clamp(max=1.0).view(3, 1, -1))
    # 0.001 of light a step; no channel may run more than ten times as fast.
    assert torch.diff(shown, dim=2).abs().max() < 0.01
    assert torch.diff(shown.mean(dim=0)).min() > -2e-3


@pytest.mark.parametrize("gain", [0.001, 0.05, 1.0])
def test_exposure_does_not_depend_on_the_level_of_the_data(gain: float) -> None:
    light = torch.linspace(0, 1, 3600).view(60, 60) ** 2
    assert choose_exposure(light * gain) + np.log2(gain) == pytest.approx(choose_exposure(light), abs=1e-3)


def test_snow_stays_white_and_a_night_stays_a_night() -> None:
    snow = filmic(torch.tensor(0.8 * 2 ** choose_exposure(torch.full((50, 50), 0.8))))
    assert float(SRGB_TRANSFER.encode(snow.numpy())) > 0.9
    night = torch.full((50, 50), 0.001)
    night[:4] = 0.5
    dark = filmic(torch.tensor(0.001 * 2 ** choose_exposure(night)))
    assert float(SRGB_TRANSFER.encode(dark.numpy())) < 0.05


def test_a_frame_of_noise_stays_dark() -> None:
    noise = torch.randn(120, 160, generator=torch.Generator().manual_seed(7)) * 1e-3
    shown = filmic((noise * 2 ** choose_exposure(noise + 2e-4)).clamp(min=0))
    assert float(SRGB_TRANSFER.encode(shown.double().mean().numpy())) < 0.1
    grain = choose_exposure(torch.full((120, 160), 5e-3) + noise * 0.5)
    assert grain == pytest.approx(choose_exposure(torch.full((120, 160), 5e-3)), abs=0.35)


def test_a_black_picture_has_an_exposure() -> None:
    assert choose_exposure(torch.zeros(8, 8)) == 0.0
    assert choose_exposure(torch.full((8, 8), -0.01)) == 0.0


def test_the_thumbnail_is_the_mean_of_blocks() -> None:
    frame = torch.rand(4, 21, 34, generator=torch.Generator().manual_seed(4))
    small = make_thumbnail(frame, side=8)
    assert small.shape == (3, 5, 8)
    blocks = frame[:, :20, :32].double().unfold(1, 4, 4).unfold(2, 4, 4).mean(dim=(3, 4))
    expected = torch.stack((blocks[0], (blocks[1] + blocks[2]) / 2, blocks[3]))
    assert (small - expected).abs().max() < 1e-6
