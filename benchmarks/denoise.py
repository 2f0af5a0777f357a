"""What a recipe costs on one frame: seconds per megapixel and peak memory, tiles as `process` cuts them.

    python -m benchmarks.denoise [--megapixels 12] [--threads 2] [--runs 5] [--recipe mmse] [--json FILE]

Medians of several runs on a simulated dark frame, from the mosaic to the clean mosaic, with the threads and
the allocator of `process`; the copy bandwidth of the machine is measured beside them, since a time means
nothing without it. Files are not part of it (`benchmarks.process`).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rawdiff_calibration.noise import NoiseModel

from rawdiff.pipeline.config import ProcessConfig, parse_bytes
from rawdiff.pipeline.denoise import denoise_frame
from rawdiff.pipeline.device import settle_machine
from rawdiff.pipeline.memory import fit_tile
from rawdiff.raw.frame import FrameTags, Levels, RawFrame, Source
from rawdiff.recipes.catalog import RECIPES, Recipe

NOISE = NoiseModel.uniform(4.0, 4.0)
BLACK_DN, WHITE_DN = 512.0, 16383.0


def dark_frame(height: int, width: int) -> RawFrame:
    """A mosaic of smooth light between 0 and 40 electrons with its noise."""
    rng = np.random.default_rng(0)
    across = np.cos(np.linspace(0, 7, width, dtype=np.float32)) + 1
    mosaic = np.empty((height, width), np.float32)
    for row, light in enumerate(np.sin(np.linspace(0, 9, height, dtype=np.float32)) + 1):
        counts = rng.poisson(10 * light * across)
        mosaic[row] = BLACK_DN + 4 * counts + 4 * rng.standard_normal(width, dtype=np.float32)
    levels = Levels(np.full((2, 2), BLACK_DN), np.full((2, 2), WHITE_DN))
    return RawFrame(np.rint(mosaic), "RGGB", levels, FrameTags(), Source(Path("dark"), "0" * 64, "simulated"))


def run_once(recipe: Recipe, frame: RawFrame, tile: tuple[int, int]) -> tuple[float, float]:
    """Wall and CPU seconds of denoising the frame in tiles."""
    began, spent = time.perf_counter(), time.process_time()
    denoise_frame(frame, NOISE, recipe, 1.0, tile=tile)
    return time.perf_counter() - began, time.process_time() - spent


def copy_bandwidth() -> float:
    """GB/s of copying 32 MB, read and written, best of ten."""
    source = torch.zeros(8 * 1024 * 1024)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(10):
        began = time.perf_counter()
        target.copy_(source)
        best = max(best, 2 * source.numel() * 4 / (time.perf_counter() - began) / 1e9)
    return best


def measure(recipe: Recipe, megapixels: float, config: ProcessConfig, runs: int) -> dict[str, Any]:
    """Medians over `runs` after a warm-up on a corner."""
    width = int((megapixels * 1e6 * 4 / 3) ** 0.5) // 4 * 4
    frame = dark_frame(width * 3 // 4 // 2 * 2, width)
    size = frame.mosaic_dn.size / 1e6
    tile = fit_tile(frame.shape, recipe, config)
    run_once(recipe, dark_frame(256, 256), (128, 128))
    times = [run_once(recipe, frame, tile) for _ in range(runs)]
    return {
        "recipe": recipe.name,
        "megapixels": size,
        "tile": tile,
        "wall_s_per_mp": statistics.median(wall for wall, _ in times) / size,
        "cpu_s_per_mp": statistics.median(cpu for _, cpu in times) / size,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--recipe", choices=sorted(RECIPES), nargs="+", default=sorted(RECIPES))
    parser.add_argument("--tile", type=int, help="side in mosaic pixels; what suits the recipe unless given")
    parser.add_argument("--max-memory", type=parse_bytes, help="such as 2GB")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    config = ProcessConfig(tile=options.tile, max_memory_bytes=options.max_memory)
    settle_machine(config, options.threads)
    bandwidth = copy_bandwidth()
    print(f"copy bandwidth {bandwidth:.1f} GB/s, {options.threads} threads")
    rows = []
    for name in options.recipe:
        rows.append(measure(RECIPES[name], options.megapixels, config, options.runs))
        row = rows[-1]
        print(
            f"{name:16} {row['megapixels']:6.1f} MP  tiles {row['tile'][0]}x{row['tile'][1]}"
            f"  {row['wall_s_per_mp']:.3f} s/MP  cpu {row['cpu_s_per_mp']:.3f} s/MP"
            f"  peak {row['peak_mb']:.0f} MB so far"
        )
    if options.json:
        options.json.write_text(json.dumps({"copy_gb_per_s": bandwidth, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
