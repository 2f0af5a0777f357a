from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from rawdiff.burst.reference import Sharpness, choose_reference, measure_sharpness

GAIN, FLOOR = 0.02, 0.002


def noisy(clean: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shot = GAIN * rng.poisson(clean / GAIN)
    return (shot + FLOOR**0.5 * rng.standard_normal(clean.shape)).astype(np.float32)


def texture(seed: int = 0) -> np.ndarray:
    return 0.5 + 0.6 * gaussian_filter(np.random.default_rng(seed).standard_normal((200, 200)), 1.2)


def test_noise_alone_has_no_sharpness() -> None:
    """Over 40 flat frames the mean of value / se is 0 and its spread 1, within four of their errors."""
    flat = np.full((120, 120), 0.5)
    scores = [
        s.value / s.se for s in (measure_sharpness(noisy(flat, seed), GAIN, FLOOR) for seed in range(40))
    ]
    assert abs(np.mean(scores)) < 4 / 40**0.5
    # Differences overlap, so neighbouring squares are correlated: the true spread is within 1 to 1.6.
    assert 0.6 < np.std(scores) < 1.8


def test_the_sharpest_frame_wins_under_noise() -> None:
    clean = np.clip(texture(), 0, None)
    frames = [gaussian_filter(clean, blur) for blur in (1.5, 1.0, 0.0, 2.0)]
    measured = [measure_sharpness(noisy(frame, i), GAIN, FLOOR) for i, frame in enumerate(frames)]
    assert choose_reference(measured) == 2


def test_a_tie_goes_to_the_middle() -> None:
    assert choose_reference([Sharpness(1.0 + 0.01 * i, 0.05) for i in range(7)]) == 3
    assert choose_reference([Sharpness(1.0, 0.001)] * 8) == 4
    with pytest.raises(ValueError, match="no frames"):
        choose_reference([])
