from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rawdiff.errors import ConfigurationError, ProcessingError
from rawdiff.raw.atomic import remove_leftovers, write_whole


def test_the_file_appears_whole_and_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "a.dng"
    with write_whole(target) as part:
        part.write_bytes(b"pixels")
        assert part.parent == target.parent
        assert not target.exists()
    assert target.read_bytes() == b"pixels"
    assert os.listdir(target.parent) == ["a.dng"]


def test_a_failing_body_leaves_everything_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a.dng"
    target.write_bytes(b"old")

    def fail_half_way() -> None:
        with write_whole(target, overwrite=True) as part:
            part.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.dng"]


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    target = tmp_path / "a.dng"
    target.write_bytes(b"old")
    with pytest.raises(ConfigurationError, match="exists already"), write_whole(target):
        pytest.fail("the body must not run")
    with write_whole(target, overwrite=True) as part:
        part.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "a.dng"

    def come_second() -> None:
        with write_whole(target) as part:
            part.write_bytes(b"mine")
            target.write_bytes(b"another process was faster")

    with pytest.raises(ConfigurationError, match="exists already"):
        come_second()
    assert target.read_bytes() == b"another process was faster"
    assert os.listdir(tmp_path) == ["a.dng"]


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    original = tmp_path / "a.dng"
    original.write_bytes(b"negative")
    link = tmp_path / "link.dng"
    link.symlink_to(original)
    for name in (original, link, tmp_path / "." / "a.dng"):
        with (
            pytest.raises(ConfigurationError, match="own input"),
            write_whole(name, overwrite=True, originals=[original]),
        ):
            pytest.fail("the body must not run")
    assert original.read_bytes() == b"negative"


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ProcessingError, match="cannot write"), write_whole(tmp_path / "file" / "a.dng"):
        pytest.fail("the body must not run")
    with pytest.raises(ConfigurationError, match="folder"), write_whole(tmp_path):
        pytest.fail("the body must not run")


def test_an_error_about_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"), write_whole(tmp_path / "a.dng"):
        (tmp_path / "source").read_bytes()


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "ordinary").write_bytes(b"")
    with write_whole(tmp_path / "a.dng") as part:
        part.write_bytes(b"")
    assert (tmp_path / "a.dng").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom rawdiff.raw.atomic import write_whole\n"
        "with write_whole(sys.argv[1]) as part:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.dng")], check=False)
    assert len(os.listdir(tmp_path)) == 1
    assert not (tmp_path / "a.dng").exists()
    with write_whole(tmp_path / "b.dng") as part:
        part.write_bytes(b"running")
        assert remove_leftovers(tmp_path) == 1
        assert part.exists()
    assert os.listdir(tmp_path) == ["b.dng"]
