"""What writing a finished photograph costs: CPU seconds, memory beyond the input, and size, per format.

    python -m benchmarks.outputs [--megapixels 12] [--json FILE]

Each format is written in a process of its own, so that its peak memory is its own. The picture is a smooth
ramp with noise of a hundredth of the range: compressors get neither an empty nor a hopeless task.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rawdiff.raw.dng import write_cfa_dng, write_linear_dng
from rawdiff.raw.frame import FrameTags, Levels
from rawdiff.raw.pictures import write_jpeg, write_tiff16

LEVELS = Levels(np.full((2, 2), 512.0), np.full((2, 2), 16383.0))
TAGS = FrameTags(orientation=6)


def make_ramp(height: int, width: int, seed: int = 1) -> NDArray[np.float32]:
    """`[H, W]` in 0..1, seeded."""
    image = np.random.default_rng(seed).standard_normal((height, width), dtype=np.float32)
    image /= 100
    image += np.linspace(0.1, 0.9, width, dtype=np.float32)
    return np.clip(image, 0, 1, out=image)


def linear_image(height: int, width: int) -> NDArray[np.float32]:
    image = np.empty((3, height, width), np.float32)
    for color in range(3):
        image[color] = make_ramp(height, width, color)
    return image


def picture(height: int, width: int, white: int, kind: type[np.generic]) -> NDArray[np.generic]:
    image = np.empty((height, width, 3), kind)
    for color in range(3):
        image[..., color] = (make_ramp(height, width, color) * white).astype(kind)
    return image


def mosaic(height: int, width: int) -> NDArray[np.float32]:
    return make_ramp(height, width) * np.float32(15871) + np.float32(512)


FORMATS: dict[
    str, tuple[Callable[[int, int], NDArray[np.generic]], Callable[[Path, NDArray[np.generic]], None]]
]
FORMATS = {
    "cfa-dng": (mosaic, lambda p, a: write_cfa_dng(p, a, **_cfa())),
    "cfa-dng-jxl": (mosaic, lambda p, a: write_cfa_dng(p, a, compression="jxl", **_cfa())),
    "linear-dng": (linear_image, lambda p, a: write_linear_dng(p, a, TAGS)),
    "linear-dng-f16": (linear_image, lambda p, a: write_linear_dng(p, a, TAGS, encoding="f16-deflate")),
    "linear-dng-jxl": (linear_image, lambda p, a: write_linear_dng(p, a, TAGS, encoding="jxl")),
    "jpeg": (lambda h, w: picture(h, w, 255, np.uint8), lambda p, a: write_jpeg(p, a, tags=TAGS)),
    "tiff": (lambda h, w: picture(h, w, 65535, np.uint16), lambda p, a: write_tiff16(p, a, tags=TAGS)),
    "tiff-strips": (lambda h, w: picture(h, w, 65535, np.uint16), lambda p, a: _write_strips(p, a)),
}


def _cfa() -> dict[str, object]:
    return {"levels": LEVELS, "phase": "RGGB", "tags": TAGS, "full_range": True}


def _write_strips(path: Path, image: NDArray[np.generic]) -> None:
    strips = (image[top : top + 200] for top in range(0, image.shape[0], 200))
    write_tiff16(path, strips, size=image.shape[:2])


def measure(name: str, megapixels: float) -> dict[str, float | str]:
    """Write one format once; runs in a process of its own."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5 / 2) * 2
    height = round(megapixels * 1e6 / width / 2) * 2
    make, write = FORMATS[name]
    image = make(height, width)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        before = _forget_peak()
        start = time.process_time()
        write(path, image)
        cpu = time.process_time() - start
        beyond = _memory_mb("VmHWM") - before
        size = path.stat().st_size
    pixels = height * width / 1e6
    return {
        "format": name,
        "megapixels": round(pixels, 2),
        "cpu_s_per_mp": round(cpu / pixels, 4),
        "memory_beyond_input_mb": round(beyond, 1),
        "size_mb_per_mp": round(size / 2**20 / pixels, 2),
    }


def _forget_peak() -> float:
    """Set the peak of this process's memory to what it holds now (Linux), and return that in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory_mb("VmRSS")


def _memory_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    spawn = multiprocessing.get_context("spawn")
    for name in FORMATS:
        with spawn.Pool(1) as pool:
            results.append(pool.apply(measure, (name, options.megapixels)))
        print("{format:15s} {cpu_s_per_mp:7.3f} CPU s/MP {memory_beyond_input_mb:7.1f} MB beyond the input "
              "{size_mb_per_mp:6.2f} MB/MP".format(**results[-1]))  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
