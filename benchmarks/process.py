"""What `rawdiff process` costs: CPU seconds per megapixel and peak memory, on simulated DNGs of given sizes.

    python -m benchmarks.process [--megapixels 12 100] [--recipe NAME] [--enhance NAME] [--runs 3]
                                 [--json FILE]

Whole commands are measured from outside, start-up and decoding child included.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rawdiff.raw.dng import write_cfa_dng
from rawdiff.raw.frame import Levels
from rawdiff.simulate.burst import BurstPlan, frame_tags
from rawdiff.simulate.cameras import find
from rawdiff.simulate.capture import capture
from rawdiff.simulate.scene import load_photograph, mosaic, to_camera_rgb

PHOTOGRAPH = Path(__file__).parent / "photographs" / "friends.jpg"
_BAND = 512


def write_large_dng(
    path: Path, megapixels: float, seed: int = 0, shift: tuple[int, int] = (0, 0)
) -> tuple[int, int]:
    """Write a dark DNG of about so many megapixels: the photograph mirrored into rows and columns.

    `shift` moves the view by so many cells down and across.
    """
    camera, plan = find("SonyA7S2"), BurstPlan(find("SonyA7S2"), 3200, 100)
    noise = camera.noise_model(plan.iso)
    tile = mosaic(to_camera_rgb(load_photograph(PHOTOGRAPH), camera)[:, :1024, :1024])
    double = torch.cat([tile, tile.flip(0)], 0)
    double = torch.cat([double, double.flip(1)], 1)
    height = int((megapixels * 1e6 * 0.75) ** 0.5) // 4 * 4
    width = int(megapixels * 1e6 / height) // 4 * 4
    generator = torch.Generator().manual_seed(seed)
    image = np.empty((height, width), np.uint16)
    columns = (torch.arange(width) + 2 * shift[1]) % double.shape[1]
    for top in range(0, height, _BAND):
        rows = (torch.arange(top, min(top + _BAND, height)) + 2 * shift[0]) % double.shape[0]
        clean = double[rows][:, columns]
        dn = capture(clean, noise, camera.black_dn, camera.white_dn, plan.ratio, generator)
        image[top : top + dn.shape[0]] = dn.numpy().astype(np.uint16)
    levels = Levels(np.full((2, 2), camera.black_dn), np.full((2, 2), camera.white_dn))
    write_cfa_dng(
        path, image, levels=levels, phase="RGGB", tags=frame_tags(plan, 0, noise), noise=noise, overwrite=True
    )
    return height, width


def run_measured(arguments: list[str]) -> dict[str, float]:
    """Run a command; return its CPU seconds, wall seconds and peak resident memory in MB."""
    program = str(Path(sys.executable).parent / "rawdiff")
    silent = os.open(os.devnull, os.O_WRONLY)
    started = os.times().elapsed
    actions = [(os.POSIX_SPAWN_DUP2, silent, 1), (os.POSIX_SPAWN_DUP2, silent, 2)]
    child = os.posix_spawn(program, [program, *arguments], os.environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    os.close(silent)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"rawdiff {' '.join(arguments)} failed with {os.waitstatus_to_exitcode(status)}")
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": os.times().elapsed - started,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def measure(megapixels: float, recipe: str, runs: int, extra: list[str]) -> dict[str, Any]:
    """Medians over `runs` of processing one frame to JPEG, and the cost beyond start-up per megapixel."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        height, width = write_large_dng(folder / "frame.dng", megapixels)
        size = height * width / 1e6
        command = ["process", str(folder / "frame.dng"), "-o", str(folder / "out"), "--recipe", recipe]
        command += ["--overwrite", *extra]
        results = [run_measured(command) for _ in range(runs)]
    median = {key: statistics.median(result[key] for result in results) for key in results[0]}
    return {
        "megapixels": size,
        "recipe": recipe,
        "options": extra,
        **median,
        "cpu_s_per_mp": median["cpu_s"] / size,
        "wall_s_per_mp": median["wall_s"] / size,
    }


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12.0])
    parser.add_argument("--recipe", default="auto")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--max-memory", default=None)
    parser.add_argument("--format", default="jpeg")
    parser.add_argument("--enhance", default=None)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    extra = ["--format", options.format]
    extra += ["--max-memory", options.max_memory] if options.max_memory else []
    extra += ["--enhance", options.enhance] if options.enhance else []
    rows = [measure(size, options.recipe, options.runs, extra) for size in options.megapixels]
    print("   MP  recipe            CPU s  CPU s/MP  wall s/MP  peak MB")
    for row in rows:
        print(
            f"{row['megapixels']:5.1f}  {row['recipe']:16} {row['cpu_s']:6.1f} {row['cpu_s_per_mp']:9.3f}"
            f" {row['wall_s_per_mp']:10.3f} {row['peak_mb']:8.0f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
