"""The calibration report: opened in a browser every figure shows, and nothing is loaded from anywhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from rawdiff_calibration.sensor import SimulatedSensor

from rawdiff.pipeline.calibration import Calibration, calibrate_camera
from rawdiff.pipeline.calibration_frames import FrameFacts
from rawdiff.pipeline.events import ignore
from rawdiff.raw.frame import Camera
from rawdiff.report.calibration import render_calibration

SENSOR = SimulatedSensor(shape=(192, 256), seed=2, hot=1e-3)
FIGURES = (
    "photon-transfer",
    "photon-transfer-residuals",
    "stabilised-variance",
    "dark-quantiles",
    "linearity",
    "signal-to-noise",
    "noise-over-iso",
    "gain-over-iso",
    "row-spectrum",
    "column-spectrum",
    "defect-map",
    "dark-shading-map",
    "shading-map",
)

# Tells of every figure how large it is drawn, how much ink it has, and whether its pictures were decoded.
_PROBE = """<script>window.addEventListener("load", () => {
const seen = [...document.querySelectorAll("figure")].map(f => ({name: f.id,
  width: f.getBoundingClientRect().width, height: f.getBoundingClientRect().height,
  marks: f.querySelectorAll("circle, polyline").length,
  images: [...f.querySelectorAll("img")].map(i => i.complete && i.naturalWidth > 0)}));
const loaded = performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:"));
document.body.dataset.seen = JSON.stringify({seen, loaded}); });</script></body>"""


def _facts(folder, name, mosaic, iso, time):
    path = folder / f"{name}.npy"
    np.save(path, mosaic.astype(np.uint16))
    (folder / f"{name}.npy.toml").write_text('cfa = "RGGB"\nblack = 512\nwhite = 16383\n')
    return FrameFacts(path, SENSOR.shape, iso, time, Camera("Acme", "One"))


@pytest.fixture(scope="module")
def calibration(tmp_path_factory) -> Calibration:
    folder = tmp_path_factory.mktemp("frames")
    flats, darks = [], []
    for iso in (400.0, 1600.0):
        for i in range(5):
            darks.append(_facts(folder, f"d{iso:g}_{i}", SENSOR.dark(0.01, iso=iso, seed=i), iso, 0.01))
        for i, level in enumerate((0.02, 0.1, 0.3, 0.5)):
            time = level * 15871 / SENSOR.gain_dn_per_e(iso)[1] / SENSOR.flux_e_per_s
            for j in (0, 1):
                frame = SENSOR.flat(iso=iso, seed=100 + 2 * i + j, exposure_s=time)
                flats.append(_facts(folder, f"f{iso:g}_{i}{j}", frame, iso, time))
    return calibrate_camera(flats, darks, ignore)


@pytest.fixture(scope="module")
def page(calibration) -> str:
    return render_calibration(calibration)


def test_every_figure_and_verdict_is_on_the_page(page, calibration):
    assert re.findall(r'<figure id="([^"]+)"', page) == list(FIGURES)
    assert page.count("<li class=") == len(calibration.verdicts)


def test_table_holds_figures_with_their_errors(page, calibration):
    entry = calibration.profile.iso[0]
    value = f"{entry.gain_dn_per_e.value:.3f}"[:4]
    assert "system gain K" in page and value in page and "±" in page


def test_names_from_files_cannot_write_html(calibration):
    camera = replace(calibration.profile.camera, model="<script>alert(1)</script>")
    text = render_calibration(replace(calibration, profile=replace(calibration.profile, camera=camera)))
    assert "<script" not in text


def test_browser_shows_every_figure_and_loads_nothing(page, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    sheet = tmp_path / "report.html"
    sheet.write_text(page.replace("</body>", _PROBE))
    command = [
        browser,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        "--hide-scrollbars",
        "--window-size=1040,3000",
        f"--user-data-dir={tmp_path / 'browser'}",
    ]
    shot = tmp_path / "report.png"
    dom = _browse([*command, "--dump-dom", sheet.as_uri()])
    _browse([*command, f"--screenshot={shot}", sheet.as_uri()])
    found = re.search(r'data-seen="([^"]*)"', dom)
    assert found, "the page did not finish loading"
    record = json.loads(found.group(1).replace("&quot;", '"'))
    assert record["loaded"] == [], "a report loads nothing"
    assert [figure["name"] for figure in record["seen"]] == list(FIGURES)
    for figure in record["seen"]:
        assert figure["width"] > 300 and figure["height"] > 200, figure
        assert figure["marks"] > 1 or figure["images"], figure
        assert all(figure["images"]), figure
    with Image.open(shot) as picture:
        ink = np.asarray(picture.convert("RGB"), np.float64)
    colored = ink.max(axis=2) - ink.min(axis=2) > 60
    assert ink.shape[1] == 1040 and colored.mean() > 0.01, "the screenshot is blank"


def _browse(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-400:]
    return done.stdout
