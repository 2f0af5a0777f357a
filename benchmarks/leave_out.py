"""What a camera loses that was never seen in training: two runs, alike but for that camera, tried on it.

    python -m benchmarks.leave_out --photos training/photographs.json --camera NikonD850 -o runs/leave-out

Both runs have the same seed, plan and length, and are cooled down over their last third; one never draws the
camera's laws of noise and its colour matrix (`rawdiff train --leave-out`). Both then denoise the held-out
photographs as that camera sees them. The runs are short: the difference is what counts, not the level.
Given again, the command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from rawdiff.recipes import exposure, mmse
from rawdiff.report.denoise_cases import RATIOS, SHARPNESSES, conditions
from rawdiff.report.denoise_suite import Denoise, SuiteResult, run_suite
from rawdiff.simulate.cameras import NAMES, find
from rawdiff.train.checkpoint import STATE_NAME
from rawdiff.train.loop import Run
from rawdiff.train.photographs import Photograph, list_photographs
from rawdiff.train.plan import TrainingPlan
from rawdiff.train.synthesis import SynthesisPlan
from rawdiff.train.tasks import find_task

_FOREVER_H = 1e3
_DENOISE: dict[str, Callable[..., Tensor]] = {"mmse": mmse.denoise_with, "exposure": exposure.denoise_with}


def plan_without(recipe: str, camera: str | None, batch: int, side: int) -> TrainingPlan:
    """The recipe's plan at another size of batch, one published camera left out where it is given."""
    plan = replace(find_task(recipe).plan, batch=batch, side=side)
    if not isinstance(plan.synthesis, SynthesisPlan):
        raise SystemExit(f"no cameras are drawn for '{recipe}'")
    left_out = None if camera is None else NAMES.index(camera)
    return replace(plan, synthesis=replace(plan.synthesis, left_out=left_out))


def train_short(plan: TrainingPlan, photographs: list[Photograph], home: Path, steps: int) -> Denoise:
    """Train from scratch, or go on; return the denoiser of the averaged weights."""
    resume = (home / STATE_NAME).is_file()
    run = Run(plan, photographs, home, resume, cache=home.parent / "cache")
    if run.progress.step < steps:
        run.go(_FOREVER_H, steps=max(0, steps * 2 // 3 - run.progress.step))
        run.begin_cooldown(steps - run.progress.step)
        run.go(_FOREVER_H)
    network = run.averaged_network()

    def denoise(planes: Tensor, gain: Tensor, sigma: Tensor, exposure: float, strength: float) -> Tensor:
        return _DENOISE[plan.recipe](network, planes, gain, sigma, exposure, strength)

    return denoise


def table(found: SuiteResult, camera: str) -> list[dict[str, float | str]]:
    """PSNR with and without the camera, and the loss, by sharpness and ratio."""
    rows: list[dict[str, float | str]] = []
    for sharpness in SHARPNESSES:
        for ratio in RATIOS:
            lost, error = found.gain("with", "without", ratio, sharpness)
            rows.append(
                {
                    "camera": camera,
                    "sharpness": sharpness,
                    "ratio": ratio,
                    "with_db": found.mean("with", ratio, sharpness),
                    "without_db": found.mean("without", ratio, sharpness),
                    "lost_db": lost,
                    "standard_error_db": error,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--camera", default="NikonD850", choices=NAMES)
    parser.add_argument("--recipe", default="mmse", choices=sorted(_DENOISE))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    photographs, camera = list_photographs(chosen.photos), find(chosen.camera).name
    training = [photograph for photograph in photographs if not photograph.held_out]
    methods = {}
    for name, left_out in (("with", None), ("without", camera)):
        plan = plan_without(chosen.recipe, left_out, chosen.batch, chosen.side)
        home = chosen.out / (f"without-{left_out}" if left_out else "with-all")
        methods[name] = train_short(plan, training, home, chosen.steps)
    held_out = [photograph for photograph in photographs if photograph.held_out]
    rows = table(run_suite(held_out, methods, conditions([camera])), camera)
    for row in rows:
        print(
            f"{camera} {row['sharpness']:5} x{row['ratio']:<4g} with {row['with_db']:.2f} dB, "
            f"without {row['without_db']:.2f} dB, "
            f"lost {row['lost_db']:+.2f} +- {row['standard_error_db']:.2f} dB"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
