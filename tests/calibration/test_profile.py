"""The profile: what is measured comes back as measured, what lies between is honest, the file is checked."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.profile import IsoFigures, ProfileCamera, ProfileLevels, SensorProfile
from rawdiff_calibration.profile_json import ProfileProblem, load_profile, profile_from_json, profile_to_json


def _figure(value, relative=0.01):
    return Measured(value, abs(value) * relative)


def _entry(iso, read=None, **fields):
    read = 1.5 * (iso / 100) ** 0.7 if read is None else read
    return IsoFigures(iso, _figure(0.004 * iso), _figure(read), row_noise_dn=_figure(0.1 * read), **fields)


def _profile(isos=(100.0, 400.0, 1600.0, 6400.0), **fields):
    levels = ProfileLevels(tuple(Measured(512.0 + i, 0.01) for i in range(4)), Measured(16383.0, 0.0))
    camera = ProfileCamera("Acme", "One", ("AcmeOne",), serial_sha256="ab" * 32, firmware="1.2")
    return SensorProfile.assemble(camera, levels, tuple(_entry(iso) for iso in isos), **fields)


def test_measured_iso_comes_back_as_measured():
    model = _profile().noise_model(400.0)
    assert model.gain_dn_per_e == pytest.approx((1.6, 1.6, 1.6), rel=1e-12)
    assert model.read_noise_dn[0] == pytest.approx(1.5 * 4**0.7, rel=1e-12)


def test_interpolation_follows_the_law_and_bends_through_the_neighbours():
    assert _profile().noise_model(800.0).read_noise_dn[0] == pytest.approx(1.5 * 8**0.7, rel=1e-6)
    camera, levels = ProfileCamera("A", "B"), ProfileLevels(None, None)
    reads = {100.0: 1.5, 400.0: 1.5 * 4**0.7 * 1.2, 1600.0: 1.5 * 16**0.7, 6400.0: 1.5 * 64**0.7}
    bent = SensorProfile.assemble(camera, levels, tuple(_entry(iso, read) for iso, read in reads.items()))
    close = bent.noise_model(402.0).read_noise_dn[0]
    assert close == pytest.approx(reads[400.0], rel=0.01), "no jump beside a measured setting"


def test_there_is_no_jump_beyond_the_last_measured_setting():
    reads = {100.0: 1.5, 400.0: 1.5 * 4**0.7, 1600.0: 1.5 * 16**0.7, 6400.0: 1.5 * 64**0.7 * 1.3}
    entries = tuple(_entry(iso, read) for iso, read in reads.items())
    profile = SensorProfile.assemble(ProfileCamera("A", "B"), ProfileLevels(None, None), entries)
    for last, beyond in ((6400.0, 6450.0), (100.0, 99.0)):
        assert profile.noise_model(beyond).read_noise_dn[0] == pytest.approx(reads[last], rel=0.02)


def test_error_grows_between_and_beyond_the_measured_settings():
    rng = np.random.default_rng(3)
    entries = tuple(
        _entry(iso, 1.5 * (iso / 100) ** 0.7 * math.exp(0.1 * rng.standard_normal()))
        for iso in (100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0)
    )
    profile = SensorProfile.assemble(ProfileCamera("A", "B"), ProfileLevels(None, None), entries)
    relative = {iso: profile.at(iso).read_noise_dn for iso in (400.0, 404.0, 566.0, 25600.0)}
    spread = {iso: figure.se / figure.value for iso, figure in relative.items()}
    assert spread[400.0] < spread[404.0] < spread[566.0] < spread[25600.0]


def test_interpolation_error_covers_a_left_out_setting():
    # 200 cameras that scatter 10 % about a law; the setting at ISO 800 is left out and predicted. The
    # bridge's error is meant as one standard deviation: 68 % are covered, at least 58 % of 200 with a
    # chance over 99.8 % (binomial), and not more than 90 %, or the error says nothing.
    rng = np.random.default_rng(11)
    isos = np.array([100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0])
    covered = 0
    for _ in range(200):
        reads = 1.5 * (isos / 100) ** 0.7 * np.exp(0.1 * rng.standard_normal(len(isos)))
        entries = tuple(_entry(float(i), float(r)) for i, r in zip(isos, reads, strict=True) if i != 800.0)
        profile = SensorProfile.assemble(ProfileCamera("A", "B"), ProfileLevels(None, None), entries)
        covered += profile.at(800.0).read_noise_dn.covers(float(reads[3]))
    assert 116 <= covered <= 180, covered


def test_file_in_fewer_bits_scales_by_a_power_of_two():
    profile = _profile()
    full, twelve = profile.noise_model(400.0, 16383.0), profile.noise_model(400.0, 4095.0)
    assert twelve.gain_dn_per_e[0] == pytest.approx(full.gain_dn_per_e[0] / 4)
    assert twelve.read_noise_dn[0] == pytest.approx(full.read_noise_dn[0] / 4)
    assert profile.noise_model(400.0, 15000.0).gain_dn_per_e == full.gain_dn_per_e


def test_tail_needs_both_its_figures():
    entry = _entry(100.0, tukey_lambda=Measured(0.1, 0.01), tukey_scale_dn=Measured(0.9, 0.01))
    camera, levels = ProfileCamera("A", "B"), ProfileLevels(None, None)
    model = SensorProfile.assemble(camera, levels, (entry,)).noise_model(100.0)
    assert (model.tukey_lambda, model.tukey_scale_dn) == (0.1, 0.9)
    assert _profile().noise_model(100.0).tukey_lambda is None


def test_colours_apart_keep_their_ratio_at_other_settings():
    colors = (Measured(0.39, 0.001), Measured(0.4, 0.001), Measured(0.41, 0.001))
    entries = (_entry(100.0, gain_rgb_dn_per_e=colors), _entry(400.0))
    profile = SensorProfile.assemble(ProfileCamera("A", "B"), ProfileLevels(None, None), entries)
    gains = profile.noise_model(150.0).gain_dn_per_e
    assert gains[2] / gains[0] == pytest.approx(0.41 / 0.39)


def test_json_round_trip_is_exact(tmp_path):
    extra = {"full_well_e": Measured(51000.0, 400.0)}
    profile = SensorProfile.assemble(
        ProfileCamera("Acme", "One"),
        ProfileLevels(None, None),
        (_entry(100.0, other=extra), _entry(200.0, bias_dn=(Measured(0.1, math.nan),) * 4)),
        prnu={"total": _figure(0.006), "row": _figure(0.001)},
        provenance={"method": "photon transfer"},
    )
    path = tmp_path / "p.json"
    path.write_text(profile_to_json(profile))
    again = load_profile(path)
    assert profile_to_json(again) == path.read_text()
    assert again.noise_model(133.0) == profile.noise_model(133.0)
    assert again.iso[0].other["full_well_e"] == extra["full_well_e"]


def test_stored_form_is_the_documented_one():
    record = json.loads(profile_to_json(_profile(prnu={"total": _figure(0.006)})))
    assert record["schema"] == 1 and record["camera"]["make"] == "Acme"
    assert set(record["iso"][0]["gain_dn_per_e"]) == {"value", "se"}
    assert len(record["levels"]["black_dn"]) == 4 and record["prnu"]["value"] == 0.006


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: r.pop("schema"), "no schema number"),
        (lambda r: r.update(schema=7), "profile schema 7"),
        (lambda r: r.pop("camera"), "'camera' is missing"),
        (lambda r: r["iso"].clear(), "no measured ISO"),
        (lambda r: r["iso"].reverse(), "ascend"),
        (
            lambda r: r["iso"][1]["gain_dn_per_e"].update(value=-1.0),
            r"iso\[1\].gain_dn_per_e: -1.0 cannot be",
        ),
        (lambda r: r["iso"][0].update(read_noise_dn=3.0), r"iso\[0\].read_noise_dn: a figure is a"),
        (lambda r: r["levels"].update(black_dn=[1, 2]), "needs 4 figures"),
        (lambda r: r["laws"]["read_noise_dn"].update(form="cubic"), "log or linear"),
    ],
)
def test_spoilt_profile_is_refused_with_the_place(spoil, message):
    record = json.loads(profile_to_json(_profile()))
    spoil(record)
    with pytest.raises(ProfileProblem, match=message):
        profile_from_json(json.dumps(record))


def test_unreadable_file_is_one_clear_error(tmp_path):
    with pytest.raises(ProfileProblem, match="cannot read"):
        load_profile(tmp_path / "absent.json")
    (tmp_path / "half.json").write_text('{"schema": 1,')
    with pytest.raises(ProfileProblem, match="not JSON"):
        load_profile(tmp_path / "half.json")
