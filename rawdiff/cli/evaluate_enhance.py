"""`rawdiff evaluate enhance`: the parts of that suite, and how their tables are said and kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rawdiff.errors import ConfigurationError
from rawdiff.recipes.catalog import find_recipe
from rawdiff.report.enhance_ablation import run_ablation, tabulate_ablation
from rawdiff.report.enhance_invariance import run_invariance, tabulate_invariance
from rawdiff.report.enhance_methods import choose_enhancers, choose_methods
from rawdiff.report.enhance_pictures import find_cases, run_pictures, tabulate_pictures
from rawdiff.report.enhance_raw import run_raw, tabulate_raw
from rawdiff.report.enhance_text import run_text, tabulate_text
from rawdiff.report.tables import Table, join_markdown
from rawdiff.train.photographs import Photograph, list_photographs


@dataclass(frozen=True)
class EnhanceRequest:
    """What was asked of the suite.

    Attributes:
        photos: folder of pictures, or a photographs.json; the OCR renders scenes of its own.
        part: which of its parts.
        methods: names of enhancers, all that can run where empty.
        limit: the first N pictures only, 0 for all.
        networks: folder of the networks that an ablation compares.
        recipe: how pictures and mosaics are denoised first; "none" for pictures as they are.
    """

    photos: Path | None
    part: str
    methods: tuple[str, ...]
    limit: int
    networks: Path | None = None
    recipe: str = "mmse"


Found = tuple[list[Table], Any]


def evaluate_enhance(request: EnhanceRequest) -> Found:
    """Run one part; return its tables and everything measured, as JSON values.

    Raises:
        RawdiffError: a choice that cannot be meant, or pictures that cannot be read.
    """
    return _PARTS[request.part](request)


def choose_part(**asked: bool) -> str:
    """The one part that was asked for; pairs where none was.

    Raises:
        ConfigurationError: more than one.
    """
    chosen = [name for name, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise ConfigurationError(f"one part at a time, not {' and '.join(f'--{name}' for name in chosen)}")
    return chosen[0] if chosen else "pictures"


def show_tables(found: Found, json_file: Path | None, markdown: Path | None, as_json: bool) -> None:
    """Print the tables, and keep them where that was asked."""
    tables, measured = found
    record = {"tables": [table.as_json() for table in tables], "measured": measured}
    if json_file is not None:
        json_file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if markdown is not None:
        markdown.write_text(join_markdown(tables), encoding="utf-8")
    print(json.dumps(record) if as_json else "\n\n".join(table.as_text() for table in tables))


def tell(case: str) -> None:
    """Say on stderr what is being worked on."""
    print(case, file=sys.stderr)


def need_photographs(photos: Path | None) -> Path:
    """Where the photographs are.

    Raises:
        ConfigurationError: it was not said.
    """
    if photos is None:
        raise ConfigurationError("this suite needs photographs", hint="--photos FOLDER")
    return photos


def held_out(request: EnhanceRequest) -> list[Photograph]:
    """Photographs that nothing was trained on; of a plain folder all."""
    listed = list_photographs(need_photographs(request.photos))
    chosen = [p for p in listed if p.held_out] or listed
    return chosen[: request.limit] if request.limit > 0 else chosen


def _invariance(request: EnhanceRequest) -> Found:
    found = run_invariance(held_out(request), choose_methods(request.methods), tell)
    return tabulate_invariance(found), [asdict(row) for row in found]


def _ablation(request: EnhanceRequest) -> Found:
    if request.networks is None:
        raise ConfigurationError("an ablation compares the networks of a folder", hint="--ablate DIR")
    photographs = held_out(request)
    figures = run_ablation(photographs, request.networks, tell)
    return tabulate_ablation(figures, len(photographs)), figures


def _pictures(request: EnhanceRequest) -> Found:
    cases = find_cases(need_photographs(request.photos))
    recipe = None if request.recipe == "none" else find_recipe(request.recipe)
    cases = cases[: request.limit] if request.limit > 0 else cases
    scores = run_pictures(cases, choose_methods(request.methods), recipe, tell)
    return tabulate_pictures(scores), [score.as_json() for score in scores]


def _raw(request: EnhanceRequest) -> Found:
    recipe, enhancers = find_recipe(request.recipe), choose_enhancers(request.methods)
    scores = run_raw(held_out(request), enhancers, recipe, on_case=tell)
    return tabulate_raw(scores), [score.as_json() for score in scores]


def _ocr(request: EnhanceRequest) -> Found:
    readings = run_text(choose_enhancers(request.methods), find_recipe(request.recipe), tell)
    return tabulate_text(readings), [reading.as_json() for reading in readings]


_PARTS: dict[str, Callable[[EnhanceRequest], Found]] = {
    "pictures": _pictures,
    "invariance": _invariance,
    "raw": _raw,
    "ocr": _ocr,
    "ablate": _ablation,
}
