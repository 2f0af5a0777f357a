"""What a burst costs: seconds and peak memory of `rawdiff process` from files to JPEG and CFA DNG.

    python -m benchmarks.burst [--megapixels 12] [--frames 8] [--recipe NAME] [--runs 3] [--json FILE]
    python -m benchmarks.burst --megapixels 1.5 3 6 --frames 2 4 8 --plot FILE.svg
    python -m benchmarks.burst --stages

Whole commands are measured from outside, start-up and decoding children included. Frames are shifted by a few
pixels against one another. `--stages` tells what aligning and merging take of each further frame. The plot
shows CPU seconds against frames times megapixels, which is a line where cost is linear in both.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.process import run_measured, write_large_dng
from rawdiff.report.figures import COLORS, Axes, Series, draw_plot


def write_frames(folder: Path, megapixels: float, count: int) -> tuple[list[Path], float]:
    """Write a burst; return its files and the megapixels of a frame."""
    paths, size = [], 0.0
    for index in range(count):
        path = folder / f"frame_{index:03d}.dng"
        height, width = write_large_dng(path, megapixels, seed=index, shift=(7 * index % 11, 5 * index % 13))
        size = height * width / 1e6
        paths.append(path)
    return paths, size


def measure(paths: list[Path], megapixels: float, recipe: str, runs: int) -> dict[str, Any]:
    """Medians over `runs` of one burst to JPEG and CFA DNG."""
    with tempfile.TemporaryDirectory() as name:
        command = ["process", *map(str, paths), "-o", name, "--burst", "one", "--recipe", recipe]
        command += ["--format", "jpeg,dng", "--overwrite"]
        results = [run_measured(command) for _ in range(runs)]
    median = {key: statistics.median(result[key] for result in results) for key in results[0]}
    return {"megapixels": megapixels, "frames": len(paths), "recipe": recipe, **median}


def measure_stages(paths: list[Path]) -> dict[str, float]:
    """CPU seconds per megapixel of a further frame, by stage, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.burst_stages", *map(str, paths)]
    surroundings = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    done = subprocess.run(command, env=surroundings, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw CPU seconds against frames times megapixels, one colour a size."""
    sizes = sorted({row["megapixels"] for row in rows})
    series = []
    for color, size in zip(COLORS, sizes, strict=False):
        mine = sorted((row for row in rows if row["megapixels"] == size), key=lambda row: row["frames"])
        x = [row["frames"] * size for row in mine]
        label = f"{size:.1f} MP"
        series.append(Series(x, [row["cpu_s"] for row in mine], label, color, "line"))
        series.append(Series(x, [row["cpu_s"] for row in mine], "", color))
    path.write_text(draw_plot(series, Axes("frames x megapixels", "CPU seconds")) + "\n")


def main() -> None:
    """Measure, print a table, write JSON and a plot if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[12.0])
    parser.add_argument("--frames", type=int, nargs="+", default=[8])
    parser.add_argument("--recipe", default="auto")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    rows = []
    print("   MP  frames  recipe            CPU s   wall s  peak MB")
    for megapixels in options.megapixels:
        with tempfile.TemporaryDirectory() as name:
            paths, size = write_frames(Path(name), megapixels, max(options.frames))
            for count in options.frames:
                row = measure(paths[:count], size, options.recipe, options.runs)
                rows.append(row)
                print(
                    f"{size:5.1f}  {count:6d}  {row['recipe']:16} {row['cpu_s']:6.1f} {row['wall_s']:8.1f}"
                    f" {row['peak_mb']:8.0f}",
                    flush=True,
                )
            if options.stages:
                found = measure_stages(paths)
                rows[-1] |= found
                words = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in found.items())
                print(f"{size:5.1f}  a further frame, CPU s/MP: {words}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
