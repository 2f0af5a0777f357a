"""The order in which noise models are found, and that it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.profile import IsoFigures, ProfileCamera, ProfileLevels, SensorProfile
from rawdiff_calibration.profile_json import profile_to_json

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.noise_model import choose_noise_model, hash_serial, profile_folder
from rawdiff.raw.frame import Camera, Exposure, FrameTags, Levels, LinearFrame, RawFrame, Source

_SOURCE = Source(Path("night.dng"), "0" * 64, "CFA DNG")
_TAG = ((2e-4, 3e-7),)


def _frame(make="Acme", model="One", iso=400.0, serial=None, noise_profile=(), white=16383.0):
    rng = np.random.default_rng(0)
    light = np.linspace(0, 300, 512)[None, :] * np.ones((512, 1))
    mosaic = np.round(512 + 0.5 * rng.poisson(light / 0.5) + rng.normal(0, 3, light.shape)).astype(np.float32)
    levels = Levels(np.full((2, 2), 512.0), np.full((2, 2), white))
    tags = FrameTags(Camera(make, model, serial=serial), Exposure(iso=iso), noise_profile=noise_profile)
    return RawFrame(mosaic, "RGGB", levels, tags, _SOURCE)


def _write(folder, name, model="One", gain=0.7, serial=None, isos=(100.0, 400.0)):
    entries = tuple(
        IsoFigures(iso, Measured(gain * iso / 400, 0.01), Measured(2.0 * iso / 400, 0.02)) for iso in isos
    )
    camera = ProfileCamera("Acme", model, serial_sha256=serial and hash_serial(serial))
    levels = ProfileLevels(None, Measured(16383.0, 0.0))
    path = folder / name
    path.write_text(profile_to_json(SensorProfile.assemble(camera, levels, entries)))
    return path


def test_given_profile_comes_first(tmp_path):
    path = _write(tmp_path, "given.json", gain=0.9)
    (tmp_path / "folder").mkdir()
    _write(tmp_path / "folder", "own.json", gain=0.7)
    chosen = choose_noise_model(_frame(noise_profile=_TAG), path, tmp_path / "folder")
    assert chosen.model.gain_dn_per_e[0] == pytest.approx(0.9)
    assert "given.json" in chosen.origin and "measured" in chosen.origin


def test_users_folder_comes_before_tag_and_says_so(tmp_path):
    _write(tmp_path, "a.json", gain=0.7)
    _write(tmp_path, "b.json", model="Two", gain=0.1)
    chosen = choose_noise_model(_frame(noise_profile=_TAG), None, tmp_path)
    assert chosen.model.gain_dn_per_e[0] == pytest.approx(0.7)
    assert "a.json" in chosen.origin


def test_profile_of_the_same_body_is_preferred(tmp_path):
    _write(tmp_path, "a.json", gain=0.7)
    _write(tmp_path, "b.json", gain=0.72, serial="12345")
    assert "b.json" in choose_noise_model(_frame(serial="12345"), None, tmp_path).origin
    assert "a.json" in choose_noise_model(_frame(serial="999"), None, tmp_path).origin


def test_builtin_comes_before_tag_without_its_colour_bias(tmp_path):
    chosen = choose_noise_model(_frame("SONY", "ILCE-7SM2", 1600.0, noise_profile=_TAG), None, tmp_path)
    assert chosen.model.gain_dn_per_e[0] == pytest.approx(1.53)
    assert "built-in" in chosen.origin and chosen.model.bias_dn == (0.0, 0.0, 0.0, 0.0)


def test_twelve_bit_file_of_a_builtin_camera_is_scaled(tmp_path):
    chosen = choose_noise_model(_frame("SONY", "ILCE-7SM2", 1600.0, white=4095.0), None, tmp_path)
    assert chosen.model.gain_dn_per_e[0] == pytest.approx(1.53 / 4)


def test_tag_comes_before_blind(tmp_path):
    chosen = choose_noise_model(_frame(noise_profile=_TAG), None, tmp_path / "absent")
    assert chosen.model.gain_dn_per_e[0] == pytest.approx(2e-4 * (16383 - 512))
    assert chosen.origin == "the file's NoiseProfile"
    assert len(chosen.considered) == 3 and any("there are none" in why for _, why in chosen.considered)


def test_blind_estimate_is_the_last_resort(tmp_path):
    chosen = choose_noise_model(_frame(), None, tmp_path)
    assert "blind estimate" in chosen.origin and "confidence" in chosen.origin
    assert chosen.model.gain_dn_per_e[0] == pytest.approx(0.5, rel=0.1)
    assert chosen.considered[-1] == ("the file's NoiseProfile tag", "the file has none")


def test_impossible_tag_is_passed_over_with_the_reason(tmp_path):
    chosen = choose_noise_model(_frame(noise_profile=((0.0, 0.0),)), None, tmp_path)
    assert "blind" in chosen.origin and "S > 0" in chosen.considered[-1][1]


def test_broken_profile_in_the_folder_is_named_and_passed_over(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    chosen = choose_noise_model(_frame(), None, tmp_path)
    assert any("broken.json" in name and "not JSON" in why for name, why in chosen.considered)


def test_broken_given_profile_ends_the_run(tmp_path):
    (tmp_path / "broken.json").write_text('{"schema": 2}')
    with pytest.raises(ConfigurationError, match="schema 2"):
        choose_noise_model(_frame(), tmp_path / "broken.json", tmp_path)


def test_interpolated_and_extrapolated_settings_are_told(tmp_path):
    _write(tmp_path, "a.json")
    assert "interpolated" in choose_noise_model(_frame(iso=200.0), None, tmp_path).origin
    assert "extrapolated from ISO 100-400" in choose_noise_model(_frame(iso=6400.0), None, tmp_path).origin


def test_file_without_iso_takes_a_profile_of_one_setting_only(tmp_path):
    path = _write(tmp_path, "a.json")
    with pytest.raises(ConfigurationError, match="no ISO"):
        choose_noise_model(_frame(iso=None), path, tmp_path)
    single = _write(tmp_path, "single.json", isos=(400.0,))
    assert choose_noise_model(_frame(iso=None), single, tmp_path).model.gain_dn_per_e[0] == pytest.approx(0.7)


def test_demosaiced_raw_takes_the_tag_or_a_blind_estimate():
    rng = np.random.default_rng(1)
    rgb = (500 + rng.normal(0, 4, (3, 256, 256))).astype(np.float32)
    frame = LinearFrame(rgb, np.zeros(3), np.full(3, 4095.0), FrameTags(noise_profile=_TAG * 3), _SOURCE)
    assert choose_noise_model(frame, None).origin == "the file's NoiseProfile"
    bare = LinearFrame(rgb, np.zeros(3), np.full(3, 4095.0), FrameTags(), _SOURCE)
    assert "blind" in choose_noise_model(bare, None).origin
    with pytest.raises(ConfigurationError, match="demosaiced"):
        choose_noise_model(bare, Path("p.json"))


def test_profile_folder_follows_xdg(monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert profile_folder() == Path("/somewhere/rawdiff/profiles")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert profile_folder().parts[-3:] == (".config", "rawdiff", "profiles")
