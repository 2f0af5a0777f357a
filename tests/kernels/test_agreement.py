"""The compiled CPU route against the reference: every case of every op, every kind of CPU, any threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rawdiff_kernels import native, routes
from rawdiff_kernels.testing import AgreementCase, difference, load_cases

CASES = Path(__file__).parent / "cases"
ALL = [
    pytest.param(op, case, id=f"{op}: {case.name}")
    for op in routes.OPS
    for case in load_cases(CASES, op)
    if "cpu" in case.routes
]
CPU = torch.device("cpu")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("op", "case"), ALL)
def test_the_compiled_route_agrees_with_the_reference(op: str, case: AgreementCase) -> None:
    reason = native.obstacle(op)
    if reason is not None:
        pytest.skip(f"no compiled route: {reason}")
    assert case.disagreement("cpu", CPU) is None


@pytest.mark.parametrize(("op", "case"), ALL)
def test_cpu_kinds_and_thread_counts_give_the_same_bits(op: str, case: AgreementCase, threads: None) -> None:
    if native.obstacle(op) is not None:
        pytest.skip("no compiled route")
    torch.set_num_threads(1)
    with native.use_variant("baseline"):
        expected = case.compute("cpu", CPU)
    torch.set_num_threads(3)
    for variant in native.loadable_variants():
        with native.use_variant(variant):
            actual = case.compute("cpu", CPU)
        for name, tensor in expected.items():
            assert difference(actual[name], tensor, relative=0.0) is None, (variant, name)
