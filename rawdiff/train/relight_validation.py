"""Watching the wavelet enhancer: photographs that never train, in four fixed lights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from rawdiff.diffusion.sampler import seeded_noise
from rawdiff.enhance.carry import decode_light, encode_light
from rawdiff.enhance.wavelet import luminance, relight, relight_at_level
from rawdiff.networks.relight import WaveletRelight
from rawdiff.simulate.scene import load_photograph
from rawdiff.simulate.uneven_light import uneven_lights
from rawdiff.train.photographs import Photograph
from rawdiff.train.relighting import LightPlan, leave_noise

NOISE = 0.02
DARKENING = 16.0

DESCRIPTION = (
    "PSNR in dB of roots of light, clipped to [0, 1]: even, ramp (three stops from left to right), pool "
    "(three stops around it), lamps (tungsten and skylight in opposite corners) at the right level of light; "
    "unaligned: all four at the level the network chose. Longer side at most 256 pixels, "
    f"noise {NOISE:g} at mid-grey"
)


@dataclass(frozen=True)
class LightCase:
    """One picture `[1, 3, h, w]` in bad light, and as it should be; linear sRGB."""

    name: str
    light: str
    dark: Tensor
    normal: Tensor


def fixed_lights(height: int, width: int) -> dict[str, Tensor]:
    """Four lights `[3, h, w]`: even, a ramp, a pool, two lamps of different colours."""
    return {"even": torch.ones(3, height, width), **uneven_lights(height, width)}


def build_light_cases(photographs: Sequence[Photograph], side: int = 512) -> list[LightCase]:
    """Each photograph, its longer side reduced to at most half of `side`, in every light."""
    plan = replace(LightPlan(), noise=(NOISE, NOISE))
    cases = []
    for number, photograph in enumerate(photographs):
        whole = load_photograph(photograph.path)
        reduce = -(-2 * max(whole.shape[1:]) // side)
        normal = (load_photograph(photograph.path, reduce) if reduce > 1 else whole)[None]
        for light, field in fixed_lights(*normal.shape[2:]).items():
            lit = normal * field
            lit = lit * (normal.mean() / lit.mean())
            dark = leave_noise(lit, plan, Generator().manual_seed(number)) / DARKENING
            cases.append(LightCase(photograph.name, light, dark, normal))
    return cases


def look_at_light(network: torch.nn.Module, cases: Sequence[LightCase]) -> dict[str, float]:
    """Mean PSNR by light at the right level, and of all at the level chosen."""
    assert isinstance(network, WaveletRelight)
    found: dict[str, list[float]] = {}
    for case in cases:
        right = luminance(case.normal).mean() / luminance(case.dark).mean()
        with torch.inference_mode():
            told = relight(network, encode_light(case.dark * right), seeded_noise(0)).picture
            _, relit, after = relight_at_level(network, case.dark, seeded_noise(0))
            chosen = encode_light(decode_light((relit.picture + 1) / 2) * after)
        truth = encode_light(case.normal)
        for key, lit in ((case.light, (told + 1) / 2), ("unaligned", chosen)):
            error = lit.clamp(0, 1) - truth
            found.setdefault(key, []).append(-10 * math.log10(float(error.double().square().mean())))
    return {key: sum(values) / len(values) for key, values in found.items()}
