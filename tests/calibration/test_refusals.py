"""Every refusal, with frames that deserve it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from rawdiff_calibration.chart import from_chart_frame
from rawdiff_calibration.dark import DarkAccumulator
from rawdiff_calibration.dark_solve import solve_darks
from rawdiff_calibration.errors import (
    CalibrationError,
    ClippedFramesError,
    FitError,
    LitFramesError,
    MixedFramesError,
    ProcessedFramesError,
    TooFewFramesError,
    UnevenFramesError,
)
from rawdiff_calibration.flat import FlatAccumulator
from rawdiff_calibration.mosaic import Mosaic, plane_slices
from rawdiff_calibration.photon_transfer import PhotonTransfer
from rawdiff_calibration.sensor import SimulatedSensor
from scipy.ndimage import gaussian_filter

SHAPE = (256, 384)
SENSOR = SimulatedSensor(SHAPE, seed=1)


def flat(level_e: float, seed: int, sensor: SimulatedSensor = SENSOR) -> Mosaic:
    return sensor.flat(level_e=level_e, iso=100, seed=seed)


def dark(seed: int, time_s: float = 1e-3, iso: float = 100) -> Mosaic:
    return SENSOR.dark(time_s, iso=iso, seed=seed)


def smoothed(frame: Mosaic) -> Mosaic:
    """Noise reduction as cameras do it: each colour by itself."""
    result = frame.copy()
    for place in plane_slices("RGGB"):
        result[place] = np.rint(gaussian_filter(frame[place], 0.6))
    return result


def compressed(frame: Mosaic, quality: int) -> Mosaic:
    """The planes of a frame through JPEG, 64 DN a step."""
    result = frame.copy()
    for place in plane_slices("RGGB"):
        packed = io.BytesIO()
        steps = np.clip(frame[place] / 64, 0, 255).astype(np.uint8)
        Image.fromarray(steps).save(packed, "JPEG", quality=quality)
        result[place] = np.asarray(Image.open(packed), np.float32) * 64
    return result


def curve() -> PhotonTransfer:
    return PhotonTransfer("RGGB", 512.0, 16383.0)


def flats() -> FlatAccumulator:
    return FlatAccumulator(SHAPE, "RGGB", 512.0, 16383.0)


def test_frames_of_two_sizes() -> None:
    darks = DarkAccumulator(SHAPE, "RGGB")
    darks.add(dark(0), 1e-3)
    with pytest.raises(MixedFramesError, match=r"dark 2: the frame is 128x384, the others are 256x384"):
        darks.add(dark(1)[:128], 1e-3)
    with pytest.raises(MixedFramesError, match="crop"):
        curve().add_pair(flat(1000, 0), flat(1000, 1)[:, :256])
    with pytest.raises(MixedFramesError):
        flats().add(flat(1000, 0)[:128])


def test_frames_that_are_not_numbers() -> None:
    broken = dark(0)
    broken[3, 4] = np.nan
    with pytest.raises(MixedFramesError, match="not finite"):
        DarkAccumulator(SHAPE, "RGGB").add(broken, 1e-3)


def test_clipped_flats() -> None:
    found = curve()
    found.add_dark_pair(dark(0, iso=400), dark(1, iso=400))
    found.add_pair(*(SENSOR.flat(level_e=60000, iso=400, seed=k) for k in (2, 3)))
    with pytest.raises(ClippedFramesError, match=r"every flat is clipped .* at the white level"):
        found.solve()


def test_flats_beyond_the_full_well() -> None:
    """At ISO 100 the pixels are full before the white level is reached: nothing is clipped there."""
    found = curve()
    found.add_dark_pair(dark(0), dark(1))
    found.add_pair(flat(2e5, 2), flat(2e5, 3))
    with pytest.raises(CalibrationError, match="saturat"):
        found.solve()


def test_flats_at_the_white_level() -> None:
    bright = SENSOR.flat(level_e=60000, iso=400, seed=0)
    with pytest.raises(ClippedFramesError, match=r"100.0% of the pixels are at the white level"):
        flats().add(bright)


def test_darks_cut_off_at_zero() -> None:
    with pytest.raises(ClippedFramesError, match="cut off the noise"):
        DarkAccumulator(SHAPE, "RGGB").add(np.maximum(dark(0) - 512, 0), 1e-3)


def test_flat_without_light() -> None:
    with pytest.raises(ClippedFramesError, match="no light"):
        flats().add(dark(0))


def test_light_leak_that_all_darks_saw() -> None:
    darks = DarkAccumulator(SHAPE, "RGGB", black_dn=512.0)
    for seed in range(4):
        darks.add(flat(200, seed), 1e-3)
    with pytest.raises(LitFramesError, match="DN above the stated black level of 512"):
        solve_darks(darks)


def test_light_leak_from_one_side() -> None:
    darks = DarkAccumulator(SHAPE, "RGGB")
    leak = np.linspace(0, 40, SHAPE[1], dtype=np.float32)[None, :] * np.ones((SHAPE[0], 1), np.float32)
    for seed in range(4):
        darks.add(SENSOR.expose(leak, 1e-3, iso=100, seed=seed), 1e-3)
    with pytest.raises(LitFramesError, match=r"rises by \d+\.\d DN across the darks of 0.001 s"):
        solve_darks(darks)


def test_one_dark_that_saw_light() -> None:
    darks = DarkAccumulator(SHAPE, "RGGB")
    for seed in range(6):
        darks.add(flat(60, seed) if seed == 3 else dark(seed), 1e-3, f"frame {seed}")
    with pytest.raises(LitFramesError, match="frame 3: its level is"):
        solve_darks(darks)


def test_flat_pair_lit_differently() -> None:
    with pytest.raises(LitFramesError, match=r"second flat of the pair is 20.\d% brighter"):
        curve().add_pair(flat(5000, 0), flat(6000, 1))


def test_flat_with_a_shadow() -> None:
    shadow = np.full(SHAPE, 20000, np.float32)
    shadow[:, :128] *= 0.8
    found = flats()
    found.add(flat(20000, 0))
    with pytest.raises(LitFramesError, match="flat 2: its light lies differently over the field"):
        found.add(SENSOR.expose(shadow, 0.1, iso=100, seed=1))


def test_noise_reduction_in_flats_and_darks() -> None:
    with pytest.raises(ProcessedFramesError, match=r"correlates by .* smoothed"):
        curve().add_pair(smoothed(flat(5000, 0)), smoothed(flat(5000, 1)))
    darks = DarkAccumulator(SHAPE, "RGGB")
    for seed in range(4):
        darks.add(smoothed(SENSOR.dark(1e-3, iso=3200, seed=seed)), 1e-3)
    with pytest.raises(ProcessedFramesError, match="smoothed"):
        solve_darks(darks)


@pytest.mark.parametrize("quality", [75, 90, 95])
def test_frames_that_went_through_jpeg(quality: int) -> None:
    with pytest.raises(ProcessedFramesError, match="compressed"):
        curve().add_pair(compressed(flat(5000, 0), quality), compressed(flat(5000, 1), quality))


def test_interference_in_the_read_out_is_the_sensors_own_and_noted() -> None:
    darks = DarkAccumulator(SHAPE, "RGGB")
    time = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    for seed in range(6):
        wave = 1.5 * np.sin(2 * np.pi * 0.2371 * time + seed)
        darks.add(np.rint(dark(seed) + wave).astype(np.float32), 1e-3)
    assert any("interference" in note for note in solve_darks(darks).notes)


def test_raw_frames_are_not_taken_for_processed_ones() -> None:
    found = curve()
    for number, level in enumerate((300.0, 3000.0, 20000.0)):
        found.add_pair(flat(level, 2 * number), flat(level, 2 * number + 1))
    assert found.solve().gain_dn_per_e


def test_too_few_frames() -> None:
    darks = DarkAccumulator(SHAPE, "RGGB")
    darks.add(dark(0), 1e-3)
    darks.add(dark(1, 5.0), 5.0)
    with pytest.raises(TooFewFramesError, match="no two of the 2 darks share an exposure time"):
        solve_darks(darks)
    with pytest.raises(TooFewFramesError, match="2 frames"):
        flats().solve()
    lone = curve()
    lone.add_dark_pair(dark(0), dark(1))
    with pytest.raises(TooFewFramesError, match="photon transfer needs two levels"):
        lone.solve()
    with pytest.raises(TooFewFramesError, match="even levels"):
        from_chart_frame(flat(5000, 0), "RGGB", 512.0, 16383.0)


def test_flats_that_are_not_flat() -> None:
    slope = np.linspace(0.6, 1.0, SHAPE[1], dtype=np.float32)[None, :] * np.full(
        (SHAPE[0], 1), 20000, np.float32
    )
    found = flats()
    for seed in (0, 1):
        found.add(SENSOR.expose(slope, 0.1, iso=100, seed=seed))
    with pytest.raises(UnevenFramesError, match=r"not flat: 4\d% gradient"):
        found.solve()
    rng = np.random.default_rng(0)
    wall = np.kron(rng.uniform(0.9, 1.0, (16, 24)), np.ones((16, 16))).astype(np.float32) * 20000
    found = flats()
    for seed in (0, 1):
        found.add(SENSOR.expose(wall, 0.1, iso=100, seed=seed))
    with pytest.raises(UnevenFramesError, match="texture"):
        found.solve()


def test_a_wrong_black_level_cannot_turn_the_curve_around_silently() -> None:
    found = curve()
    found.add_pair(flat(20000, 0), flat(20000, 1))
    found.add_dark_pair(flat(30000, 2), flat(30000, 3))
    found.add_dark_pair(flat(9000, 4), flat(9000, 5))
    assert found.solve().trust.startswith("one pair")
    falling = PhotonTransfer("RGGB", 512.0, None)
    noisy = SimulatedSensor(SHAPE, seed=2, read_e=(200.0, 200.0))
    falling.add_dark_pair(*(noisy.dark(1e-3, iso=100, seed=k) for k in (0, 1)))
    falling.add_pair(flat(3000, 0), flat(3000, 1))
    with pytest.raises(FitError, match="does not grow with light"):
        falling.solve()


def test_errors_say_what_where_and_what_to_do() -> None:
    error = CalibrationError("it is wrong", where="frame 7", hint="mend it")
    assert str(error) == "frame 7: it is wrong (mend it)"
    assert isinstance(error, ValueError)
