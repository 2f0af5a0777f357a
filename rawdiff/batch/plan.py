"""From what was typed to the list of work: which files, grouped how, giving outputs of which names."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawdiff.errors import ConfigurationError, InputError

RAW_SUFFIXES = frozenset(
    {
        ".3fr",
        ".arw",
        ".cr2",
        ".cr3",
        ".crw",
        ".dcr",
        ".dng",
        ".erf",
        ".fff",
        ".gpr",
        ".iiq",
        ".kdc",
        ".mef",
        ".mos",
        ".mrw",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".raf",
        ".rw2",
        ".rwl",
        ".sr2",
        ".srf",
        ".srw",
        ".x3f",
    }
)


@dataclass(frozen=True)
class WorkItem:
    """One photograph to make: its frames in order, and the stem that its outputs carry."""

    stem: str
    frames: tuple[Path, ...]
    left_out: tuple[tuple[Path, str], ...] = ()
    """Frames that cannot belong, each with the reason."""

    def key(self, choices: dict[str, Any]) -> str:
        """Identity of this piece of work: the files as they are on disk, and every choice made."""
        facts = [(str(path.resolve()), *_size_and_time(path)) for path in self.frames]
        return hashlib.sha256(json.dumps([facts, choices], sort_keys=True).encode()).hexdigest()[:32]


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def find_inputs(arguments: Iterable[str]) -> list[Path]:
    """Expand files, folders and quoted patterns into raw files, each once, in the order given.

    A folder stands for the raw files directly in it, by name. A file is taken whatever its suffix.

    Raises:
        InputError: a name that is nothing, or a folder or a pattern without raw files.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in RAW_SUFFIXES and p.is_file())
            if not inside:
                raise InputError("the folder holds no raw files", where=path)
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            matches = sorted(Path(name) for name in glob.glob(argument, recursive=True))
            if not matches:
                raise InputError("there is no such file", where=argument, hint="check the name")
            found.update(dict.fromkeys(match for match in matches if match.is_file()))
    return list(found)


def one_item_per_file(paths: Sequence[Path]) -> list[WorkItem]:
    """Every file is a photograph of its own."""
    return [WorkItem(path.stem, (path,)) for path in paths]


def check_names(items: Sequence[WorkItem]) -> None:
    """Refuse a plan in which two photographs would write the same outputs.

    Raises:
        ConfigurationError: naming the two inputs.
    """
    owners: dict[str, Path] = {}
    for item in items:
        if item.stem in owners:
            raise ConfigurationError(
                f"{owners[item.stem]} and {item.frames[0]} would both write '{item.stem}'",
                hint="process the folders one by one, each into its own",
            )
        owners[item.stem] = item.frames[0]
