"""The photographed colour chart against LibRaw's own rendering: white balance, demosaicing, matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rawpy
import torch
from skimage.color import deltaE_ciede2000, xyz2lab

from rawdiff.color.encode import Depth
from rawdiff.color.matrices import camera_to_output
from rawdiff.color.render import Renderer
from rawdiff.color.spaces import SPACES
from rawdiff.color.tone import ToneSettings
from rawdiff.color.white_balance import choose_neutral
from rawdiff.raw.demosaic import METHODS, Method, demosaic
from rawdiff.raw.frame import RawFrame
from rawdiff.raw.ingest import read_raw

EXPOSURE = 8.0


def patches(picture: np.ndarray) -> np.ndarray:
    """Means over the 24 patches of the chart, `[24, channels]`, from a picture `[1156, 1734, channels]`."""
    means = []
    for row in range(4):
        for column in range(6):
            top, left = 600 + 103 * row - 2 * column, 682 + round(108.5 * column) - row
            means.append(picture[top : top + 50, left : left + 50].reshape(2500, -1).mean(axis=0))
    return np.array(means)


def lab(linear_srgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear sRGB, with the exposure that gives the chart's white patch about Y = 0.9."""
    return np.asarray(xyz2lab(EXPOSURE * linear_srgb @ SPACES["srgb"].to_xyz().T))


@pytest.fixture(scope="module")
def chart(shared_data: Path) -> Path:
    return shared_data / "raw" / "colorchart.dng"


@pytest.fixture(scope="module")
def frame(chart: Path) -> RawFrame:
    read = read_raw(chart)
    assert isinstance(read, RawFrame)
    return read


def libraw(chart: Path, space: rawpy.ColorSpace) -> np.ndarray:
    with rawpy.imread(str(chart)) as raw:
        rgb = raw.postprocess(
            use_camera_wb=True,
            gamma=(1, 1),
            no_auto_bright=True,
            adjust_maximum_thr=0.0,
            output_bps=16,
            output_color=space,
        )
    return rgb / 65535.0


def demosaic_chart(frame: RawFrame, method: Method) -> torch.Tensor:
    black, white = float(frame.levels.black_dn[0, 0]), float(frame.levels.white_dn[0, 0])
    mosaic = (torch.from_numpy(frame.mosaic_dn.copy()) - black) / (white - black)
    gains = 1 / choose_neutral(frame.tags.color)
    return demosaic(mosaic, frame.phase, method, tuple(gains.tolist()))


@pytest.mark.parametrize("method", METHODS)
def test_the_chart_agrees_with_libraw_under_one_matrix(chart: Path, frame: RawFrame, method: Method) -> None:
    # Same white balance (the file's) and same matrix (ours) on both sides: what differs is the decoding of
    # levels and the demosaicing. Mean over the 24 patches of Delta E 2000, without any alignment.
    neutral = choose_neutral(frame.tags.color)
    matrix = camera_to_output(frame.tags.color, neutral, "srgb")
    ours = patches(demosaic_chart(frame, method).permute(1, 2, 0).numpy())
    theirs = patches(libraw(chart, rawpy.ColorSpace.raw)) * neutral
    assert (ours / theirs).mean() == pytest.approx(1.0, abs=0.01)
    assert deltaE_ciede2000(lab(ours @ matrix.T), lab(theirs @ matrix.T)).mean() < 2.0


@pytest.mark.parametrize("depth", [8, 16])
def test_the_linear_rendering_agrees_with_libraws_srgb(chart: Path, frame: RawFrame, depth: Depth) -> None:
    # LibRaw's whole way to sRGB against ours. LibRaw takes the matrix for D65 and scales its rows to the
    # neutral, we adapt from the scene's own white as DNG prescribes: two published practices.
    rgb = demosaic_chart(frame, "menon")
    color = frame.tags.color
    renderer = Renderer(color, choose_neutral(color), tone=ToneSettings("linear", 0.0), depth=depth)
    rendered = renderer.prepare(rgb).apply(rgb).numpy() / (2.0**depth - 1)
    ours = patches(SPACES["srgb"].transfer.decode(rendered))
    assert deltaE_ciede2000(lab(ours), lab(patches(libraw(chart, rawpy.ColorSpace.sRGB)))).mean() < 2.0
