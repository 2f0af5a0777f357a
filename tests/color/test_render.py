from __future__ import annotations

import numpy as np
import pytest
import torch

from rawdiff.color.exposure import make_thumbnail
from rawdiff.color.render import Renderer
from rawdiff.color.spaces import SPACES, OutputSpace
from rawdiff.color.tone import ToneSettings
from rawdiff.errors import ProcessingError
from rawdiff.raw.frame import ColorTags
from rawdiff.tiles import plan_tiles

MATRIX = np.array([[6461, -1164, -857], [-3825, 11597, 2534], [-416, 1540, 6039]]) / 1e4
COLOR = ColorTags((MATRIX,), (None,), (None,), (21,))
NEUTRAL = np.array([0.404, 1.0, 0.59])
SPACE_NAMES: tuple[OutputSpace, ...] = ("srgb", "display-p3", "rec2020")


def scene(height: int = 67, width: int = 83) -> torch.Tensor:
    light = torch.rand(3, height, width, generator=torch.Generator().manual_seed(5))
    return light * 1.1 - 0.03


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("mode", ["filmic", "linear"])
def test_tiles_give_the_bytes_of_the_whole(depth: int, mode: str) -> None:
    rgb = scene()
    tone = ToneSettings(mode=mode)  # type: ignore[arg-type]
    renderer = Renderer(COLOR, NEUTRAL, tone=tone, depth=depth).prepare(make_thumbnail(rgb))  # type: ignore[arg-type]
    whole = renderer.apply(rgb)
    for size in (7, 16, 64):
        pieces = torch.zeros_like(whole)
        for tile in plan_tiles(67, 83, size, halo=0):
            pieces[tile.inner] = renderer.apply(rgb[(slice(None), *tile.inner)])
        assert torch.equal(pieces.to(torch.int32), whole.to(torch.int32))


def test_threads_change_no_byte() -> None:
    rgb = scene(220, 260)
    renderer = Renderer(COLOR, NEUTRAL, depth=16).prepare(make_thumbnail(rgb))
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(renderer.apply(rgb).to(torch.int32))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


@pytest.mark.parametrize("space", SPACE_NAMES)
@pytest.mark.parametrize("mode", ["filmic", "linear"])
def test_neutral_objects_are_grey_in_every_space(space: OutputSpace, mode: str) -> None:
    rgb = torch.from_numpy(NEUTRAL).float().view(3, 1, 1) * torch.linspace(0, 1, 200)
    tone = ToneSettings(mode=mode)  # type: ignore[arg-type]
    picture = Renderer(COLOR, NEUTRAL, space, tone).prepare(rgb).apply(rgb).to(torch.int32)
    assert (picture.amax(dim=2) - picture.amin(dim=2)).max() <= 1


def test_linear_mode_is_the_matrix_and_the_transfer_function() -> None:
    srgb_camera = ColorTags((np.linalg.inv(SPACES["srgb"].to_xyz()),), (None,), (None,), (21,))
    rgb = scene().clamp(0.0, 0.45)
    renderer = Renderer(srgb_camera, np.ones(3), tone=ToneSettings("linear", 1.0), depth=16).prepare(rgb)
    expected = SPACES["srgb"].transfer.encode(rgb.double().numpy() * 2) * 65535
    found = renderer.apply(rgb).to(torch.int32).permute(2, 0, 1).numpy()
    assert np.abs(found - expected).max() < 1.5


def test_an_exposure_given_overrides_the_picture_and_keeps_the_baseline() -> None:
    color = ColorTags((MATRIX,), (None,), (None,), (21,), baseline_exposure_ev=0.5)
    settled = Renderer(color, NEUTRAL, tone=ToneSettings(exposure_ev=1.25)).prepare(scene())
    assert settled.exposure_ev == 1.75
    assert Renderer(color, NEUTRAL, tone=ToneSettings("linear")).prepare(scene()).exposure_ev == 0.5


def test_a_dark_frame_and_its_bright_twin_look_alike() -> None:
    rgb = scene().clamp(0.0, 0.4)
    bright = Renderer(COLOR, NEUTRAL).prepare(rgb)
    dark = Renderer(COLOR, NEUTRAL).prepare(rgb * 0.01)
    difference = bright.apply(rgb).to(torch.int32) - dark.apply(rgb * 0.01).to(torch.int32)
    assert difference.abs().max() <= 1


def test_clipped_highlights_are_white_not_magenta() -> None:
    light = torch.linspace(0.2, 4.0, 400)
    rgb = (torch.from_numpy(NEUTRAL).float().view(3, 1, 1) * light).clamp(max=1.0)
    picture = Renderer(COLOR, NEUTRAL, tone=ToneSettings(exposure_ev=0.0)).prepare(rgb).apply(rgb)
    picture = picture.to(torch.int32)
    assert (picture.amax(dim=2) - picture.amin(dim=2)).max() <= 2
    assert (torch.diff(picture[0, :, 1]) >= 0).all()


def test_rendering_before_settling_is_refused() -> None:
    with pytest.raises(ProcessingError, match="has not been settled"):
        Renderer(COLOR, NEUTRAL).apply(scene())
