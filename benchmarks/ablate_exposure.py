"""The exposure network with one thing left out at a time, all trained as long from the weights of `mmse`.

    python -m benchmarks.ablate_exposure -o DIR [--photos training/photographs.json] [--steps 600]

Prints two tables in Markdown, of the validation that training watches: the shipped network asked 1 to 5
times, photons expected or drawn, and short runs alike but for one part. Such runs are far from the end of
learning: their differences count, not their level. Given again, the command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.weights import load_network
from rawdiff.recipes import exposure, mmse
from rawdiff.recipes.walk import Walk
from rawdiff.train.loop import Run
from rawdiff.train.photographs import Photograph, list_photographs
from rawdiff.train.tasks import find_task
from rawdiff.train.validation import ValidationCase, build_cases, validate

VARIANTS: dict[str, tuple[tuple[str, bool | int], ...]] = {
    "all": (),
    "one step": (("steps", 1),),
    "two steps": (("steps", 2),),
    "no photon map": (("photon_map", False),),
    "no adaptive residual": (("adaptive_residual", False),),
    "no origin": (("origin", False),),
}
CONDITIONS = ("sharp-100", "sharp-300", "soft-100", "soft-300")


WALKS = {
    **{f"{steps}": Walk(steps=steps) for steps in (1, 2, 3, 4, 5)},
    "3, drawn": Walk(steps=3, samples=1),
    "3, mean of 4 drawn": Walk(steps=3, samples=4),
}


def ask_often(cases: Sequence[ValidationCase]) -> Iterator[tuple[str, dict[str, float]]]:
    """Validate the shipped network with one evaluation and more."""
    network = load_network(exposure.WEIGHTS)
    assert isinstance(network, ExposureNetwork)
    for name, walk in WALKS.items():
        yield name, validate(lambda *a, w=walk: exposure.denoise_with(network, *a, w), cases)


def train_variants(
    photographs: Sequence[Photograph], home: Path, steps: int
) -> Iterator[tuple[str, dict[str, float]]]:
    """Train each variant for `steps` at a rate that falls to zero, and validate it."""
    plan = replace(find_task("exposure").plan, batch=4, side=64)
    for name, options in VARIANTS.items():
        folder = home / name.replace(" ", "-")
        resume = (folder / "state.pt").is_file()
        own = replace(plan, options=options)
        run = Run(own, photographs, folder, resume, home / "cache", weights=None if resume else mmse.WEIGHTS)
        run.begin_cooldown(steps)
        while not run.finished():
            run.step()
        run.save()
        yield name, run.look()


def show(heading: str, rows: Iterator[tuple[str, dict[str, float]]]) -> None:
    """Print a table as its rows come."""
    print(f"| {heading} | " + " | ".join(CONDITIONS) + " |\n" + "|---" * (len(CONDITIONS) + 1) + "|")
    for name, found in rows:
        print(f"| {name} | " + " | ".join(f"{found[key]:.2f}" for key in CONDITIONS) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, help="folder of the short runs; none are made without")
    parser.add_argument("--photos", type=Path, default=Path("training/photographs.json"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    photographs = list_photographs(asked.photos)
    show("steps", ask_often(build_cases([p for p in photographs if p.held_out])))
    if asked.out is None:
        return
    print()
    show(f"after {asked.steps} steps", train_variants(photographs, asked.out, asked.steps))


if __name__ == "__main__":
    main()
