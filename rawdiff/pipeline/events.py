"""What the pipeline tells of its progress; the command line decides how it looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["plan", "start", "stage", "progress", "warning", "output", "done", "skipped", "failed"]


@dataclass(frozen=True)
class Event:
    """One thing that happened. `subject` is the stem of the output it concerns."""

    kind: Kind
    subject: str
    message: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    def as_record(self) -> dict[str, Any]:
        """The event as one JSON object."""
        return {"event": self.kind, "subject": self.subject, "message": self.message, **self.fields}


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""
