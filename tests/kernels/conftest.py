"""One process each for the interpreter and the ahead-of-time compiler, whatever the number of ops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def _report(script: str, **environment: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(HERE / script)],
        capture_output=True, text=True, check=False, env=os.environ | environment, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def interpreted() -> list[dict[str, Any]]:
    """What the Triton interpreter computed for every case of every op."""
    pytest.importorskip("triton")
    return _report("interpret_gpu.py", TRITON_INTERPRET="1", OMP_NUM_THREADS="1")


@pytest.fixture(scope="session")
def compiled() -> list[dict[str, Any]]:
    """What the compilers say about every kernel for every target."""
    pytest.importorskip("triton")
    return _report("compile_gpu.py", TRITON_INTERPRET="0")
