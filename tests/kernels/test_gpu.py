"""Triton without a GPU: every kernel agrees under the interpreter and compiles without spills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rawdiff_kernels import routes
from rawdiff_kernels.testing import AgreementCase, load_cases

CASES = Path(__file__).parent / "cases"
ALL = [(op, case) for op in routes.OPS for case in load_cases(CASES, op) if "gpu" in case.routes]


@pytest.mark.parametrize("op", routes.OPS)
def test_every_kernel_agrees_with_its_reference_under_the_interpreter(
    op: str, interpreted: list[dict[str, Any]]
) -> None:
    lines = [line for line in interpreted if line["op"] == op]
    assert len(lines) == sum(1 for name, _ in ALL if name == op) > 0
    assert [f"{line['case']}: {line['problem']}" for line in lines if line["problem"]] == []


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "gfx942"])
@pytest.mark.parametrize("op", routes.OPS)
def test_every_kernel_compiles_without_spilling_a_register(
    op: str, target: str, compiled: list[dict[str, Any]]
) -> None:
    lines = [line for line in compiled if line["op"] == op and line["target"] == target]
    assert lines, "no kernel was compiled"
    assert [line for line in lines if line.get("problem") or line["spills"] != 0] == []
    assert all(0 < line["registers"] <= 255 for line in lines)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize(
    ("op", "case"), [pytest.param(*pair, id=f"{pair[0]}: {pair[1].name}") for pair in ALL]
)
def test_every_kernel_agrees_with_its_reference_on_the_gpu(op: str, case: AgreementCase) -> None:
    assert case.disagreement("gpu", torch.device("cuda")) is None
