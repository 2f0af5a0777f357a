"""What every Triton kernel shares: its cost, its block sizes, its specimens for ahead-of-time compilation.

Triton itself is imported by the `gpu.py` files only, and those only when the GPU route is looked at.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

Blocks = tuple[int, int, int]
"""Rows and columns of the tile that one program works on, and its number of warps."""


@dataclass(frozen=True)
class Cost:
    """What one call must move and compute at the least: the roofline of the op.

    Attributes:
        bytes: bytes read plus bytes written, each tensor once.
        operations: floating-point operations.
    """

    bytes: int
    operations: int


@dataclass(frozen=True)
class Specimen:
    """One kernel with the types it is compiled for when no GPU is at hand.

    Attributes:
        name: a name for reports.
        kernel: the `@triton.jit` function (or its autotuner).
        signature: argument name to Triton type ("*fp32", "i64", "fp32", ...), without the constants.
        constants: `tl.constexpr` arguments.
        warps: warps per program.
    """

    name: str
    kernel: Any
    signature: Mapping[str, str]
    constants: Mapping[str, Any] = field(default_factory=dict)
    warps: int = 4


def interpreted() -> bool:
    """Say whether Triton kernels run under its interpreter, on CPU tensors (TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def load(op: str) -> ModuleType:
    """Import the Triton route of an op, with fused multiply-add off unless the user has set it.

    Unfused, a product and a sum round the same way on every route.
    """
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "0")
    return importlib.import_module(f"rawdiff_kernels.{op}.gpu")


def block_sizes(choices: Sequence[Blocks], interpreter: Blocks = (64, 256, 1)) -> tuple[Blocks, ...]:
    """Return the tiles to tune over: `choices` on a GPU, one big tile under the interpreter.

    The interpreter pays about 10 ms for each program, so it gets few and big ones.
    """
    return (interpreter,) if interpreted() else tuple(choices)


def programs(size: int, block: int) -> int:
    """Return how many blocks cover `size`."""
    return -(-size // block)
