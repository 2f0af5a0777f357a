"""The wavelet enhancer by itself: what the walk adds, how much the seed decides, what a large picture costs.

    python -m benchmarks.wavelet lights --photos training/photographs.json
    python -m benchmarks.wavelet seeds --photos training/photographs.json
    python -m benchmarks.wavelet cost --megapixels 12

`lights` are the figures of the training log (held-out photographs in four fixed lights), for the shipped
network, for other numbers of steps, and for the picture as it came. `seeds` is the spread of PSNR that
another seed makes: the published figure is 0.001 dB after training through the roll-out.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from rawdiff.diffusion.sampler import seeded_noise
from rawdiff.enhance.apply import plan_bands, settle
from rawdiff.enhance.carry import encode_light
from rawdiff.enhance.survey import survey_picture
from rawdiff.enhance.wavelet import WEIGHTS, WaveletDiffusion, luminance, relight
from rawdiff.networks.relight import WaveletRelight
from rawdiff.networks.weights import load_network
from rawdiff.report.metrics import psnr
from rawdiff.train.photographs import list_photographs
from rawdiff.train.relight_validation import LightCase, build_light_cases, look_at_light

STEPS = (1, 2, 4, 10)
SEEDS = 10


def run_lights(network: WaveletRelight, cases: Sequence[LightCase]) -> None:
    """Print PSNR by light for several numbers of steps."""
    rows = [("as it came", look_at_light(WaveletRelight(), cases))]
    trained = network.steps
    for steps in sorted({*STEPS, trained}):
        network.steps = steps
        rows.append((f"{steps} steps" + " (shipped)" * (steps == trained), look_at_light(network, cases)))
    network.steps = trained
    keys = list(rows[0][1])
    print("| PSNR dB | " + " | ".join(keys) + " |\n" + "|---" * (len(keys) + 1) + "|")
    for name, found in rows:
        print(f"| {name} | " + " | ".join(f"{found[key]:.2f}" for key in keys) + " |")


def run_seeds(network: WaveletRelight, cases: Sequence[LightCase]) -> None:
    """Print the standard deviation of PSNR over seeds, mean and largest over the cases."""
    spreads = []
    for case in cases:
        right = luminance(case.normal).mean() / luminance(case.dark).mean()
        encoded, truth = encode_light(case.dark * right), encode_light(case.normal)
        found = []
        for seed in range(SEEDS):
            with torch.inference_mode():
                lit = (relight(network, encoded, seeded_noise(seed)).picture + 1) / 2
            found.append(psnr(lit.clamp(0, 1), truth))
        spreads.append(statistics.stdev(found))
    print(
        f"spread of PSNR over {SEEDS} seeds: mean {statistics.mean(spreads):.4f}, most {max(spreads):.4f} dB"
    )


def run_cost(network: WaveletRelight, megapixels: float) -> None:
    """Print seconds per megapixel and the largest memory, for a 3:2 picture."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    picture = 0.02 * torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    began, worked = time.perf_counter(), time.process_time()
    light = settle(WaveletDiffusion(network), survey_picture(picture), (height, width))
    surveyed = time.perf_counter() - began
    for top, bottom in plan_bands(height, width):
        light.apply(picture[:, max(top - light.halo, 0) : bottom + light.halo], top, bottom)
    took, work = time.perf_counter() - began, time.process_time() - worked
    size = height * width / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{size:.1f} MP, {torch.get_num_threads()} threads: survey {surveyed:.2f} s, {took / size:.2f} s/MP, "
        f"{work / size:.2f} CPU s/MP, at most {most:.2f} GB with the picture"
    )


def main() -> None:
    """Run the part that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("lights", "seeds", "cost"))
    parser.add_argument("--photos", type=Path, default=Path("training/photographs.json"))
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--limit", type=int, default=0, help="the first N held-out photographs only")
    chosen = parser.parse_args()
    network = load_network(chosen.weights)
    assert isinstance(network, WaveletRelight)
    if chosen.part == "cost":
        run_cost(network, chosen.megapixels)
        return
    held_out = [photograph for photograph in list_photographs(chosen.photos) if photograph.held_out]
    cases = build_light_cases(held_out[: chosen.limit or None])
    (run_lights if chosen.part == "lights" else run_seeds)(network, cases)


if __name__ == "__main__":
    main()
