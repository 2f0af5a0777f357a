"""Train the quadruple-prior enhancer with one thing left out at a time, all equally long.

The networks are a quarter as wide as the shipped one, so that a sitting is enough for all of them; what
they tell is the differences. `rawdiff evaluate enhance --ablate DIR` compares what this leaves in DIR.

    python -m benchmarks.ablate_quadprior -o DIR [--steps 1000] [--photos training/photographs.json]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from rawdiff.train.loop import Run
from rawdiff.train.photographs import list_photographs
from rawdiff.train.tasks import find_task

VARIANTS: dict[str, tuple[tuple[str, bool], ...]] = {
    "all": (),
    "no-H": (("hue", False),),
    "no-C": (("chroma", False),),
    "no-W": (("edges", False),),
    "no-O": (("order", False),),
    "no-contrast": (("contrast", False),),
    "no-L_z0": (("z0_loss", False),),
    "no-bypass": (("bypass", False),),
    "no-hint-noise": (("hint_noise", False),),
    "no-hint-light": (("hint_light", False),),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--photos", type=Path, default=Path("training/photographs.json"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    photographs = list_photographs(asked.photos)
    small = replace(find_task("quadprior").plan, widths=(12, 24, 32, 48), batch=6)
    for name, options in VARIANTS.items():
        target = asked.out / f"{name}.safetensors"
        if target.exists():
            continue
        run = Run(replace(small, options=options), photographs, asked.out / name, cache=asked.out / "cache")
        run.begin_cooldown(asked.steps)
        while not run.finished():
            run.step()
        run.write_weights().replace(target)
        print(name, run.look(), flush=True)


if __name__ == "__main__":
    main()
