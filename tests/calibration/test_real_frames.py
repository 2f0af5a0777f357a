"""Real sensors: the program against fits that were made by hand (the figures are in the data's own notes)."""

from __future__ import annotations

import csv
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from rawdiff_calibration.chart import from_chart_frame
from rawdiff_calibration.dark import DarkAccumulator
from rawdiff_calibration.dark_solve import solve_darks
from rawdiff_calibration.errors import LitFramesError
from rawdiff_calibration.mosaic import Mosaic
from rawdiff_calibration.photon_transfer import PhotonTransfer, PhotonTransferResult

pytestmark = pytest.mark.shared_data
fits = pytest.importorskip("astropy.io.fits")

TAPS = [(slice(r, r + 480), slice(c, c + 1000)) for r in (30, 530) for c in (60, 1092)]
HAND_FIT_E_PER_DN = (2.51, 2.54)


@pytest.fixture(scope="module")
def ccd(shared_data: Path) -> dict[str, Mosaic]:
    folder = shared_data / "calibration" / "ccd_4tap"
    names = ("04803", "04804", "04860", "04861")
    return {name: fits.getdata(folder / f"ESIS1_{name}.fit.gz").astype(np.float32) for name in names}


@pytest.mark.parametrize("tap", TAPS, ids=["upper left", "upper right", "lower left", "lower right"])
def test_four_tap_ccd(ccd: dict[str, Mosaic], tap: tuple[slice, slice]) -> None:
    darks = DarkAccumulator((480, 1000), None)
    for name in ("04860", "04861"):
        darks.add(ccd[name][tap], 2.0)
    dark = solve_darks(darks)
    curve = PhotonTransfer(None, dark.black_dn[0].value, None)
    curve.add_pair(ccd["04803"][tap], ccd["04804"][tap])
    curve.add_dark_pair(ccd["04860"][tap], ccd["04861"][tap])
    gain = curve.solve().gain_dn_per_e[0]
    low, high = HAND_FIT_E_PER_DN
    assert 0.98 * low < 1 / gain.value < 1.02 * high
    assert gain.se < 0.01 * gain.value
    # About 10 e- by hand, from the same darks.
    assert 9.0 < dark.read_noise_dn[0].value / gain.value < 11.0
    assert any("interference" in note for note in dark.notes)


@pytest.fixture(scope="module")
def nikon(shared_data: Path) -> dict[float, list[Mosaic]]:
    """Crops of a white target, by shutter speed, from dark to bright."""
    folder = shared_data / "calibration" / "nikon_d7000_ptc"
    crops: dict[float, list[Mosaic]] = defaultdict(list)
    with (folder / "conditions.csv").open() as table:
        for row in csv.DictReader(table):
            crop = fits.getdata(folder / row["crop.file.name"]).astype(np.float32)
            crops[float(Fraction(row["shutter.speed"]))].append(crop)
    return {time: sorted(found, key=lambda crop: float(crop.mean())) for time, found in sorted(crops.items())}


def measure_nikon(
    nikon: dict[float, list[Mosaic]], white_dn: float, ceiling_dn: float = np.inf
) -> PhotonTransferResult:
    """All pairs of neighbours in brightness; two lamps were used at some speeds, and such pairs are refused.

    A `ceiling_dn` stands for a camera that clips there.
    """
    curve = PhotonTransfer("GBRG", 0.0, white_dn)
    for time, crops in nikon.items():
        for first, second in zip(crops[::2], crops[1::2], strict=False):
            try:
                curve.add_pair(np.minimum(first, ceiling_dn), np.minimum(second, ceiling_dn), time)
            except LitFramesError:
                continue
    return curve.solve()


def test_nikon_series(nikon: dict[float, list[Mosaic]]) -> None:
    found = measure_nikon(nikon, 16383)
    green = found.gain_dn_per_e[1]
    assert green.value == pytest.approx(0.39, rel=0.02)
    assert green.se < 0.01 * green.value
    left_out = [point for point in found.points if not point.used]
    assert left_out and min(point.mean_dn for point in left_out) > 0.8 * 16383


@pytest.mark.parametrize("white_dn", [9000.0, 16383.0], ids=["white level known", "white level unknown"])
def test_nikon_series_clipped(nikon: dict[float, list[Mosaic]], white_dn: float) -> None:
    """The same crops as a camera that saturates at 9000 DN would give them: the program finds out."""
    found = measure_nikon(nikon, white_dn, ceiling_dn=9000.0)
    whole = measure_nikon(nikon, 16383).gain_dn_per_e[1]
    assert abs(found.gain_dn_per_e[1].value - whole.value) < 3 * whole.se
    assert all(point.mean_dn < 8500 for point in found.points if point.used and point.color == 1)
    assert found.saturation_dn == pytest.approx(9000, rel=0.02)


def test_noise_chart_in_one_frame(shared_data: Path) -> None:
    path = shared_data / "raw" / "openisp_noise_chart_1920x1080_rggb_u16_10bit.raw"
    chart = np.fromfile(path, "<u2").reshape(1080, 1920).astype(np.float32)
    found = from_chart_frame(chart, "RGGB", 4.0, 1020.0)
    assert "one frame" in found.trust
    for color, gain in enumerate(found.gain_dn_per_e):
        used = [point for point in found.points if point.used and point.color == color]
        mean, variance = (np.array([getattr(p, key) for p in used]) for key in ("mean_dn", "variance_dn2"))
        assert len(used) >= 8 and mean.max() > 8 * mean.min()
        assert np.corrcoef(mean, variance)[0, 1] > 0.99
        assert 0.08 < gain.value < 0.15 and gain.se > 0.1 * gain.value
    assert any("below the step" in point.reason for point in found.points)
