"""Watching a run: PSNR on photographs that never train, at a fixed camera and fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rawdiff_calibration.noise import NoiseModel
from torch import Tensor

from rawdiff.simulate.cameras import find
from rawdiff.simulate.capture import capture
from rawdiff.simulate.scene import even_crop, load_photograph, mosaic, pack, to_camera_rgb
from rawdiff.train.photographs import Photograph

SIDE = 512
RATIOS = (100.0, 300.0)
GAIN_DN_PER_E = 4.0
READ_NOISE_DN = 4.0

DESCRIPTION = (
    "PSNR in dB of packed raw, amplified, clipped to [0, 1], not aligned; "
    f"K {GAIN_DN_PER_E:g} DN/e-, read noise {READ_NOISE_DN:g} DN, "
    f"ratios {' and '.join(f'{ratio:g}' for ratio in RATIOS)}; "
    "sharp: as they are, soft: enlarged twice before the mosaic"
)

Denoise = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]


@dataclass(frozen=True)
class ValidationCase:
    """One dark frame: noisy planes and truth `[4, h, w]` at the input's exposure, and its noise."""

    name: str
    ratio: float
    soft: bool
    noisy: Tensor
    clean: Tensor
    gain: Tensor
    sigma: Tensor


def build_cases(photographs: Sequence[Photograph], side: int = SIDE) -> list[ValidationCase]:
    """Photograph the centre of each at K 4 DN/e-, read noise 4 DN, both ratios, both sharpnesses.

    Large photographs are first reduced until the crop holds about half of the frame's height.
    """
    camera = find("SonyA7S2")
    noise = NoiseModel.uniform(GAIN_DN_PER_E, READ_NOISE_DN)
    span = camera.white_dn - camera.black_dn
    gain = torch.full((4,), GAIN_DN_PER_E / span)
    sigma = torch.full((4,), math.sqrt(noise.floor_variance_dn2()[0]) / span)
    cases = []
    for number, photograph in enumerate(photographs):
        whole = load_photograph(photograph.path)
        reduce = max(1, round(min(whole.shape[1:]) / (1.6 * side)))
        for soft in (False, True):
            scene = load_photograph(photograph.path, reduce, 2 if soft else 1)
            truth = mosaic(even_crop(to_camera_rgb(scene, camera), (side, side)))
            for ratio in RATIOS:
                seed = 1000 * number + int(ratio) + int(soft)
                generator = torch.Generator().manual_seed(seed)
                stored = capture(truth, noise, camera.black_dn, camera.white_dn, ratio, generator)
                noisy = pack((stored - camera.black_dn) / span)
                cases.append(
                    ValidationCase(photograph.name, ratio, soft, noisy, pack(truth) / ratio, gain, sigma)
                )
    return cases


def amplified_psnr(estimate: Tensor, clean: Tensor, ratio: float) -> float:
    """PSNR of packed raw, amplified to the reference exposure and clipped to [0, 1], in dB."""
    difference = (estimate * ratio).clamp(0, 1) - (clean * ratio).clamp(0, 1)
    return -10 * math.log10(float(difference.double().square().mean()))


def validate(denoise: Denoise, cases: Sequence[ValidationCase]) -> dict[str, float]:
    """Mean PSNR by sharpness and ratio, keys like `sharp-100`, in dB."""
    found: dict[str, list[float]] = {}
    for case in cases:
        estimate = denoise(case.noisy, case.gain, case.sigma, 1.0, 1.0)
        key = f"{'soft' if case.soft else 'sharp'}-{case.ratio:g}"
        found.setdefault(key, []).append(amplified_psnr(estimate, case.clean, case.ratio))
    return {key: sum(values) / len(values) for key, values in found.items()}
