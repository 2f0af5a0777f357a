"""The memory of a batch: what is written, so that a killed run goes on where it was.

One JSON object a line, appended and synced: `begun` before an item's first output, `written` after each
output stands whole under its final name, `done` after the last. A line cut short by a kill is ignored. The
journal is also what makes an existing output ours: one that a run has begun may be written again by the
same work; any other file in the way needs `--overwrite`.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from rawdiff.errors import ConfigurationError
from rawdiff.raw.atomic import remove_leftovers

NAME = ".rawdiff-journal.jsonl"


class Journal:
    """The journal of one output folder, held by one run at a time.

    Raises:
        ConfigurationError: another run is writing into the folder, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self._begun: set[str] = set()
        self._done: set[str] = set()
        self._written: dict[str, dict[str, str]] = {}
        self._file: IO[str] | None = None

    def __enter__(self) -> Journal:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot write there: {error.strerror}", where=self.folder) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ConfigurationError("another run is writing into this folder", where=self.folder) from error
        self._read()
        remove_leftovers(self.folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def is_done(self, key: str) -> bool:
        """True where the work is finished and every output of it still stands."""
        outputs = self._written.get(key, {})
        return key in self._done and all((self.folder / name).exists() for name in outputs.values())

    def has_begun(self, key: str) -> bool:
        """True where an earlier run of the same work may have left outputs."""
        return key in self._begun

    def written(self, key: str) -> dict[str, str]:
        """Outputs of this work that stand whole: kind to file name."""
        outputs = self._written.get(key, {})
        return {kind: name for kind, name in outputs.items() if (self.folder / name).exists()}

    def begin(self, key: str, stem: str) -> None:
        """Note that the work starts."""
        self._append({"state": "begun", "key": key, "stem": stem})

    def note_output(self, key: str, kind: str, name: str) -> None:
        """Note that an output stands whole."""
        self._append({"state": "written", "key": key, "kind": kind, "name": name})

    def finish(self, key: str) -> None:
        """Note that the work is finished."""
        self._append({"state": "done", "key": key})

    def _append(self, record: dict[str, Any]) -> None:
        assert self._file is not None, "the journal is open only inside its `with` block"
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._remember(record)

    def _remember(self, record: dict[str, Any]) -> None:
        key = str(record.get("key", ""))
        if record.get("state") == "begun":
            self._begun.add(key)
        elif record.get("state") == "written":
            self._written.setdefault(key, {})[str(record.get("kind"))] = str(record.get("name"))
        elif record.get("state") == "done":
            self._done.add(key)

    def _read(self) -> None:
        assert self._file is not None
        self._file.seek(0)
        text = self._file.read()
        for line in text.splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a killed run
            if isinstance(record, dict):
                self._remember(record)
        if text and not text.endswith("\n"):
            self._file.write("\n")
