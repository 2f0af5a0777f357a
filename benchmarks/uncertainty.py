"""Do the intervals of `--uncertainty` cover the truth? Learned on training photographs, tested on the others.

    python -m benchmarks.uncertainty --photos photographs.json [--recipe NAME] [--fit] [--json FILE]

`--fit` first learns the errors of the shipped network anew, from the photographs that are not held out,
and writes `rawdiff/weights/NAME-errors.json`: to be done whenever the weights change. The table is of the
held-out ones: how often the truth lies in the interval stated for 68, 90 and 95 %, over all pixels and by
thirds of brightness (of the estimate, and of the truth), and how large errors are in stated deviations.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rawdiff.pipeline.recipe_choice import DARK
from rawdiff.recipes.catalog import RECIPES, Recipe
from rawdiff.recipes.spread import COVERAGES, SpreadModel, load_spread
from rawdiff.report.denoise_cases import Condition, DarkFrame, conditions, draw_cases, expose
from rawdiff.simulate.scene import enlarge_scene, mosaic, to_camera_rgb
from rawdiff.train.photographs import Photograph, list_photographs, prepare
from rawdiff.train.spread import Errors, fit_spread, gather_errors

CAMERAS = ("SonyA7S2", "NikonD850", "CanonEOS5D4", "CanonEOS700D")
FIT_ISOS, TEST_ISOS = (400.0, 1600.0, 6400.0), (800.0, 1600.0, 3200.0)
FIT_RATIOS = {
    "mmse": (10.0, 30.0, 100.0, 200.0, 400.0),
    "exposure": (50.0, 100.0, 200.0, 300.0, 400.0),  # the dark frames that it is chosen for
}
TEST_RATIOS = (100.0, 250.0, 300.0)
WINDOW, REDUCE = 256, 2
EVERY = 8
"""Of so many pixels one is kept: neighbours tell little more."""


def training_frames(
    photographs: Sequence[Photograph], ratios: Sequence[float], cache: Path
) -> Iterator[DarkFrame]:
    """Two windows of every training photograph, one of them softened, cameras and ratios in turn."""
    where = [condition for iso in FIT_ISOS for condition in conditions(CAMERAS, iso)]
    number = 0
    for photograph in photographs:
        scene = prepare(photograph, REDUCE, cache)
        if scene is None:
            continue
        for share in (0.25, 0.6):
            top, left = (int(share * max(side - WINDOW, 0)) for side in scene.shape[1:])
            window = np.array(scene[:, top : top + WINDOW, left : left + WINDOW], np.float32)
            light = (torch.from_numpy(window) / 65535.0) ** 2
            if number % 2:
                light = enlarge_scene(light[:, : WINDOW // 2, : WINDOW // 2], 2)
            light = light[:, : light.shape[1] // 2 * 2, : light.shape[2] // 2 * 2]
            for turn in range(2):
                condition = where[(number * 5 + turn * 7) % len(where)]
                ratio = ratios[(number + 2 * turn) % len(ratios)]
                truth = mosaic(to_camera_rgb(light, condition.camera))
                yield expose(truth, f"{photograph.name} {number}", "window", condition, ratio)
            number += 1


def held_out_frames(photographs: Sequence[Photograph]) -> Iterator[DarkFrame]:
    """Every held-out photograph at both sharpnesses, with two cameras at a ratio each, in turn."""
    for number, photograph in enumerate(photographs):
        cameras = [CAMERAS[(number + step) % len(CAMERAS)] for step in (0, 2)]
        where: list[Condition] = conditions(cameras, TEST_ISOS[number % len(TEST_ISOS)])
        yield from draw_cases([photograph], where, [TEST_RATIOS[number % len(TEST_RATIOS)]], WINDOW)


def errors_of(recipe: Recipe, frame: DarkFrame, generator: torch.Generator) -> Errors:
    """What the shipped network makes of a frame."""
    told = frame.noisy, frame.clean, frame.gain, frame.sigma
    return gather_errors(recipe.denoise, *told, 1.0, EVERY, generator)


def coverage(model: SpreadModel, errors: Sequence[Errors]) -> dict[str, Any]:
    """Share of the truth inside each interval, over all pixels and by thirds of brightness."""
    features = torch.cat([each.features for each in errors], dim=1)
    found = torch.cat([each.errors for each in errors])
    light_e = torch.cat([each.truth_e for each in errors])
    log_variance = model.log_variance(features)
    ratios = found.abs() * torch.exp(-0.5 * log_variance)
    parts = {"all": torch.ones_like(ratios, dtype=torch.bool)}
    for name, level in (("estimate", features[3]), ("truth", light_e)):
        parts |= {f"{third} third by {name}": inside for third, inside in thirds(level).items()}
    rows = {}
    for name, inside in parts.items():
        held = {
            f"{share:.0%}": float(
                (ratios[inside] <= model.width(share, log_variance[inside])).double().mean()
            )
            for share in COVERAGES
        }
        rows[name] = {**held, "rms": float(ratios[inside].square().mean().sqrt())}
    return rows


def thirds(level: Tensor) -> dict[str, Tensor]:
    """Pixels below, between and above the two thirds of a brightness."""
    ordered = level.sort().values
    low, high = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]
    return {"dark": level < low, "middle": (level >= low) & (level < high), "bright": level >= high}


def main() -> None:
    """Learn if asked, measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    learned_of = sorted(name for name, recipe in RECIPES.items() if recipe.errors is not None)
    parser.add_argument("--recipe", choices=learned_of, default=DARK)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--cache", type=Path, help="prepared scenes of a training run")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    listed = list_photographs(options.photos)
    recipe = RECIPES[options.recipe]
    path, weights = recipe.errors, recipe.weights_identity()
    assert path is not None and weights is not None
    generator = torch.Generator().manual_seed(0)
    if options.fit:
        training = [photograph for photograph in listed if not photograph.held_out]
        with tempfile.TemporaryDirectory() as beside:
            frames = training_frames(training, FIT_RATIOS[recipe.name], options.cache or Path(beside))
            learned = [errors_of(recipe, frame, generator) for frame in frames]
        fit_spread(learned, recipe.name, weights).save(path)
        print(f"learned from {len(learned)} frames: {path}", flush=True)
    held_out = [photograph for photograph in listed if photograph.held_out][: options.limit or None]
    tested = [errors_of(recipe, frame, generator) for frame in held_out_frames(held_out)]
    rows = coverage(load_spread(path), tested)
    print(f"{'':26}" + "".join(f"{name:>9}" for name in rows["all"]))
    for name, row in rows.items():
        shown = [f"{100 * value:8.1f}%" for value in list(row.values())[:-1]]
        print(f"{name:26}{''.join(shown)}{row['rms']:9.3f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
