"""The page of a burst: what it says, that it loads nothing, and that a browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rawdiff.pipeline.burst import MergedBurst, merge_files
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.denoise import denoise_frame, residual_profile
from rawdiff.recipes.catalog import find_recipe
from rawdiff.report.burst_page import render_burst_page
from rawdiff.simulate.burst import BurstPlan, write_burst
from rawdiff.simulate.cameras import find
from rawdiff.simulate.dead_leaves import draw_scene
from rawdiff.simulate.scene import enlarge_scene

CAMERA = find("NikonD850")
CONFIG = ProcessConfig(recipe="wavelet-shrink")


def render(merged: MergedBurst) -> str:
    recipe, noise, frame = find_recipe(CONFIG.recipe), merged.noise.model, merged.frame
    clean = denoise_frame(frame, noise, recipe, 1.0, exposure=merged.exposure.value)
    residual = residual_profile(noise, frame.levels, frame.phase, recipe, 1.0, merged.exposure.mean())
    return render_burst_page(merged, clean, CONFIG, residual)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("burst")
    scene = enlarge_scene(draw_scene(160, 180, torch.Generator().manual_seed(1), 200), 2)
    plan = BurstPlan(
        find("NikonD850"),
        iso=800,
        ratio=50,
        frames=4,
        shake_px=4.0,
        rotation_deg=0.3,
        motion="object",
        seed=3,
    )
    paths = [path for path in write_burst(scene, folder, plan, overwrite=False) if path.suffix == ".dng"]
    stranger = folder / "stranger.dng"
    other = write_burst(
        scene.flip(1, 2), folder / "other", BurstPlan(find("NikonD850"), 800, 50), overwrite=False
    )
    next(iter(other)).rename(stranger)
    return render(merge_files([*paths, stranger], CONFIG, "burst", lambda event: None))


def test_it_tells_every_frame_and_loads_nothing(page: str) -> None:
    for name in ("frame_000.dng", "frame_001.dng", "frame_002.dng", "frame_003.dng", "stranger.dng"):
        assert f"<td>{name}</td>" in page
    assert "4 of 5 frames merged" in page and "it is 360x320, the reference" in page
    assert page.count("<svg") == 4  # three frames' vectors, one plot
    assert page.count('class="crop"') in (3, 6, 9)  # places that tell most may be one
    assert not re.search(r'(?:src|href)="(?!data:)', page)


def test_the_merge_is_less_noisy_than_the_frame_in_the_crops_and_in_the_table(page: str) -> None:
    row = re.search(r"<tr><td>0\.05</td>(.*?)</tr>", page)
    assert row is not None
    single, merged, result = (float(v) for v in re.findall(r"<td>([\d.]+)</td>", row.group(1)))
    assert merged > single + 5 and result > merged


def test_one_frame_has_a_page_too(tmp_path: Path) -> None:
    scene = enlarge_scene(draw_scene(100, 100, torch.Generator().manual_seed(1), 200), 2)
    plan = BurstPlan(CAMERA, iso=800, ratio=50)
    frame = next(iter(write_burst(scene, tmp_path, plan, overwrite=False)))
    page = render(merge_files([frame], CONFIG, "burst", lambda event: None))
    assert "1 of 1 frames merged" in page and "nothing to compare" in page


@pytest.mark.slow
def test_a_browser_shows_it(page: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    (tmp_path / "burst.html").write_text(page, encoding="utf-8")
    shot = tmp_path / "burst.png"
    subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1000,1800", f"--screenshot={shot}",
         (tmp_path / "burst.html").as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    with Image.open(shot) as picture:
        shown = np.asarray(picture.convert("RGB"), dtype=np.float64)
    assert shown.shape == (1800, 1000, 3)
    # Text and pictures: neither a blank page nor an error page, with crops that have colours.
    assert 0.02 < float((shown.mean(axis=2) < 200).mean()) < 0.9
    assert float(np.ptp(shown, axis=2).max()) > 30
