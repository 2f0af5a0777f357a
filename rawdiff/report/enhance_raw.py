"""From a dark raw to a picture: simulated mosaics at ratio 100 through the pipeline, by every enhancer.

The mosaic is denoised once; each enhancer then takes the very way of `rawdiff process` to 16-bit sRGB
values. They are held against the photograph, which no method has seen: nothing is aligned. Beside them
stand gains of the denoised picture: to a mean that is common, and by the exposure ratio itself, which no
program knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rawdiff_calibration.noise import NoiseModel
from torch import Tensor

from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.denoise import denoise_frame
from rawdiff.pipeline.develop import develop_mosaic
from rawdiff.raw.frame import Levels, RawFrame, Source, plane_sites
from rawdiff.recipes.catalog import Recipe
from rawdiff.report.enhance_figures import compare
from rawdiff.report.enhance_methods import LINEAR_GAIN, gain_to_mean
from rawdiff.report.tables import Table
from rawdiff.simulate.burst import BurstPlan, frame_tags, simulate_frames
from rawdiff.simulate.cameras import find
from rawdiff.simulate.scene import even_crop, load_photograph, srgb_to_linear
from rawdiff.simulate.uneven_light import uneven_lights
from rawdiff.train.photographs import Photograph

RATIO, ISO, CAMERA = 100.0, 1600.0, "SonyA7S2"
LONGEST = 512
KNOWN_RATIO = "gain by the ratio itself"
LIGHTS = ("even", "ramp", "pool", "lamps")


@dataclass(frozen=True)
class RawScore:
    """Figures of one way from a dark raw to a picture; those of `enhance_figures.compare`."""

    method: str
    light: str
    photograph: str
    figures: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class DarkRaw:
    """A simulated frame, denoised, ready to be developed."""

    frame: RawFrame
    clean: Tensor
    noise: NoiseModel
    ratio: float

    def pictures(self, enhancers: Sequence[str]) -> dict[str, Tensor]:
        """By each method: gains of the denoised picture, the pipeline without and with each enhancer."""
        config = ProcessConfig(formats=("tiff",))
        exposed = self.develop(replace(config, tone="linear", exposure_ev=math.log2(self.ratio)))
        made = {KNOWN_RATIO: exposed, LINEAR_GAIN: gain_to_mean(exposed), "none": self.develop(config)}
        return made | {name: self.develop(replace(config, enhance=name)) for name in enhancers}

    def develop(self, config: ProcessConfig) -> Tensor:
        """The picture that `rawdiff process` makes of it, as linear display light `[3, H, W]`."""
        strips = develop_mosaic(self.clean, self.frame, config).display_strips(16)
        shown = np.concatenate([strip for _, strip in strips]).astype(np.float64) / 65535
        return srgb_to_linear(torch.from_numpy(np.moveaxis(shown, -1, 0).copy()))


def shoot_dark(scene: Tensor, recipe: Recipe, ratio: float = RATIO, seed: int = 0) -> DarkRaw:
    """Simulate one frame of linear sRGB `[3, H, W]` with a published camera, and denoise it.

    Args:
        scene: in 0..1, even sides.
        recipe: how it is denoised, knowing the camera's noise model.
        ratio: how many times too dark.
        seed: of the noise.
    """
    body = find(CAMERA)
    noise = body.noise_model(ISO)
    plan = BurstPlan(body, ISO, ratio, seed=seed)
    (shot,) = simulate_frames(scene, plan)
    black = np.full((2, 2), float(body.black_dn))
    for (row, column), offset in zip(plane_sites(plan.phase), noise.bias_dn, strict=True):
        black[row, column] += offset
    levels = Levels(black, np.full((2, 2), float(body.white_dn)))
    source = Source(Path("simulated"), "", "simulated")
    frame = RawFrame(shot.mosaic_dn, plan.phase, levels, frame_tags(plan, 0, noise), source)
    known = replace(noise, bias_dn=(0.0, 0.0, 0.0, 0.0))
    return DarkRaw(frame, denoise_frame(frame, known, recipe, 1.0), known, ratio)


def run_raw(
    photographs: Sequence[Photograph],
    enhancers: Sequence[str],
    recipe: Recipe,
    lights: Sequence[str] = LIGHTS,
    on_case: Callable[[str], None] | None = None,
) -> list[RawScore]:
    """Make every photograph dark under every light, and a picture of it again in every way.

    Args:
        photographs: none of which any method was trained on.
        enhancers: names of the catalog.
        recipe: how mosaics are denoised.
        lights: of `LIGHTS`.
        on_case: told what is being worked on.
    """
    scores = []
    for number, photograph in enumerate(photographs):
        whole = load_photograph(photograph.path)
        reduce = math.ceil(max(whole.shape[1:]) / LONGEST)
        scene = even_crop(load_photograph(photograph.path, reduce) if reduce > 1 else whole)
        maps = uneven_lights(*scene.shape[1:])
        for place, light in enumerate(lights):
            if on_case is not None:
                on_case(f"{photograph.name} {light}")
            lit = scene if light == "even" else scene * maps[light]
            dark = shoot_dark(lit.clamp(0, 1), recipe, seed=10 * number + place)
            for name, picture in dark.pictures(enhancers).items():
                scores.append(RawScore(name, light, photograph.name, compare(picture, scene)))
    return scores


def tabulate_raw(scores: Sequence[RawScore]) -> list[Table]:
    """A table for each light, means over the photographs."""
    tables = []
    photographs = len({score.photograph for score in scores})
    for light in dict.fromkeys(score.light for score in scores):
        table = Table(
            f"From simulated raw at ratio {RATIO:g}, {light} light, mean of {photographs} photographs",
            ("method", "PSNR", "SSIM", "aligned PSNR", "Delta E", "level %"),
            notes=[f"{CAMERA} ISO {ISO:g}. sRGB values against the photograph; level: mean of |error|."],
            digits={"SSIM": 3, "level %": 1},
        )
        for method in dict.fromkeys(score.method for score in scores):
            rows = [s.figures for s in scores if (s.method, s.light) == (method, light)]
            mean = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
            level = 100 * sum(abs(row["level"]) for row in rows) / len(rows)
            table.rows.append(
                {
                    "method": method,
                    "PSNR": mean["psnr"],
                    "SSIM": mean["ssim"],
                    "aligned PSNR": mean["aligned psnr"],
                    "Delta E": mean["delta e"],
                    "level %": level,
                }
            )
        tables.append(table)
    return tables
