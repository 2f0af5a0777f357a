"""The simulated sensor against the closed form of its moments."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from rawdiff_calibration.noise import NoiseModel

from rawdiff.simulate.cameras import NAMES, find
from rawdiff.simulate.capture import PackedNoise, capture, capture_packed, site_map, standard_tukey

BLACK, WHITE = 512.0, 16383.0


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _model(**fields: object) -> NoiseModel:
    return NoiseModel((3.0, 4.0, 5.0), (4.0, 5.0, 6.0), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("ratio", [1.0, 100.0])
@pytest.mark.parametrize("shape", [None, -0.1, 0.14])
def test_mean_and_variance_follow_the_noise_model(ratio: float, shape: float | None) -> None:
    model = _model(tukey_lambda=shape, tukey_scale_dn=None if shape is None else 1.0)
    light = 0.4
    stored = capture(torch.full((600, 600), light), model, BLACK, WHITE, ratio, _seeded())
    n = 600 * 600 / 4
    for color, site in ((0, (0, 0)), (1, (0, 1)), (1, (1, 0)), (2, (1, 1))):
        values = stored[site[0] :: 2, site[1] :: 2].double() - BLACK
        signal = light * (WHITE - BLACK) / ratio
        variance = float(model.variance_dn2(torch.tensor(signal).numpy(), color))
        # Mean: 4.5 standard errors. Variance: relative error sqrt((kurtosis - 1)/n) with kurtosis below 6.
        assert abs(float(values.mean()) - signal) < 4.5 * math.sqrt(variance / n)
        assert float(values.var()) == pytest.approx(variance, rel=4.5 * math.sqrt(5 / n))


def test_row_offsets_are_shared_by_the_whole_mosaic_row() -> None:
    model = replace(NoiseModel.uniform(1.0, 1e-6), row_noise_dn=7.0, quantisation_dn=0.0)
    stored = capture(torch.zeros(4000, 8), model, BLACK, WHITE, 1.0, _seeded())
    assert float(stored.std(dim=1).max()) < 1e-3  # float32 at 512 DN
    # The spread of a standard deviation from n values is s/sqrt(2n).
    assert float(stored[:, 0].std()) == pytest.approx(7.0, abs=4.5 * 7 / math.sqrt(8000))


def test_column_offsets_and_colour_bias_reach_their_sites() -> None:
    model = replace(
        NoiseModel.uniform(1.0, 1e-6), column_noise_dn=3.0, bias_dn=(1.0, 2.0, 3.0, 4.0), quantisation_dn=0.0
    )
    stored = capture(torch.zeros(8, 4000), model, BLACK, WHITE, 1.0, _seeded(), phase="GBRG")
    flat = stored - site_map(model.bias_dn, stored, "GBRG")
    assert float(flat.std(dim=0).max()) < 1e-3
    assert float(flat[0].std()) == pytest.approx(3.0, abs=4.5 * 3 / math.sqrt(8000))


def test_stored_values_are_multiples_of_the_step_and_saturate_at_white() -> None:
    model = replace(_model(), quantisation_dn=4.0)
    stored = capture(torch.rand(64, 64, generator=_seeded()) * 1.5, model, 512.0, 16380.0, 1.0, _seeded(1))
    assert torch.equal(stored, torch.round(stored / 4) * 4)
    assert float(stored.max()) == 16380.0


def test_nothing_is_clipped_at_black() -> None:
    stored = capture(torch.zeros(64, 64), _model(), BLACK, WHITE, 1.0, _seeded())
    below = float((stored < BLACK).float().mean())
    # Rounded symmetric noise of 5 DN: just under half lies strictly below black.
    assert 0.4 < below < 0.5


def test_the_same_seed_gives_the_same_frame() -> None:
    light = torch.rand(32, 32, generator=_seeded())
    first, second = (capture(light, _model(), BLACK, WHITE, 50.0, _seeded(3)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(("ratio", "white"), [(0.0, WHITE), (-1.0, WHITE), (1.0, BLACK)])
def test_meaningless_exposures_are_refused(ratio: float, white: float) -> None:
    with pytest.raises(ValueError, match="cannot be meant"):
        capture(torch.zeros(4, 4), _model(), BLACK, white, ratio, _seeded())


@pytest.mark.parametrize("shape", [-0.15, 0.0, 0.135, 0.2])
def test_standard_tukey_has_unit_variance(shape: float) -> None:
    n = 400_000
    noise = standard_tukey(torch.tensor(shape), (n,), _seeded()).double()
    assert bool(torch.isfinite(noise).all())
    assert abs(float(noise.mean())) < 4.5 / math.sqrt(n)
    # Kurtosis of the heaviest law drawn here (-0.15) is below 30.
    assert float(noise.var()) == pytest.approx(1.0, abs=4.5 * math.sqrt(29 / n))


def _packed_noise(batch: int) -> PackedNoise:
    return PackedNoise(
        range_dn=torch.full((batch,), WHITE - BLACK),
        gain_dn_per_e=torch.tensor([3.0, 4.0, 4.0, 5.0]).expand(batch, 4),
        read_noise_dn=torch.tensor([4.0, 5.0, 5.0, 6.0]).expand(batch, 4),
        tukey_lambda=torch.full((batch,), 0.1),
        row_noise_dn=torch.full((batch,), 2.0),
        quantisation_dn=torch.ones(batch),
    )


@pytest.mark.parametrize("frames", [1.0, 9.0])
def test_packed_frames_have_the_moments_they_announce(frames: float) -> None:
    noise = _packed_noise(1)
    clean = torch.full((1, 4, 500, 500), 0.01)
    noisy = capture_packed(clean, noise, torch.full((1, 1, 1, 1), frames), _seeded())
    variance = (noise.gain() * 0.01 + noise.sigma() ** 2)[0] / frames
    found = noisy[0].double().var(dim=(1, 2))
    # 250000 pixels, but rows share an offset: their 500 draws carry 4 of about 200 DN^2.
    for plane in range(4):
        assert float(found[plane]) == pytest.approx(float(variance[plane]), rel=0.02)


def test_packed_rows_are_shared_by_r_and_gr_and_by_gb_and_b() -> None:
    noise = replace(_packed_noise(1), read_noise_dn=torch.full((1, 4), 1e-6))
    dark = torch.zeros(1, 4, 400, 16)
    rows = capture_packed(dark, noise, torch.ones(1, 1, 1, 1), _seeded())[0].mean(dim=2)
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[2], rows[3])
    assert abs(float(torch.corrcoef(rows[[0, 2]])[0, 1])) < 4.5 / math.sqrt(400)


def test_every_camera_has_noise_and_a_neutral_that_fills_one_channel() -> None:
    for name in NAMES:
        camera = find(name)
        model = camera.noise_model(1600)
        assert model.gain_dn_per_e[0] > 0
        neutral = camera.from_srgb().sum(dim=1)
        assert float(neutral.max()) == pytest.approx(1.0)
        assert int(neutral.argmax()) == 1
        assert float(neutral.min()) > 0.25
