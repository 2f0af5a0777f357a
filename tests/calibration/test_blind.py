"""Blind estimation: within 10 % on textured scenes from half an electron to fifty per DN, or says so."""

from __future__ import annotations

import numpy as np
import pytest
from rawdiff_calibration.blind import estimate_noise, estimate_noise_burst, find_step

BLACK, WHITE = (512.0,) * 4, (16383.0,) * 4


def _leaves(seed, height=640, width=960, texture=0.1):
    """A dead-leaves scene (edges at every scale, every other leaf striped), packed `[4, h, w]` in 0..1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    scene = np.full((height, width, 3), 0.2, np.float32)
    for _ in range(2500):
        radius = min(6 / (rng.random() ** 0.5 + 0.02), 160)
        cy, cx = rng.random() * height, rng.random() * width
        top, left = max(int(cy - radius), 0), max(int(cx - radius), 0)
        place = np.s_[top : int(cy + radius) + 1, left : int(cx + radius) + 1]
        inside = (y[place] - cy) ** 2 + (x[place] - cx) ** 2 < radius**2
        wave = np.sin(x[place] * rng.random() * 0.8 + y[place] * rng.random() * 0.8)
        shade = 1 + texture * rng.integers(2) * wave + 0.1 * (x[place] - cx) / radius
        color = (rng.random() ** 2.5 * 0.9 + 0.003) * (0.6 + 0.8 * rng.random(3))
        scene[place][inside] = (color * shade[..., None])[inside]
    scene = np.clip(scene, 0, 1)
    scene = (scene[::2, ::2] + scene[1::2, ::2] + scene[::2, 1::2] + scene[1::2, 1::2]) / 4
    colors = (scene[::2, ::2, 0], scene[::2, 1::2, 1], scene[1::2, ::2, 1], scene[1::2, 1::2, 2])
    return np.stack(colors).astype(np.float64)


@pytest.fixture(scope="module")
def leaves():
    return np.tile(_leaves(1, 1280, 1600), (1, 2, 2))


def _photograph(scene, gain, read, peak_dn, seed=0):
    """The scene through a sensor: shot noise, read noise, rounding, clipping at white."""
    rng = np.random.default_rng(seed)
    light = gain * rng.poisson(scene * peak_dn / gain)
    return np.clip(np.round(light + read * rng.standard_normal(scene.shape) + BLACK[0]), 0, WHITE[0])


@pytest.mark.parametrize("peak_dn", [200.0, 2000.0, 25000.0])
@pytest.mark.parametrize(("gain", "read"), [(0.02, 1.0), (0.1, 1.0), (0.5, 2.0), (2.0, 4.0)])
def test_textured_scene_is_known_to_ten_percent(leaves, gain, read, peak_dn):
    found = estimate_noise(_photograph(leaves, gain, read, peak_dn), BLACK, WHITE)
    levels = np.quantile(np.minimum(leaves * peak_dn, WHITE[0] - BLACK[0]), (0.05, 0.5, 0.95))
    true = np.sqrt(gain * levels + read**2 + 1 / 12)
    seen = np.sqrt(found.model.variance_dn2(levels, 1))
    assert np.abs(seen / true - 1).max() < 0.1
    if gain * levels[2] > read**2:  # otherwise read noise hides the gain
        assert found.gain_dn_per_e.value == pytest.approx(gain, rel=0.1)
    if read**2 > gain * levels[0]:  # otherwise shot noise hides the read noise
        assert found.read_noise_dn.value == pytest.approx(read, rel=0.1)
    assert found.confidence > 0.3


@pytest.mark.parametrize("name", ["rocket", "retina"])
def test_photograph_in_the_dark_is_known_to_ten_percent(name):
    data = pytest.importorskip("skimage.data")
    picture = (getattr(data, name)() / 255.0) ** 2.2
    planes = (picture[::2, ::2, 0], picture[::2, 1::2, 1], picture[1::2, ::2, 1], picture[1::2, 1::2, 2])
    height, width = (min(plane.shape[axis] for plane in planes) for axis in (0, 1))
    scene = np.stack([plane[:height, :width] for plane in planes])
    found = estimate_noise(_photograph(scene, 2.0, 4.0, 200.0), BLACK, WHITE)
    assert found.gain_dn_per_e.value == pytest.approx(2.0, rel=0.1)
    assert found.read_noise_dn.value == pytest.approx(4.0, rel=0.1)


def test_standard_errors_cover_the_truth(leaves):
    # 20 photographs of a scene; 68 % should cover the truth at one standard error. Texture adds a little
    # that no error knows, so the bound asks for half of them at one and 85 % at three.
    small = leaves[:, :256, :256]
    found = [estimate_noise(_photograph(small, 1.0, 3.0, 400.0, seed), BLACK, WHITE) for seed in range(20)]
    assert sum(one.gain_dn_per_e.covers(1.0) for one in found) >= 10
    assert sum(one.gain_dn_per_e.covers(1.0, 3.0) for one in found) >= 17
    assert sum(one.read_noise_dn.covers(3.0, 3.0) for one in found) >= 17


def test_row_noise_is_not_taken_for_read_noise(leaves):
    rows = np.random.default_rng(5).normal(0, 2, (leaves.shape[1], 1))
    found = estimate_noise(_photograph(leaves, 0.5, 2.0, 500.0) + rows, BLACK, WHITE)
    assert found.read_noise_dn.value == pytest.approx(2.0, rel=0.1)


def test_heavy_tails_and_hot_pixels_do_not_mislead(leaves):
    rng = np.random.default_rng(2)
    frame = _photograph(leaves, 1.0, 4.0, 500.0)
    hot = rng.random(frame.shape) < 1e-3
    found = estimate_noise(np.where(hot, 8000.0, frame), BLACK, WHITE)
    assert found.gain_dn_per_e.value == pytest.approx(1.0, rel=0.1)
    assert found.read_noise_dn.value == pytest.approx(4.0, rel=0.1)


def test_frame_clipped_at_black_is_measured_above_it(leaves):
    frame = np.maximum(_photograph(leaves, 1.0, 4.0, 500.0), BLACK[0])
    found = estimate_noise(frame, BLACK, WHITE)
    assert found.gain_dn_per_e.value == pytest.approx(1.0, rel=0.1)
    assert any("clipped at black" in remark for remark in found.remarks)


def test_pure_texture_has_no_confidence():
    # A scene that is nothing but fine texture, far above the noise: nothing can be measured in it.
    rng = np.random.default_rng(0)
    scene = rng.random((4, 128, 128)) ** 2
    found = estimate_noise(_photograph(scene, 0.1, 1.0, 8000.0), BLACK, WHITE)
    assert found.confidence == 0.0 and found.gain_dn_per_e.value < 1


def test_dark_frame_gives_the_read_noise_and_no_confidence_in_the_gain():
    found = estimate_noise(_photograph(np.zeros((4, 256, 256)), 1.0, 3.0, 100.0), BLACK, WHITE)
    assert found.read_noise_dn.value == pytest.approx(3.0, rel=0.05)
    assert found.confidence < 0.5 and found.gain_dn_per_e.se > 0.3 * found.gain_dn_per_e.value


def test_frame_too_small_is_a_stated_guess():
    found = estimate_noise(np.full((4, 8, 8), 600.0), BLACK, WHITE)
    assert found.confidence == 0.0
    assert "is assumed" in found.model.origin


def test_burst_measures_where_one_frame_cannot():
    # The same fine texture as above: from differences of two frames it is gone.
    rng = np.random.default_rng(0)
    scene = rng.random((4, 256, 256)) ** 2
    frames = [_photograph(scene, 0.1, 1.0, 2000.0, seed) for seed in range(4)]
    found = estimate_noise_burst(frames, BLACK, WHITE)
    assert found.gain_dn_per_e.value == pytest.approx(0.1, rel=0.05)
    assert found.confidence > 0.5


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="planes"):
        estimate_noise(np.zeros((8, 8)), BLACK, WHITE)
    with pytest.raises(ValueError, match="two frames"):
        estimate_noise_burst([np.zeros((4, 8, 8))], BLACK, WHITE)


@pytest.mark.parametrize(("scale", "step"), [(1.0, 1.0), (4.0, 4.0), (0.3, 0.0)])
def test_step_of_the_stored_values_is_seen(scale, step):
    values = np.random.default_rng(0).integers(0, 900, (4, 32, 32)) * scale + 512.25
    assert find_step(values) == step


def test_values_stored_in_steps_of_four_lose_their_rounding(leaves):
    frame = np.round(_photograph(leaves, 1.0, 4.0, 500.0) / 4) * 4
    found = estimate_noise(frame, BLACK, WHITE)
    assert found.model.quantisation_dn == 4.0
    assert found.read_noise_dn.value == pytest.approx(4.0, rel=0.1)
