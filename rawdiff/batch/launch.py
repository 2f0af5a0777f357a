"""Running a plan: item after item, one failure never stopping the others, each finished piece noted."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rawdiff.batch.journal import Journal
from rawdiff.batch.plan import WorkItem
from rawdiff.errors import BatchError, ProcessingError, RawdiffError
from rawdiff.pipeline.config import ProcessConfig
from rawdiff.pipeline.events import Event, Listener
from rawdiff.pipeline.outputs import refuse_existing
from rawdiff.pipeline.run import BurstReporter, process_item


@dataclass(frozen=True)
class Tally:
    """How a batch ended."""

    done: int
    skipped: int
    failures: tuple[tuple[WorkItem, RawdiffError], ...]

    def raise_if_failed(self) -> None:
        """Raise the failure itself where it was the only work, a summary where others were done.

        Raises:
            RawdiffError: the one item failed, or all failed for reasons of one kind.
            BatchError: some of several failed.
        """
        if not self.failures:
            return
        if self.done + self.skipped + len(self.failures) == 1:
            raise self.failures[0][1]
        names = ", ".join(item.stem for item, _ in self.failures[:5])
        more = "" if len(self.failures) <= 5 else f" and {len(self.failures) - 5} more"
        total = self.done + self.skipped + len(self.failures)
        raise BatchError(
            f"{len(self.failures)} of {total} failed: {names}{more}",
            hint="the same command again tries only these",
        )


def run_batch(
    items: Sequence[WorkItem],
    folder: Path,
    config: ProcessConfig,
    *,
    overwrite: bool,
    listen: Listener,
    report_burst: BurstReporter | None = None,
    debug: bool = False,
) -> Tally:
    """Process every item into `folder`, skipping what the journal knows as finished.

    Args:
        items: the plan.
        folder: where outputs and the journal go; made if absent.
        config: the choices, the same for all.
        overwrite: replace files that this work has not written, and do finished work again.
        listen: told of everything that happens.
        report_burst: writes the page of a merged burst; None for no page.
        debug: let an unforeseen exception through, with its traceback.

    Raises:
        ConfigurationError: the folder cannot be used.
    """
    done, skipped = 0, 0
    failures: list[tuple[WorkItem, RawdiffError]] = []
    with Journal(folder) as journal:
        for item in items:
            key = item.key(config.as_record())
            if journal.is_done(key) and not overwrite:
                skipped += 1
                listen(Event("skipped", item.stem, "already done"))
                continue
            try:
                _run_item(item, key, journal, config, overwrite, listen, report_burst)
                done += 1
            except RawdiffError as error:
                failures.append((item, error))
                listen(Event("failed", item.stem, str(error), {"exit_code": error.exit_code}))
            except Exception as error:
                if debug:
                    raise
                last = traceback.extract_tb(error.__traceback__)[-1]
                wrapped = ProcessingError(
                    f"{type(error).__name__}: {error} (in {Path(last.filename).name}:{last.lineno})",
                    where=item.frames[0],
                    hint="--debug shows the whole traceback; please report it",
                )
                failures.append((item, wrapped))
                listen(Event("failed", item.stem, str(wrapped), {"exit_code": wrapped.exit_code}))
    return Tally(done, skipped, tuple(failures))


def _run_item(
    item: WorkItem,
    key: str,
    journal: Journal,
    config: ProcessConfig,
    overwrite: bool,
    listen: Listener,
    report_burst: BurstReporter | None,
) -> None:
    standing = {} if overwrite else journal.written(key)
    remaining = replace(
        config, formats=tuple(f for f in config.formats if f not in standing) or config.formats
    )
    may_replace = overwrite or journal.has_begun(key)
    if not may_replace:
        refuse_existing(journal.folder, item.stem, remaining)
    journal.begin(key, item.stem)
    listen(Event("start", item.stem, f"{len(item.frames)} frame{'s' * (len(item.frames) > 1)}"))
    process_item(
        item.frames,
        journal.folder,
        remaining,
        stem=item.stem,
        overwrite=may_replace,
        listen=listen,
        on_output=lambda kind, path: journal.note_output(key, kind, path.name),
        report_burst=report_burst,
    )
    journal.finish(key)
    listen(Event("done", item.stem))
