"""What a wrong system gain costs: held-out photographs denoised with K twice too high and twice too low.

    python -m benchmarks.misjudged --photos photographs.json [--recipe NAME] [--limit N] [--json FILE]

Two columns. "checked" is what `rawdiff process` does with a profile that it found by itself or with the
file's own tag: the photograph is asked, and a model that it plainly contradicts is overruled
(`pipeline/noise_check`). "believed" is what it does with a profile that the user named: it warns and obeys.
Losses in dB of packed raw, amplified, clipped to [0, 1], not aligned, against the same recipe told the
right K.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rawdiff_calibration.noise import NoiseModel
from rawdiff_kernels import mosaic as mosaic_kernel

from rawdiff.pipeline.denoise import normalised_noise
from rawdiff.pipeline.noise_check import check_noise
from rawdiff.pipeline.noise_model import ChosenNoise
from rawdiff.raw.frame import FrameTags, Levels, RawFrame, Source
from rawdiff.recipes.catalog import RECIPES, Recipe
from rawdiff.report.denoise_cases import DarkFrame, conditions, draw_cases
from rawdiff.report.metrics import psnr
from rawdiff.train.photographs import list_photographs

CAMERAS = ("SonyA7S2", "NikonD850", "CanonEOS5D4", "CanonEOS70D")
FACTORS = (0.5, 2.0)
SIDE = 512


@dataclass(frozen=True)
class Loss:
    """Losses on one frame for one factor [dB]; whether the photograph overruled the model."""

    photograph: str
    sharpness: str
    condition: str
    factor: float
    believed_db: float
    checked_db: float
    overruled: bool


def as_raw(frame: DarkFrame) -> RawFrame:
    """The dark frame as it would come from a file."""
    camera = frame.condition.camera
    mosaic = mosaic_kernel.unpack(frame.noisy.contiguous(), "RGGB").numpy()
    levels = Levels(np.full((2, 2), camera.black_dn), np.full((2, 2), camera.white_dn))
    stored = (mosaic * (camera.white_dn - camera.black_dn) + camera.black_dn).astype(np.float32)
    return RawFrame(stored, "RGGB", levels, FrameTags(), Source(Path("dark"), "0" * 64, "simulated"))


def quality(recipe: Recipe, frame: DarkFrame, raw: RawFrame, model: NoiseModel) -> float:
    """PSNR of the recipe with a noise model [dB]."""
    gain, sigma = normalised_noise(model, raw.levels, raw.phase)
    estimate = recipe.denoise(frame.noisy, gain, sigma, 1.0, 1.0)
    return psnr((estimate * frame.ratio).clamp(0, 1), (frame.clean * frame.ratio).clamp(0, 1))


def losses(recipe: Recipe, frame: DarkFrame) -> Iterator[Loss]:
    """What each wrong K costs on a frame."""
    raw, model = as_raw(frame), frame.condition.noise
    right = quality(recipe, frame, raw, model)
    for factor in FACTORS:
        red, green, blue = (gain * factor for gain in model.gain_dn_per_e)
        wrong = replace(model, gain_dn_per_e=(red, green, blue))
        chosen, check = check_noise(raw, ChosenNoise(wrong, "a wrong profile"), may_correct=True)
        believed = right - quality(recipe, frame, raw, wrong)
        checked = right - quality(recipe, frame, raw, chosen.model) if check.corrected else believed
        case = frame.photograph, frame.sharpness, frame.condition.name
        yield Loss(*case, factor, believed, checked, check.corrected)


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="mmse")
    parser.add_argument("--ratio", type=float, default=100.0)
    parser.add_argument("--iso", type=float, default=1600.0)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    held_out = [p for p in list_photographs(options.photos) if p.held_out][: options.limit or None]
    frames = draw_cases(held_out, conditions(CAMERAS, options.iso), [options.ratio], SIDE)
    found = [loss for frame in frames for loss in losses(RECIPES[options.recipe], frame)]
    print(f"{'':34}{'believed':>10}{'checked':>10}{'overruled':>11}   dB lost, mean; {options.recipe}")
    for sharpness in ("sharp", "soft"):
        for factor in FACTORS:
            rows = [loss for loss in found if (loss.sharpness, loss.factor) == (sharpness, factor)]
            means = torch.tensor([[row.believed_db, row.checked_db, row.overruled] for row in rows]).mean(0)
            name = f"{sharpness}, x{options.ratio:g}, K times {factor:g} ({len(rows)} frames)"
            print(f"{name:34}{means[0]:10.2f}{means[1]:10.2f}{100 * means[2]:10.0f}%")
    print(
        f"mean of all: believed {_mean(found, 'believed_db'):.2f}, checked {_mean(found, 'checked_db'):.2f}"
    )
    if options.json:
        options.json.write_text(json.dumps([vars(loss) for loss in found], indent=1) + "\n")


def _mean(found: list[Loss], figure: str) -> float:
    return sum(getattr(loss, figure) for loss in found) / len(found)


if __name__ == "__main__":
    main()
