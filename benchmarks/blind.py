"""How true the blind noise estimate is on photographs, with known noise put into them.

    python -m benchmarks.blind PHOTO... [--width 900]

Each photograph is taken to linear light, reduced to `--width` by area averaging (which removes its own
noise), sampled as a Bayer mosaic, exposed to several brightnesses and given shot noise, read noise and
rounding of several cameras, 0.5 to 50 electrons per DN. A photograph's own grain counts as noise to any blind
method: a case is called measurable where that grain, in the smooth places, stays below 5 % of the variance.
Prints one line a case and a summary by confidence.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rawdiff_calibration.blind import estimate_noise
from rawdiff_calibration.blocks import gather_blocks

CAMERAS = ((0.02, 1.0), (0.1, 1.0), (0.5, 2.0), (2.0, 4.0))
PEAKS_DN = (200.0, 1500.0, 12000.0)
BLACK, WHITE = 512.0, 16383.0

Planes = NDArray[np.float64]
Case = tuple[float, float, float, bool]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--width", type=int, default=900)
    given = parser.parse_args()
    rows: list[Case] = []
    for path in given.photos:
        scene = _load(path, given.width)
        for gain, read in CAMERAS:
            for peak in PEAKS_DN:
                rows.append(_measure(path.stem, scene, gain, read, peak))
    _summarise("measurable cases", [row for row in rows if row[3]])
    for low, high in ((0.9, 1.01), (0.7, 0.9), (0.5, 0.7), (0.0, 0.5)):
        _summarise(f"confidence {low:g} to {high:g}", [row for row in rows if low <= row[2] < high])


def _load(path: Path, width: int) -> Planes:
    encoded = np.asarray(Image.open(path).convert("RGB"), np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    factor = max(1, round(linear.shape[1] / width))
    height, wide = (extent // (2 * factor) * 2 for extent in linear.shape[:2])
    cells = linear[: height * factor, : wide * factor].reshape(height, factor, wide, factor, 3)
    small = cells.mean(axis=(1, 3))
    return np.stack([small[::2, ::2, 0], small[::2, 1::2, 1], small[1::2, ::2, 1], small[1::2, 1::2, 2]])


def _measure(
    name: str, scene: Planes, gain: float, read: float, peak: float
) -> tuple[float, float, float, bool]:
    """Relative error of K (NaN where the light cannot show it), of the noise, confidence, measurable."""
    rng = np.random.default_rng(0)
    frame = gain * rng.poisson(scene * peak / gain) + read * rng.standard_normal(scene.shape)
    frame = np.clip(np.round(frame + BLACK), 0, WHITE)
    found = estimate_noise(frame, (BLACK,) * 4, (WHITE,) * 4)
    levels = np.quantile(np.minimum(scene * peak, WHITE - BLACK), (0.1, 0.5, 0.9))
    true = np.sqrt(gain * levels + read**2 + 1 / 12)
    noise_error = float(np.max(np.abs(np.sqrt(found.model.variance_dn2(levels, 1)) / true - 1)))
    shown = gain * levels[2] > 0.5 * read**2
    gain_error = abs(found.gain_dn_per_e.value / gain - 1) if shown else np.nan
    measurable = _is_measurable(scene * peak, gain, read)
    print(
        f"{name[:24]:24} K {gain:<5g} peak {peak:<6g} K error {gain_error:7.1%} noise {noise_error:7.1%} "
        f"confidence {found.confidence:.2f}{'' if measurable else '  (the scene itself is noisier)'}"
    )
    return gain_error, noise_error, found.confidence, measurable


def _is_measurable(scene_dn: Planes, gain: float, read: float) -> bool:
    blocks = gather_blocks(scene_dn.astype(np.float32), scene_dn.astype(np.float32))
    level, grain = blocks.level.ravel(), blocks.high.ravel()
    calm = 0
    for part in np.array_split(np.argsort(level), 12):
        best = part[np.argsort(blocks.low.ravel()[part])[: max(8, len(part) // 10)]]
        calm += bool(grain[best].mean() < 0.05 * (gain * level[best].mean() + read**2))
    return calm >= 6


def _summarise(what: str, rows: list[Case]) -> None:
    if not rows:
        return
    gain = np.array([row[0] for row in rows if np.isfinite(row[0])])
    noise = np.array([row[1] for row in rows])
    inside = f"noise over brightness within 10 % in {np.mean(noise < 0.1):.0%}, median {np.median(noise):.1%}"
    print(
        f"{what:24} {len(rows):4} cases: K within 10 % in {np.mean(gain < 0.1):.0%}, median error "
        f"{np.median(gain):.1%}; {inside}"
    )


if __name__ == "__main__":
    main()
