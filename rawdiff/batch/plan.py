"""From what was typed to the list of work: which files, grouped how, giving outputs of which names."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawdiff.burst.group import Burst, Candidate, group_by_time, take_as_one
from rawdiff.errors import ConfigurationError, InputError
from rawdiff.pipeline.config import BurstMode
from rawdiff.raw.ingest import read_tags

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


def find_inputs(
    arguments: Iterable[str],
    suffixes: Collection[str] = RAW_SUFFIXES,
    kind: str = "raw files",
    hint: str | None = None,
) -> list[Path]:
    """Expand files, folders and quoted patterns into files, each once, in the order given.

    A folder stands for the files of its kind directly in it, by name. A file is taken whatever its suffix.

    Args:
        arguments: names as the user typed them.
        suffixes: what is taken of a folder, in lower case.
        kind: what such files are called.
        hint: what to do about a folder without them.

    Raises:
        InputError: a name that is nothing, or a folder or a pattern without such files.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes and p.is_file())
            if not inside:
                raise InputError(f"the folder holds no {kind}", where=path, hint=hint)
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            matches = sorted(Path(name) for name in glob.glob(argument, recursive=True))
            if not matches:
                raise InputError("there is no such file", where=argument, hint="check the name")
            found.update(dict.fromkeys(match for match in matches if match.is_file()))
    return list(found)


def plan_items(paths: Sequence[Path], burst: BurstMode, reference: str | None) -> list[WorkItem]:
    """Group files into photographs: each alone, all as one burst, or by camera, settings and time.

    A burst goes under the stem of the reference asked for, otherwise of its middle frame, until all its
    frames are read and the sharpest is known.

    Raises:
        ConfigurationError: one burst was asked for and the reference is not in it.
        InputError: one burst was asked for and no two files could belong to it.
    """
    if burst == "each":
        return [WorkItem(path.stem, (path,)) for path in paths]
    looked = [_look(path) for path in paths]
    known = [candidate for candidate in looked if isinstance(candidate, Candidate)]
    bursts = group_by_time(known) if burst == "auto" else [take_as_one(known)]
    items = [_item(found, reference) for found in bursts]
    # A file that cannot be looked at stands alone; processing it tells what is wrong with it.
    items += [WorkItem(path.stem, (path,)) for path, seen in zip(paths, looked, strict=True) if seen is None]
    if burst == "one" and reference is not None and items[0].stem != Path(reference).stem:
        raise ConfigurationError(f"the reference '{reference}' is not among the frames")
    return items


def _look(path: Path) -> Candidate | None:
    try:
        tags, shape, kind = read_tags(path)
    except InputError:
        return None
    return Candidate(path, tags, shape, kind)


def _item(burst: Burst, reference: str | None) -> WorkItem:
    """A burst as a piece of work."""
    frames = tuple(candidate.path for candidate in burst.frames)
    named = [path for path in frames if reference in (path.name, path.stem)]
    return WorkItem((named or [frames[len(frames) // 2]])[0].stem, frames, burst.left_out)


def check_names(items: Sequence[WorkItem]) -> None:
    """Refuse a plan in which two photographs would write the same outputs.

    Raises:
        ConfigurationError: naming the two inputs.
    """
    owners: dict[str, Path] = {}
    for item in items:
        for frame in item.frames:
            if frame.stem in owners:
                raise ConfigurationError(
                    f"{owners[frame.stem]} and {frame} would both write '{frame.stem}'",
                    hint="process the folders one by one, each into its own",
                )
            owners[frame.stem] = frame
