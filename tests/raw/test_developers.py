"""Other programs open what rawdiff writes, and render it as they render the source."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile
import torch
from numpy.typing import NDArray
from rawdiff_calibration.noise import NoiseModel
from scipy.ndimage import uniform_filter

from rawdiff.raw.demosaic import demosaic
from rawdiff.raw.dng import write_cfa_dng, write_linear_dng
from rawdiff.raw.frame import RawFrame, plane_sites
from rawdiff.raw.ingest import read_raw

pytestmark = pytest.mark.shared_data
Render = Callable[[Path, Path], NDArray[np.float64]]
Sources = Callable[[Render, str], NDArray[np.float64]]

# Centres of the chart's first and last row of patches, in the pixels of the full image.
_TOP, _BOTTOM = (714, 822, 928, 1036, 1144, 1252), (702, 812, 922, 1034, 1144, 1256)
_ROWS = (624, 720, 820, 928)
_HALF = 20
PEDESTAL = 1024


@dataclass(frozen=True)
class Chart:
    """The chart's source file and its frame; the same without noise, as mosaic and demosaiced by rawdiff.

    Linear images are compared free of noise: each program cuts noise off at black, and does so before or
    after demosaicing.
    """

    source: Path
    frame: RawFrame
    smooth_dn: NDArray[np.float32]
    rgb: NDArray[np.float32]
    preview: NDArray[np.uint8]


@pytest.fixture(scope="module")
def chart(shared_data: Path) -> Chart:
    source = shared_data / "raw" / "colorchart.dng"
    frame = read_raw(source)
    assert isinstance(frame, RawFrame)
    smooth = np.empty(frame.shape, np.float32)
    signal = np.empty(frame.shape, np.float32)
    for row, column in plane_sites(frame.phase):
        site = slice(row, None, 2), slice(column, None, 2)
        smooth[site] = uniform_filter(frame.mosaic_dn[site], 7)
        signal[site] = (smooth[site] - frame.levels.black_dn[row, column]) / frame.levels.range_dn()[
            row, column
        ]
    rgb = demosaic(torch.from_numpy(signal), frame.phase, "malvar").numpy()
    small = np.moveaxis(rgb, 0, 2)[::2, ::2] * np.array([2.48, 1.0, 1.69])
    preview = (np.clip(small, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    return Chart(source, frame, smooth, rgb, preview)


def patches(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean RGB of the 24 patches, `[24, 3]`; a narrower picture lost its margin on all sides alike."""
    top = (1156 - picture.shape[0]) // 2
    left = (1734 - picture.shape[1]) // 2
    means = []
    for index, row in enumerate(_ROWS):
        for first, last in zip(_TOP, _BOTTOM, strict=True):
            y, x = row - top, round(first + (last - first) * index / 3) - left
            means.append(picture[y - _HALF : y + _HALF, x - _HALF : x + _HALF].mean((0, 1)))
    return np.array(means)


def same_rendering(
    found: NDArray[np.float64],
    expected: NDArray[np.float64],
    rounding: float = 0.0,
    exposure: float = 1.0,
) -> None:
    """Every channel of every patch within 2 %, beyond a program's own `rounding` and `exposure`.

    A channel below 15 % of its patch's strongest is held within 2 % of that 15 %: those are the saturated
    colours at the border of the output's gamut, where demosaicing methods differ by a thousandth of white.
    """
    one, other = patches(found), patches(expected) * exposure
    assert other[18:].mean(1).tolist() == sorted(other[18:].mean(1), reverse=True), "not the grey patches"
    allowed = 0.02 * np.maximum(other, 0.15 * other.max(1, keepdims=True)) + rounding
    worst = float((np.abs(one - other) / allowed).max())
    assert worst <= 1, f"a patch is off by {2 * worst:.2f} %"


def render_libraw(path: Path, _folder: Path) -> NDArray[np.float64]:
    with rawpy.imread(str(path)) as raw:
        picture = raw.postprocess(
            gamma=(1, 1), no_auto_bright=True, use_camera_wb=True, output_bps=16, user_flip=0
        )
    return picture.astype(np.float64)


def render_darktable(path: Path, folder: Path) -> NDArray[np.float64]:
    """darktable's plain rendering (no automatic modules) to linear Rec. 709 floats."""
    out = folder / f"{path.stem}-darktable.tif"
    run(
        ["darktable-cli", str(path), str(out), "--icc-type", "LIN_REC709", "--core", "--library", ":memory:",
         "--configdir", str(folder / "darktable"), "--cachedir", str(folder / "darktable-cache"),
         "--conf", "plugins/imageio/format/tiff/bpp=32", "--conf", "plugins/darkroom/workflow=none"],
        folder,
    )  # fmt: skip
    return tifffile.imread(out).astype(np.float64)


