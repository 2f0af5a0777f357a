from __future__ import annotations

import os
from pathlib import Path

import pytest

from rawdiff.batch.plan import WorkItem, check_names, find_inputs, plan_items
from rawdiff.errors import ConfigurationError, InputError


def test_files_folders_and_patterns_each_once(tmp_path: Path) -> None:
    for name in ("b.dng", "a.NEF", "notes.txt", "sub/c.dng"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_inputs([str(tmp_path / "b.dng"), str(tmp_path), str(tmp_path / "**" / "*.dng")])
    assert [path.name for path in found] == ["b.dng", "a.NEF", "c.dng"]


@pytest.mark.parametrize("name", ["missing.dng", "no/*.dng"])
def test_a_name_that_is_nothing_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        find_inputs([str(tmp_path / name)])


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no raw files"):
        find_inputs([str(tmp_path)])


def test_two_photographs_never_share_an_output() -> None:
    items = plan_items([Path("x/a.dng"), Path("y/a.nef")], "each", None)
    with pytest.raises(ConfigurationError, match=r"x/a\.dng and y/a\.nef"):
        check_names(items)


def test_the_key_changes_with_the_file_and_the_choices(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(b"one")
    item = WorkItem("a", (path,))
    first = item.key({"strength": 1.0})
    assert first == item.key({"strength": 1.0})
    assert first != item.key({"strength": 0.5})
    os.utime(path, ns=(1, 1))
    assert first != item.key({"strength": 1.0})
