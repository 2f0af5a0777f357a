"""Exchange with other programs loses nothing that both can say."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest
from rawdiff_calibration.exchange import (
    ExchangeError,
    from_darktable,
    from_noise_profiles,
    to_darktable,
    to_noise_profile,
)
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.profile import IsoFigures, ProfileCamera, ProfileLevels, SensorProfile
from rawdiff_calibration.profile_json import profile_from_json, profile_to_json
from rawdiff_calibration.published_table import from_table

RANGE = (15871.0, 15871.0, 15871.0)


@pytest.fixture
def profile():
    entries = tuple(
        IsoFigures(
            iso,
            Measured(0.004 * iso, 1e-4),
            Measured(1 + 0.003 * iso, 0.01),
            gain_rgb_dn_per_e=tuple(Measured(0.004 * iso * f, 1e-4) for f in (0.99, 1.0, 1.02)),
        )
        for iso in (100.0, 400.0, 1600.0)
    )
    return SensorProfile.assemble(ProfileCamera("Acme", "One"), ProfileLevels(None, None), entries)


def test_noise_profile_tag_round_trip(profile):
    tags = {}
    for iso in (100.0, 400.0, 1600.0):
        flat = to_noise_profile(profile, iso, RANGE)
        tags[iso] = [flat[0:2], flat[2:4], flat[4:6]]
    again = from_noise_profiles(tags, profile.camera, RANGE)
    for iso in tags:
        here, there = profile.noise_model(iso), again.noise_model(iso)
        assert there.gain_dn_per_e == pytest.approx(here.gain_dn_per_e)
        assert there.read_noise_dn == pytest.approx(here.read_noise_dn)
    assert math.isnan(again.iso[0].gain_dn_per_e.se)


def test_noise_profile_predicts_the_variance_of_scaled_data(profile):
    slope, floor = to_noise_profile(profile, 400.0, RANGE)[2:4]
    model = profile.noise_model(400.0)
    signal = 2000.0
    assert slope * signal / RANGE[1] + floor == pytest.approx(
        float(model.variance_dn2(signal, 1)) / RANGE[1] ** 2
    )


def test_darktable_round_trip(profile):
    text = to_darktable(profile, RANGE)
    again = from_darktable(text, "ACME", "one", RANGE)
    for iso in (100.0, 1600.0):
        assert again.noise_model(iso).gain_dn_per_e == pytest.approx(profile.noise_model(iso).gain_dn_per_e)
        assert again.noise_model(iso).read_noise_dn == pytest.approx(profile.noise_model(iso).read_noise_dn)


def test_written_file_has_darktables_fields(profile):
    record = json.loads(to_darktable(profile, RANGE))
    entry = record["noiseprofiles"][0]["models"][0]["profiles"][0]
    assert set(entry) == {"name", "iso", "a", "b"} and len(entry["a"]) == len(entry["b"]) == 3


def test_negative_floor_is_read_as_none():
    entry = {"name": "x", "iso": 100, "a": [1e-5, 1e-5, 1e-5], "b": [-1e-8, -1e-8, -1e-8]}
    text = json.dumps({"noiseprofiles": [{"maker": "A", "models": [{"model": "B", "profiles": [entry]}]}]})
    assert from_darktable(text, "A", "B", RANGE).noise_model(100.0).read_noise_dn == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not darktable"),
        ("[]", "not darktable"),
        ('{"noiseprofiles": []}', "not in this"),
        (
            '{"noiseprofiles": [{"maker": "Acme", "models": [{"model": "One", '
            '"profiles": [{"iso": 100, "a": [0, 1, 1], "b": [0, 0, 0]}]}]}]}',
            "slopes above 0",
        ),
    ],
)
def test_foreign_files_are_refused(text, message):
    with pytest.raises(ExchangeError, match=message):
        from_darktable(text, "Acme", "One", RANGE)


def test_impossible_tags_are_refused():
    with pytest.raises(ExchangeError, match="ISO 100"):
        from_noise_profiles({100.0: [(0.0, 0.0)]}, ProfileCamera("A", "B"), RANGE)
    with pytest.raises(ExchangeError, match="nothing to import"):
        from_noise_profiles({}, ProfileCamera("A", "B"), RANGE)


@pytest.mark.parametrize(
    ("make", "model"), [("ACME CORPORATION", "ACME One"), ("Acme", "one"), ("acme", "Acme One")]
)
def test_a_camera_is_found_as_its_files_name_it(profile, make, model):
    assert from_darktable(to_darktable(profile, RANGE), make, model, RANGE).camera.model == model


def test_a_near_miss_is_suggested(profile):
    with pytest.raises(ExchangeError, match="it has Acme One"):
        from_darktable(to_darktable(profile, RANGE), "Acme", "On3", RANGE)


TABLE = """# make: Sony
# model: ILCE-7SM2
# source: a paper
# white_dn: 16383
iso, K, gauss_std_dn, tukey_lambda, tukey_scale_dn, row_std_dn, K_se
100, 0.0956, 1.007, 0.149, 0.702, 0.139, 0.001
1600, 1.530, 6.299, -0.044, 3.228, 0.989,
3200, 3.060, 3.919, -0.035, 2.042, 0.445,
"""


def test_a_published_table_is_read():
    profile = from_table(TABLE)
    assert (profile.camera.make, profile.provenance["citation"]) == ("Sony", "a paper")
    assert profile.levels.white_dn.value == 16383
    model = profile.noise_model(1600.0)
    assert model.gain_dn_per_e[1] == 1.530 and model.row_noise_dn == 0.989
    assert model.tukey_lambda == -0.044 and model.tukey_scale_dn == 3.228
    assert profile.iso[0].gain_dn_per_e.se == 0.001 and math.isnan(profile.iso[1].gain_dn_per_e.se)
    assert from_table(TABLE, "Other", "Body").camera.model == "Body"
    assert profile_from_json(profile_to_json(profile)) == replace(profile, iso=ANY)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("row_std_dn", "raw_std_dn", "column 'raw_std_dn' is not known"),
        ("iso, K,", "iso, dark_current,", "no column gain_dn_per_e"),
        ("0.0956", "0,0956", "line 1 of the table: there are more cells than names"),
        ("0.0956", "-1", "cannot be"),
        ("1.530", "", "line 2 of the table: gain_dn_per_e is missing"),
        ("100,", "x,", "'x' is not a number"),
        ("3200", "1600", "each ISO appears once"),
        ("# model: ILCE-7SM2\n", "", "names no camera"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused(old, new, message):
    with pytest.raises(ExchangeError, match=message):
        from_table(TABLE.replace(old, new, 1))
    with pytest.raises(ExchangeError, match="no lines"):
        from_table("# make: Sony\n")


def test_installed_darktable_table_is_read():
    table = Path("/usr/share/darktable/noiseprofiles.json")
    if not table.is_file():
        pytest.skip("darktable is not installed")
    profile = from_darktable(table.read_text(), "Nikon", "D850", RANGE)
    # Gain is proportional to ISO on any camera; darktable's own fits scatter by a few percent about that.
    assert profile.laws["gain_dn_per_e"].segments[0].slope.value == pytest.approx(1.0, abs=0.1)
