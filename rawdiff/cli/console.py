"""How the program speaks: bars on a terminal, plain lines in a log, JSON objects with `--json`; exit codes.

Results go to stdout, everything else to stderr. With `--json` stdout holds one JSON object a line and
nothing else, errors included.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rawdiff.errors import RawdiffError
from rawdiff.pipeline.events import Event

_PLAIN = {"warning", "output", "skipped", "failed", "plan"}


class Speaker:
    """Turns events into what the person at this end can use."""

    def __init__(self, as_json: bool, *, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.stderr = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._whole: TaskID | None = None
        self._stages: dict[str, str] = {}

    def result(self, record: dict[str, Any], text: str) -> None:
        """Say a result: the record with `--json`, otherwise the text, on stdout."""
        print(json.dumps(record, default=str) if self.as_json else text, flush=True)

    def hear(self, event: Event) -> None:
        """Pass an event on."""
        if self.as_json:
            print(json.dumps(event.as_record(), default=str), flush=True)
        elif self._progress is not None:
            self._draw(event)
        elif not self.quiet and (event.kind in _PLAIN or self._is_new_stage(event)):
            self._line(event)

    @contextmanager
    def working(self, items: int) -> Iterator[None]:
        """Show bars with the time left while the block runs, where stderr is a terminal."""
        if self.as_json or self.quiet or not self.stderr.is_terminal:
            yield
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.stderr, transient=True) as progress:
            self._progress = progress
            self._whole = progress.add_task("all", total=items) if items > 1 else None
            try:
                yield
            finally:
                self._progress = None

    def _is_new_stage(self, event: Event) -> bool:
        """True for the first event of a stage: a log gets one line for it, whatever its progress."""
        if event.kind != "stage" or self._stages.get(event.subject) == event.message:
            return False
        self._stages[event.subject] = event.message
        return True

    def _line(self, event: Event) -> None:
        self.stderr.print(f"{event.subject}: {event.message}" if event.subject else event.message)

    def _draw(self, event: Event) -> None:
        assert self._progress is not None
        if event.kind == "start":
            self._tasks[event.subject] = self._progress.add_task(event.subject, total=1.0)
        elif event.kind in ("stage", "progress") and event.subject in self._tasks:
            done = event.fields.get("fraction")
            label = f"{event.subject}  {event.message}" if event.message else event.subject
            self._progress.update(self._tasks[event.subject], description=label, completed=done)
        elif event.kind in ("done", "failed", "skipped"):
            task = self._tasks.pop(event.subject, None)
            if task is not None:
                self._progress.remove_task(task)
            if self._whole is not None:
                self._progress.advance(self._whole)
        if event.kind in _PLAIN:
            self._line(event)


@contextmanager
def reporting_errors(speaker: Speaker, debug: bool) -> Iterator[None]:
    """Turn an error into one line and its exit code; a traceback only with `--debug`."""
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        speaker.stderr.print("stopped; the same command goes on where it was")
        raise typer.Exit(130) from None
    except RawdiffError as error:
        if debug:
            raise
        _say_error(speaker, str(error), error.exit_code)
        raise typer.Exit(error.exit_code) from None
    except MemoryError:
        if debug:
            raise
        _say_error(speaker, "out of memory (try --max-memory, or smaller --tile)", 5)
        raise typer.Exit(5) from None
    except Exception as error:
        if debug:
            raise
        _say_error(speaker, f"{type(error).__name__}: {error} (--debug shows where; please report it)", 5)
        raise typer.Exit(5) from None


def _say_error(speaker: Speaker, message: str, exit_code: int) -> None:
    line = " ".join(message.split())
    if speaker.as_json:
        print(json.dumps({"event": "error", "message": line, "exit_code": exit_code}), flush=True)
    else:
        speaker.stderr.print(f"rawdiff: {line}")
    sys.stdout.flush()