def render_rawtherapee(path: Path, folder: Path) -> NDArray[np.float64]:
    """RawTherapee's neutral rendering; its sRGB curve is undone."""
    out = folder / f"{path.stem}-rawtherapee.tif"
    run(["rawtherapee-cli", "-Y", "-q", "-t", "-b16", "-o", str(out), "-c", str(path)], folder)
    coded = tifffile.imread(out) / 65535
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def run(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    own = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config"), "OMP_NUM_THREADS": "1"}
    own["XDG_CACHE_HOME"] = str(folder / "cache")
    subprocess.run(command, env=os.environ | own, check=True, capture_output=True, timeout=240)


@pytest.fixture(scope="module")
def rendered_source(chart: Chart, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """The own rendering, in a program, of what a variant was made from; made once."""
    done: dict[str, NDArray[np.float64]] = {}
    folder = tmp_path_factory.mktemp("source")

    def render(program: Render, variant: str) -> NDArray[np.float64]:
        smooth = variant.startswith("linear")
        key = f"{program.__name__}-{smooth}"
        if key not in done:
            path = chart.source
            if smooth:
                path = folder / "smooth.dng"
                write_cfa_dng(path, chart.smooth_dn, chart.frame, full_range=True, overwrite=True)
            done[key] = program(path, folder)
        return done[key]

    return render


def write_variant(chart: Chart, path: Path, variant: str) -> Path:
    """The chart as it is, in one of the forms that rawdiff writes."""
    noise = NoiseModel.uniform(0.4, 6.0)
    pairs = noise.to_dng((12944.0,) * 3)
    frame, rest = chart.frame, {"preview": chart.preview, "source_file": chart.source}
    if variant == "cfa":
        write_cfa_dng(path, frame.mosaic_dn, frame, noise=noise, **rest)
    elif variant == "cfa-full-range":
        write_cfa_dng(path, frame.mosaic_dn, frame, noise=noise, full_range=True, **rest)
    elif variant == "cfa-bare":
        write_cfa_dng(path, frame.mosaic_dn, frame)
    elif variant == "linear-u16":
        write_linear_dng(path, chart.rgb, frame.tags, noise=pairs, **rest)
    elif variant == "linear-u16-pedestal":
        write_linear_dng(path, chart.rgb, frame.tags, noise=pairs, pedestal=PEDESTAL, **rest)
    else:
        write_linear_dng(path, chart.rgb, frame.tags, noise=pairs, encoding="f16-deflate", **rest)
    return path


def pedestal_of(variant: str) -> float:
    """Pedestal by white: LibRaw and RawTherapee miss the exposure of a linear image by it, down and up."""
    return PEDESTAL / 65535 if variant == "linear-u16-pedestal" else 0.0


ALL = ["cfa", "cfa-full-range", "cfa-bare", "linear-u16", "linear-u16-pedestal", "linear-f16"]


@pytest.mark.parametrize("variant", ALL)
def test_libraw_renders_it_as_the_source(
    chart: Chart, rendered_source: Sources, tmp_path: Path, variant: str
) -> None:
    path = write_variant(chart, tmp_path / "a.dng", variant)
    # LibRaw cuts floats down to 14 bits: one count is 4 of its 16-bit output, times white balance (2.5) and
    # matrix (2).
    rounding = 20.0 if variant == "linear-f16" else 0.0
    expected = rendered_source(render_libraw, variant)
    same_rendering(render_libraw(path, tmp_path), expected, rounding, 1 - pedestal_of(variant))


@pytest.mark.parametrize("program", [render_darktable, render_rawtherapee])
def test_developers_render_the_clean_mosaic_as_the_source(
    chart: Chart, rendered_source: Sources, tmp_path: Path, program: Render
) -> None:
    path = write_variant(chart, tmp_path / "a.dng", "cfa-full-range")
    same_rendering(program(path, tmp_path), rendered_source(program, "cfa-full-range"))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["cfa", "cfa-bare", "linear-u16", "linear-f16"])
def test_darktable_renders_it_as_the_source(
    chart: Chart, rendered_source: Sources, tmp_path: Path, variant: str
) -> None:
    """Over a pedestal it cannot: rawspeed leaves the black level of linear DNGs alone (4.2.1 to today)."""
    path = write_variant(chart, tmp_path / "a.dng", variant)
    same_rendering(render_darktable(path, tmp_path), rendered_source(render_darktable, variant))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["cfa", "cfa-bare", "linear-u16", "linear-u16-pedestal"])
def test_rawtherapee_renders_it_as_the_source(
    chart: Chart, rendered_source: Sources, tmp_path: Path, variant: str
) -> None:
    """Half floats of three colours it opens as black (5.9)."""
    path = write_variant(chart, tmp_path / "a.dng", variant)
    expected = rendered_source(render_rawtherapee, variant)
    same_rendering(render_rawtherapee(path, tmp_path), expected, exposure=1 + pedestal_of(variant))
