"""BM3D as a peer of `rawdiff evaluate denoise`: both stages, on each stabilised plane, at noise 1.

    python -m venv bm3d-venv && bm3d-venv/bin/pip install bm3d
    rawdiff evaluate denoise --photos training/photographs.json \\
        --peer "bm3d=bm3d-venv/bin/python benchmarks/peers/bm3d_peer.py --cache bm3d-cache"

The package `bm3d` (Dabov, Foi, Katkovnik and Egiazarian, TIP 2007; Makinen, Azzari and Foi, TIP 2020) is for
non-commercial use and no dependency of rawdiff: it runs in an environment of its own, by the protocol that
`rawdiff/report/peers.py` describes. Its answers are kept in `--cache`, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

import bm3d
import numpy as np


def denoise(stabilised: np.ndarray) -> tuple[np.ndarray, float]:
    """Denoise planes `[4, h, w]` of unit noise; return them and the CPU seconds it took."""
    began = time.process_time()
    clean = np.stack([bm3d.bm3d(plane, 1.0) for plane in stabilised])
    return clean.astype(np.float32), time.process_time() - began


def main() -> None:
    """Answer frames until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder of answers")
    cache = parser.parse_args().cache
    cache.mkdir(parents=True, exist_ok=True)
    for line in sys.stdin:
        source, target = line.split()
        with np.load(source) as frame:
            planes, stabilised = frame["planes"], frame["stabilised"]
        # Known by what was captured: the transform may differ in a last digit from one version to the next.
        kept = cache / f"{hashlib.sha256(planes.tobytes()).hexdigest()[:16]}.npz"
        if not kept.is_file():
            clean, seconds = denoise(stabilised)
            beside = kept.with_suffix(".part.npz")
            np.savez(beside, stabilised=clean, seconds=seconds)
            os.replace(beside, kept)
        with np.load(kept) as answer:
            np.savez(target, stabilised=answer["stabilised"])
            print(float(answer["seconds"]), flush=True)


if __name__ == "__main__":
    main()
