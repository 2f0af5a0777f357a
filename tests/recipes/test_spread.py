"""The model of a denoiser's errors: fits what is known, says what it says in the right units."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rawdiff.errors import ConfigurationError, DamagedFileError
from rawdiff.networks.weights import identity
from rawdiff.recipes import mmse
from rawdiff.recipes.catalog import RECIPES
from rawdiff.recipes.spread import COVERAGES, FEATURES, SpreadModel, load_spread, look, measurement_variance
from rawdiff.train.spread import Errors, fit_spread

GAIN, SIGMA = torch.full((4,), 1e-3), torch.full((4,), 2e-3)


def _errors(count: int, seed: int) -> tuple[Errors, torch.Tensor]:
    """Laplace errors whose log variance is 0.6 texture - 0.3 level + 0.2 texture^2 - 2."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(FEATURES), count, generator=generator)
    log_variance = 0.6 * features[1] - 0.3 * features[3] + 0.2 * features[1].square() - 2.0
    uniform = torch.rand(count, generator=generator) - 0.5
    laplace = -uniform.sign() * torch.log1p(-2 * uniform.abs()) / 2**0.5
    return Errors(features, laplace * torch.exp(0.5 * log_variance), torch.ones(count)), log_variance


def test_variance_and_widths_of_a_known_law_are_found() -> None:
    """60,000 errors: the log variance within 0.1, coverage within a point (0.2 % is its standard error)."""
    model = fit_spread([_errors(30_000, seed)[0] for seed in (0, 1)], "mmse", "none")
    fresh, log_variance = _errors(50_000, 2)
    found = model.log_variance(fresh.features)
    central = fresh.features.abs().amax(dim=0) < 2
    assert float((found - log_variance)[central].abs().mean()) < 0.1
    ratios = fresh.errors.abs() * torch.exp(-0.5 * found)
    for share in COVERAGES:
        covered = float((ratios <= model.width(share, found)).double().mean())
        assert covered == pytest.approx(share, abs=0.01)
    # A Laplace law: half widths of ln(1 / (1 - p)) / sqrt 2 standard deviations.
    assert float(model.width(0.95, torch.tensor([-2.0]))) == pytest.approx(2.118, rel=0.06)


def test_features_do_not_depend_on_the_unit_nor_on_the_cut() -> None:
    generator = torch.Generator().manual_seed(3)
    clean = 0.02 * torch.rand(4, 96, 128, generator=generator)
    planes = clean + 2e-3 * torch.randn(clean.shape, generator=generator)
    whole = look(planes, clean, GAIN, SIGMA, 1.0)
    scaled = look(100 * planes, 100 * clean, 100 * GAIN, 100 * SIGMA, 1.0)
    assert torch.allclose(whole, scaled, atol=1e-3)
    window = (slice(None), slice(0, 96), slice(32, 128))
    cut = look(planes[window], clean[window], GAIN, SIGMA, 1.0)
    assert torch.allclose(whole[..., 64:], cut[..., 32:], atol=1e-4)
    # The mean of four frames is a frame of four times the gain's reciprocal: one law, said in two ways.
    merged = look(planes, clean, GAIN, SIGMA, 4.0)
    single = look(planes, clean, GAIN / 4, SIGMA / 2, 1.0)
    assert torch.allclose(merged[:4], single[:4], atol=1e-3)


def test_the_measurements_variance() -> None:
    clean = torch.full((4, 2, 2), 0.01)
    assert torch.allclose(measurement_variance(clean, GAIN, SIGMA, 1.0), torch.tensor(10 + 4 + 0.375))
    assert torch.allclose(measurement_variance(clean, GAIN, SIGMA, 2.0), torch.tensor(7.1875))


def test_the_shipped_model_is_of_the_shipped_network_and_covers_fresh_noise() -> None:
    path = RECIPES["mmse"].errors
    assert path is not None
    model = load_spread(path)
    assert model.weights == identity(mmse.WEIGHTS), "python -m benchmarks.uncertainty --fit learns it anew"
    generator = torch.Generator().manual_seed(4)
    coarse = torch.rand(1, 1, 24, 24, generator=generator)
    light = 30 * torch.nn.functional.interpolate(coarse, size=(192, 192), mode="bicubic")[0].clamp(0.02)
    counts = torch.poisson(light.expand(4, -1, -1), generator=generator)
    noisy = GAIN.view(4, 1, 1) * (counts + 2 * torch.randn(counts.shape, generator=generator))
    clean = mmse.denoise(noisy, GAIN, 2 * GAIN, 1.0, 1.0)
    deviation = model.deviation_e(noisy, clean, GAIN, 2 * GAIN, 1.0)
    errors = (clean - GAIN.view(4, 1, 1) * light) / GAIN.view(4, 1, 1)
    # A scene unlike photographs: what is stated holds within a factor of two.
    assert 0.5 < float(errors.square().mean().sqrt() / deviation.square().mean().sqrt()) < 2.0
    assert float(deviation.mean()) < 0.5 * float(
        measurement_variance(clean, GAIN, 2 * GAIN, 1.0).sqrt().mean()
    )


def test_models_are_kept_and_damage_is_named(tmp_path: Path) -> None:
    model = fit_spread([_errors(2000, 0)[0]], "mmse", "none")
    path = tmp_path / "errors.json"
    model.save(path)
    features = torch.randn(len(FEATURES), 5)
    assert isinstance(load_spread(path), SpreadModel)
    assert torch.equal(load_spread(path).log_variance(features), model.log_variance(features))
    with pytest.raises(ValueError, match="widths are known"):
        model.width(0.5, torch.zeros(1))
    path.write_text('{"recipe": "mmse"}')
    with pytest.raises(DamagedFileError, match="cannot be read"):
        load_spread(path)
    with pytest.raises(ConfigurationError, match="never learned"):
        load_spread(tmp_path / "none.json")
