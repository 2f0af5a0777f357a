"""Built-in profiles: found by the names that files carry, true to the published figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rawdiff_calibration.published import builtin_names, find_builtin, load_builtin


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("SONY", "ILCE-7SM2", "SonyA7S2"),
        ("NIKON CORPORATION", "NIKON D850", "NikonD850"),
        ("Canon", "Canon EOS 5D Mark IV", "CanonEOS5D4"),
        ("Canon", "Canon EOS 70D", "CanonEOS70D"),
        ("Canon", "Canon EOS 700D", "CanonEOS700D"),
        ("Canon", "Canon EOS REBEL T5i", "CanonEOS700D"),
        ("", "Sony ILCE-7SM2", "SonyA7S2"),
        *(
            ("", name, name)
            for name in ("SonyA7S2", "NikonD850", "CanonEOS5D4", "CanonEOS70D", "CanonEOS700D")
        ),
    ],
)
def test_names_that_files_carry(make, model, name):
    found = find_builtin(make, model)
    assert found is not None and found.camera.names[0] == name


@pytest.mark.parametrize(
    ("make", "model"),
    [("Canon", "Canon EOS 5D"), ("SONY", "ILCE-7S"), ("Nikon", "EOS 70D"), ("", ""), ("Canon", "")],
)
def test_other_cameras_have_no_profile(make, model):
    assert find_builtin(make, model) is None


def test_plain_name_that_does_not_exist_lists_those_that_do():
    with pytest.raises(KeyError, match="SonyA7S2"):
        load_builtin("Nobody")


def test_every_profile_cites_its_source():
    assert all(load_builtin(name).provenance["source"] for name in builtin_names())


def test_laws_are_the_published_ones(shared_data):
    published = json.loads((shared_data / "calibration" / "camera_noise.json").read_text())["cameras"]
    for name in set(builtin_names()) - {"SonyA7S2"}:
        figures, profile = published[name], load_builtin(name)
        for iso in (100.0, 250.0, 6400.0, 12800.0):
            gain = figures["K_min"] * iso / 100
            model = profile.noise_model(iso)
            assert model.gain_dn_per_e[0] == pytest.approx(gain, rel=1e-5)
            for law, value in (
                ("gauss_std", model.read_noise_dn[0]),
                ("tukey_scale", model.tukey_scale_dn),
                ("row_std", model.row_noise_dn),
            ):
                line = figures["profiles"][0][law]
                assert value == pytest.approx(np.exp(line["slope"] * np.log(gain) + line["bias"]), rel=1e-4)


def test_error_of_a_published_law_is_its_spread():
    figure = load_builtin("CanonEOS5D4").at(25600.0).read_noise_dn
    assert figure.se / figure.value == pytest.approx(0.246411, rel=1e-3)


def test_sony_table_and_its_gain_step(shared_data):
    table = json.loads((shared_data / "calibration" / "camera_noise.json").read_text())["sony_a7s2_per_iso"]
    profile = load_builtin("SonyA7S2")
    for row in table:
        model = profile.noise_model(float(row["iso"]))
        assert model.read_noise_dn[0] == pytest.approx(row["gauss_std_dn"])
        assert model.tukey_lambda == pytest.approx(row["tukey_lambda"])
    assert [(step.iso_below, step.iso_above) for step in profile.steps] == [(1600.0, 2000.0)]
    assert profile.noise_model(2000.0).read_noise_dn[0] < 0.5 * profile.noise_model(1600.0).read_noise_dn[0]
    assert profile.noise_model(2000.0).row_noise_dn < 0.5 * profile.noise_model(1600.0).row_noise_dn
