"""Run every op's Triton kernels under the interpreter against the references; one JSON line per case.

A process of its own: Triton reads TRITON_INTERPRET when a kernel is defined.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import torch
from rawdiff_kernels import launch, routes
from rawdiff_kernels.testing import load_cases

CASES = Path(__file__).parent / "cases"


def main(ops: list[str]) -> int:
    """Compare the given ops, or all."""
    if not launch.interpreted():
        sys.stderr.write("set TRITON_INTERPRET=1\n")
        return 2
    torch.set_num_threads(1)
    for op in ops or routes.OPS:
        for case in load_cases(CASES, op):
            if "gpu" not in case.routes:
                continue
            try:
                problem = case.disagreement("gpu", torch.device("cpu"))
            except Exception:  # the report names the case and shows the traceback, and the others go on
                problem = traceback.format_exc()
            sys.stdout.write(json.dumps({"op": op, "case": case.name, "problem": problem}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
