"""What laying one more frame on a burst costs: CPU seconds per megapixel to align and to merge it.

    python -m benchmarks.burst --stages [--megapixels 12] [--frames 8]

That command writes the frames and runs this module on them in a process of its own, whose OpenMP threads
sleep while they wait, as those of `rawdiff` do.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from rawdiff_kernels.native.allocator import tune_allocator

from rawdiff.burst.align import CLIP, align_frame
from rawdiff.burst.merge import Merge
from rawdiff.pipeline.burst_frames import measure_grey, measure_light, read_shot
from rawdiff.pipeline.config import ProcessConfig


def measure(paths: list[Path]) -> dict[str, float]:
    """Medians over the frames after the first, which the others are laid on."""
    config = ProcessConfig()
    reference = read_shot(paths[0], config)
    light = measure_light(reference, reference)
    ours, merge = measure_grey(light, light, CLIP), Merge(light)
    spent: dict[str, list[float]] = {"align": [], "merge": []}
    for path in paths[1:]:
        frame = measure_light(read_shot(path, config), reference)
        began = time.process_time()
        field = align_frame(ours, measure_grey(frame, light, CLIP)).field
        aligned = time.process_time()
        merge.add(frame, field)
        spent["align"].append(aligned - began)
        spent["merge"].append(time.process_time() - aligned)
    megapixels = light.planes.numel() / 1e6
    return {stage: statistics.median(seconds) / megapixels for stage, seconds in spent.items()}


if __name__ == "__main__":
    tune_allocator()
    print(json.dumps(measure([Path(word) for word in sys.argv[1:]])))
