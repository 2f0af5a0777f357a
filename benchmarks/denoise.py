"""What a recipe costs on one frame: seconds per megapixel and peak memory, tiles as `process` cuts them.

    python -m benchmarks.denoise [--megapixels 12] [--threads 2] [--runs 5] [--recipe mmse] [--json FILE]

Medians of several runs on simulated dark planes; the copy bandwidth of the machine is measured beside them,
since a time means nothing without it. Read and unpacking of files are not part of it (`benchmarks.process`).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from rawdiff.recipes.catalog import RECIPES, Recipe
from rawdiff.tiles import plan_tiles

GAIN, SIGMA = torch.full((4,), 4 / 15871), torch.full((4,), 4.1 / 15871)


def dark_planes(height: int, width: int) -> torch.Tensor:
    """Packed planes of smooth light between 0 and 40 electrons with their noise."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.linspace(0, 9, height).sin().add(1)[:, None]
    columns = torch.linspace(0, 7, width).cos().add(1)[None, :]
    electrons = (10 * rows * columns).expand(4, height, width)
    counts = torch.poisson(electrons, generator=generator)
    return GAIN.view(4, 1, 1) * counts + SIGMA.view(4, 1, 1) * torch.randn(counts.shape, generator=generator)


def run_once(recipe: Recipe, planes: torch.Tensor, tile: int) -> tuple[float, float]:
    """Wall and CPU seconds of denoising the planes in tiles."""
    began, spent = time.perf_counter(), time.process_time()
    out = torch.empty_like(planes)
    _, height, width = planes.shape
    for part in plan_tiles(height, width, tile, recipe.halo, recipe.align):
        clean = recipe.denoise(planes[(slice(None), *part.outer)], GAIN, SIGMA, 1.0, 1.0)
        out[(slice(None), *part.inner)] = clean[(slice(None), *part.inner_in_outer)]
    return time.perf_counter() - began, time.process_time() - spent


def copy_bandwidth() -> float:
    """GB/s of copying 256 MB, read and written, best of five."""
    source = torch.zeros(64 * 1024 * 1024)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        target.copy_(source)
        best = max(best, 2 * source.numel() * 4 / (time.perf_counter() - began) / 1e9)
    return best


def measure(recipe: Recipe, megapixels: float, tile: int, runs: int) -> dict[str, Any]:
    """Medians over `runs` after one warm-up."""
    width = int((megapixels * 1e6 / 4 * 4 / 3) ** 0.5) // 2 * 2
    planes = dark_planes(width * 3 // 4, width)
    size = 4 * planes.shape[1] * planes.shape[2] / 1e6
    run_once(recipe, planes[:, :256, :256], tile)
    times = [run_once(recipe, planes, tile) for _ in range(runs)]
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
    parser.add_argument("--tile", type=int, help="side in packed pixels; the recipe's own unless given")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bandwidth = copy_bandwidth()
    print(f"copy bandwidth {bandwidth:.1f} GB/s, {options.threads} threads")
    rows = []
    for name in options.recipe:
        recipe = RECIPES[name]
        rows.append(measure(recipe, options.megapixels, options.tile or recipe.tile, options.runs))
        row = rows[-1]
        print(
            f"{name:16} {row['megapixels']:6.1f} MP  tile {row['tile']:5}  {row['wall_s_per_mp']:.3f} s/MP  "
            f"cpu {row['cpu_s_per_mp']:.3f} s/MP  peak {row['peak_mb']:.0f} MB so far"
        )
    if options.json:
        options.json.write_text(json.dumps({"copy_gb_per_s": bandwidth, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
