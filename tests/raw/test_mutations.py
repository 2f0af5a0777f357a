"""A small version of benchmarks/mutate_raws.py: damaged real files cost one clear error, or still read."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

COUNT = 72  # six files, six kinds of damage, twice


@pytest.fixture(scope="module")
def mutate_raws() -> ModuleType:
    place = Path(__file__).resolve().parents[2] / "benchmarks" / "mutate_raws.py"
    spec = importlib.util.spec_from_file_location("mutate_raws", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate_raws"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.shared_data
def test_damaged_files_cost_one_clear_error(shared_data: Path, mutate_raws: ModuleType) -> None:
    outcomes = list(mutate_raws.run_mutations(shared_data / "raw", list(range(COUNT)), 7, "read", 30.0))
    assert [vars(outcome) for outcome in outcomes if outcome.fault] == []
    assert len({outcome.file for outcome in outcomes}) == 6
    refused = sum(outcome.verdict != "read" for outcome in outcomes)
    assert refused > COUNT / 4  # most damage to tags and length is noticed
