from __future__ import annotations

from pathlib import Path

import pytest

from rawdiff.batch.journal import NAME, Journal
from rawdiff.errors import ConfigurationError


def test_what_was_noted_is_remembered_by_the_next_run(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin("k", "a")
        (tmp_path / "a.jpg").write_bytes(b"x")
        journal.note_output("k", "jpeg", "a.jpg")
        assert not journal.is_done("k")
        journal.finish("k")
    with Journal(tmp_path) as journal:
        assert journal.is_done("k")
        assert journal.has_begun("k") and not journal.has_begun("other")
        assert journal.written("k") == {"jpeg": "a.jpg"}


def test_an_output_that_was_removed_is_made_again(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin("k", "a")
        journal.note_output("k", "jpeg", "a.jpg")
        journal.finish("k")
        assert not journal.is_done("k")
        assert journal.written("k") == {}


def test_a_line_cut_short_by_a_kill_is_ignored(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin("k", "a")
    path = tmp_path / NAME
    path.write_text(path.read_text() + '{"state": "done", "key')
    with Journal(tmp_path) as journal:
        assert journal.has_begun("k") and not journal.is_done("k")
        journal.finish("k")
    with Journal(tmp_path) as journal:
        assert journal.is_done("k")


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with Journal(tmp_path), pytest.raises(ConfigurationError, match="another run"), Journal(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file/out"), Journal(tmp_path / "file" / "out"):
        pass
