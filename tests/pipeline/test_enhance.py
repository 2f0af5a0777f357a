"""Enhancement in the way of a photograph: not twice, not in DNGs, not by the bands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline import develop
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.develop import Developed, develop_linear, develop_mosaic
from rawdiff.raw.frame import ColorTags, FrameTags, Levels, LinearFrame, RawFrame, Source

SIZE = (90, 122)
MATRIX = np.array([[6461, -1164, -857], [-3825, 11597, 2534], [-416, 1540, 6039]]) / 1e4
TAGS = FrameTags(color=ColorTags((MATRIX,), (None,), (None,), (21,)))
SOURCE = Source(Path("a.dng"), "0" * 64, "test")
ENHANCED = ProcessConfig(enhance="local", formats=("tiff",))


def light(level: float = 0.05) -> torch.Tensor:
    """A scene with a bright window and dim walls."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    wall = 0.15 + 0.1 * torch.sin(x / 5) * torch.cos(y / 7)
    window = (x > 80) & (y > 20) & (y < 60)
    return level * torch.where(window, 4.0 + wall, wall)


def developed(config: ProcessConfig, level: float = 0.05, tags: FrameTags = TAGS) -> Developed:
    levels = Levels(np.zeros((2, 2)), np.ones((2, 2)))
    frame = RawFrame(np.zeros(SIZE, np.float32), "RGGB", levels, tags, SOURCE)
    return develop_mosaic(light(level), frame, config)


def picture(done: Developed) -> np.ndarray:
    return np.concatenate([strip for _, strip in done.display_strips(16)]).astype(np.int64)


def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = picture(developed(ENHANCED))
    monkeypatch.setattr(develop, "_BAND_PIXELS", 10 * SIZE[1])
    assert np.array_equal(picture(developed(ENHANCED)), whole)


@pytest.mark.parametrize("crop", [(3, 5, 77, 100), (2, 4, 90, 122)])
def test_a_crop_shows_a_part_of_the_whole(crop: tuple[int, int, int, int]) -> None:
    top, left, bottom, right = crop
    cropped = picture(developed(ENHANCED, tags=replace(TAGS, default_crop=crop)))
    assert np.array_equal(cropped, picture(developed(ENHANCED))[top:bottom, left:right])


@pytest.mark.parametrize("config", [ProcessConfig(), ProcessConfig(space="display-p3")])
def test_strength_0_gives_the_bytes_of_no_enhancement(config: ProcessConfig) -> None:
    without = replace(config, enhance="local", enhance_strength=0.0)
    assert np.array_equal(picture(developed(without)), picture(developed(config)))


def test_how_dark_the_photograph_was_does_not_show() -> None:
    """Neither automatic exposure nor curve follows: the enhancer's light alone sets the level."""
    bright, dark = (picture(developed(ENHANCED, level)) for level in (0.05, 0.05 / 64))
    # A gain by a power of two is exact up to the constant 1e-12 of the gamut.
    assert np.abs(bright - dark).max() <= 1
    assert 0.35 < bright.mean() / 65535 < 0.5


def test_strength_lies_between(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = picture(developed(replace(ENHANCED, enhance=None)))
    full = picture(developed(ENHANCED))
    half = picture(developed(replace(ENHANCED, enhance_strength=0.5)))
    low, high = np.minimum(plain, full), np.maximum(plain, full)
    # Roots and squares in single precision round by a count.
    assert (half >= low - 1).all() and (half <= high + 1).all()
    assert np.abs(full - plain).mean() > 500


def test_an_exposure_counts_from_the_light_of_the_enhancer() -> None:
    plain = picture(developed(ENHANCED))
    brighter = picture(developed(replace(ENHANCED, exposure_ev=1.0)))
    # Where neither the shoulder (from 0.9) nor the encoding's linear foot is touched: (2 x)^(1/2.4).
    low = (plain.max(axis=2) < 0.6 * 65535) & (plain.min(axis=2) > 0.1 * 65535)
    ratio = (brighter[low] / 65535 + 0.055) / (plain[low] / 65535 + 0.055)
    assert low.sum() > 1000 and np.abs(ratio - 2 ** (1 / 2.4)).max() < 1e-3


def test_a_wider_space_holds_the_same_colours() -> None:
    srgb = picture(developed(ENHANCED)) / 65535
    wide = picture(developed(replace(ENHANCED, space="display-p3"))) / 65535
    grey = np.abs(srgb.max(axis=2) - srgb.min(axis=2)) < 0.02
    assert grey.any() and np.abs(wide - srgb)[grey].max() < 0.02


def test_linear_outputs_keep_the_light_of_the_scene() -> None:
    enhanced, plain = developed(ENHANCED), developed(replace(ENHANCED, enhance=None))
    assert np.array_equal(enhanced.linear(), plain.linear())
    assert np.array_equal(enhanced.preview(), plain.preview())


def test_demosaiced_raws_are_enhanced_too() -> None:
    rgb = torch.stack([0.5 * light(), light(), 0.6 * light()]).numpy()
    frame = LinearFrame(rgb, np.zeros(3), np.ones(3), TAGS, SOURCE)
    found = picture(develop_linear(frame, ENHANCED))
    assert found.shape == (*SIZE, 3) and 0.35 < found.mean() / 65535 < 0.5


def test_the_record_says_what_was_done() -> None:
    record = developed(replace(ENHANCED, enhance_strength=0.7)).record["enhanced"]
    assert (record["name"], record["strength"], record["weights"]) == ("local", 0.7, None)
    assert developed(ProcessConfig()).record.get("enhanced") is None


def test_an_enhancement_that_nothing_would_show_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="DNGs keep the light"):
        ProcessConfig(enhance="local", formats=("dng", "linear-dng"))
    with pytest.raises(ConfigurationError, match="strength of an enhancement"):
        ProcessConfig(enhance="local", enhance_strength=1.5)
