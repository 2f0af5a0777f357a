from __future__ import annotations

import numpy as np
import pytest
from rawdiff_calibration.errors import FitError, TooFewFramesError
from rawdiff_calibration.tail import fit_tail, sample_tukey, tukey_cdf, tukey_quantile, tukey_std
from scipy.stats import kstest, tukeylambda

SHAPES = (-0.1, -0.05, 0.0, 0.05, 0.135, 0.2)


@pytest.mark.parametrize("shape", SHAPES)
def test_law_is_that_of_scipy(shape: float) -> None:
    assert tukey_std(shape) == pytest.approx(tukeylambda(shape).std(), rel=1e-6)
    p = np.array([0.01, 0.3, 0.5, 0.9, 0.9999])
    assert tukey_quantile(shape, p) == pytest.approx(tukeylambda(shape).ppf(p), rel=1e-9, abs=1e-12)
    drawn = sample_tukey(shape, (20_000,), np.random.default_rng(0))
    assert kstest(drawn, tukeylambda(shape).cdf).pvalue > 0.01


def test_standard_deviation_is_smooth_through_the_logistic() -> None:
    near = [tukey_std(shape) for shape in (-1.5e-4, -0.5e-4, 0.5e-4, 1.5e-4)]
    assert np.diff(near, 2) == pytest.approx(0, abs=3e-7)
    with pytest.raises(ValueError, match="no variance"):
        tukey_std(-0.5)


def test_distribution_of_rounded_noise_is_the_simulated_one() -> None:
    rng = np.random.default_rng(3)
    noise = 1.2 * sample_tukey(0.05, (400_000,), rng)
    level = rng.uniform(0, 1, noise.shape)
    stored = np.rint(noise + level) - level + rng.normal(0, 0.5, noise.shape)
    edges = np.linspace(-5, 5, 21)
    expected = tukey_cdf(edges, 0.05, 1.2, step=1.0, spread=0.5)
    found = np.searchsorted(np.sort(stored), edges) / stored.size
    assert np.abs(found - expected).max() < 4 * 0.5 / np.sqrt(stored.size)


@pytest.mark.parametrize(("shape", "scale"), [(0.1, 0.8), (-0.05, 3.2), (0.14, 0.5)])
def test_shape_and_scale_come_back_from_rounded_frames(shape: float, scale: float) -> None:
    rng = np.random.default_rng(7)
    frames, pixels = 12, 40_000
    stored = np.rint(scale * sample_tukey(shape, (frames, pixels), rng) + rng.uniform(0, 1, pixels))
    residuals = (stored - stored.mean(axis=0)) * frames / (frames - 1)
    fit = fit_tail(residuals, frames=frames)
    # 480 000 values know lambda to about 0.002 at a scale of 3 and 0.004 at 0.5, where rounding blurs it.
    assert abs(fit.shape.value - shape) < 4 * fit.shape.se < 0.02
    assert abs(fit.scale_dn.value - scale) < 4 * fit.scale_dn.se < 0.02 * scale
    assert fit.divergence < 1e-3
    assert fit.gaussian_divergence > fit.divergence or shape > 0.13


def test_few_or_dead_frames_are_refused() -> None:
    with pytest.raises(TooFewFramesError, match="3 darks"):
        fit_tail(np.zeros((2, 5000)), frames=2)
    with pytest.raises(FitError, match="single value"):
        fit_tail(np.zeros((4, 5000)), frames=4)
