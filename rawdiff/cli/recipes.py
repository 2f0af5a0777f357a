"""`rawdiff recipes`: the ways to denoise, and whose they are."""

from __future__ import annotations

from typing import Annotated

import typer

from rawdiff.cli.console import Speaker
from rawdiff.recipes.catalog import RECIPES


def recipes(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")] = False,
) -> None:
    """List the recipes."""
    speaker = Speaker(as_json)
    for recipe in RECIPES.values():
        record = {"name": recipe.name, "title": recipe.title, "citation": recipe.citation}
        speaker.result(record, f"{recipe.name:16} {recipe.title}\n{'':16} {recipe.citation}")
