"""The guarded decoder: crashes, hangs and explosions cost one error each, and no process is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from rawdiff.errors import DamagedFileError, InputError, UnsupportedRawError
from rawdiff.raw import ingest_process
from rawdiff.raw.frame import RawFrame
from rawdiff.raw.ingest import read_raw
from rawdiff.raw.ingest_process import close_decoders, decoded

MakeDng = Callable[..., Path]
LIMITS = {"timeout_s": 60.0, "memory_bytes": 4 << 30}
GUARDED = (
    "import sys, json, os, time, resource; sys.path[:] = json.loads(sys.argv[1]); "
    "from rawdiff.raw import ingest_child as child; "
    "child._answer = lambda request, fd: {deed}; child.serve(int(sys.argv[2]))"
)


@pytest.fixture
def path(make_dng: MakeDng) -> Path:
    return make_dng(np.arange(24 * 24, dtype=np.uint16).reshape(24, 24))


@pytest.fixture(autouse=True)
def _fresh_decoders() -> Iterator[None]:
    close_decoders()
    yield
    close_decoders()


def children() -> set[int]:
    """Processes of ours, running or not yet reaped."""
    task = Path(f"/proc/{os.getpid()}/task")
    return {int(pid) for each in task.iterdir() for pid in (each / "children").read_text().split()}


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("os.abort()", "signal 6"),
        ("os.kill(os.getpid(), 11)", "signal 11"),
        ("os._exit(3)", "exit status 3"),
        ("time.sleep(60)", "more than 1 s"),
        ("[0 for _ in iter(int, 1)]", "more than 1 s|more memory|signal"),
        ("bytearray(1 << 40)", "more memory"),
        ("1 / 0", "division by zero"),
        ("{'shape': [3, 3], 'dtype': '<u2', 'facts': {}}", "contradicts itself"),
        ("{'shape': [3, 3], 'dtype': '|O', 'facts': {}}", "samples of shape"),
        ("{'shape': 'large', 'dtype': 7}", "contradicts itself"),
        ("['not', 'an', 'answer']", "contradicts itself"),
        ("'x' * (1 << 22)", "could not be reached"),
    ],
)
def test_whatever_becomes_of_the_decoder_costs_one_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, deed: str, words: str
) -> None:
    before = children()
    monkeypatch.setattr(ingest_process, "_BOOT", GUARDED.format(deed=deed))
    start = time.monotonic()
    with pytest.raises(DamagedFileError, match=words) as caught:
        read_raw(path, timeout_s=1, memory_bytes=1 << 30)
    assert time.monotonic() - start < 15
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert children() <= before  # killed and reaped


def test_after_a_crash_the_next_file_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_process, "_BOOT", GUARDED.format(deed="os.abort()"))
    with pytest.raises(DamagedFileError):
        read_raw(path)
    monkeypatch.undo()
    assert isinstance(read_raw(path), RawFrame)


def test_memory_beyond_the_limit_is_refused(make_dng: MakeDng) -> None:
    large = make_dng(np.zeros((4000, 6000), np.uint16), compression=8)
    with pytest.raises(DamagedFileError, match=r"memory|absurd"):
        read_raw(large, memory_bytes=64 << 20)
    assert read_raw(large).shape == (4000, 6000)


def test_one_decoder_serves_file_after_file(path: Path) -> None:
    before = children()
    read_raw(path)
    first = children() - before
    read_raw(path)
    assert len(first) == 1 and children() - before == first
    close_decoders()
    assert children() <= before


def test_threads_read_at_the_same_time(make_dng: MakeDng) -> None:
    rng = np.random.default_rng(8)
    images = [rng.integers(0, 9999, (64, 64)).astype(np.uint16) for _ in range(6)]
    paths = [make_dng(image, name=f"{index}.dng") for index, image in enumerate(images)]
    with ThreadPoolExecutor(3) as pool:
        frames = list(pool.map(read_raw, paths))
    for image, frame in zip(images, frames, strict=True):
        assert isinstance(frame, RawFrame) and np.array_equal(frame.mosaic_dn, image)


def test_nothing_is_imported_from_beside_the_photographs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path.parent / "tifffile.py").write_text("raise SystemExit('imported from the wrong place')")
    monkeypatch.chdir(path.parent)
    assert read_raw(Path(path.name)).shape == (24, 24)


def test_the_decoder_starts_without_torch() -> None:
    code = (
        "import sys, rawdiff.raw.ingest_child, rawdiff.raw.tags; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'kornia')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_decoder_outlives_a_parent_that_was_killed(path: Path) -> None:
    code = (
        "import os, pathlib; from rawdiff.raw import ingest, ingest_process; "
        f"ingest.read_raw(pathlib.Path({str(path)!r})); "
        "print(ingest_process._idle[0]._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    pid = int(run.stdout)
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the decoder is still there ten seconds after its parent")


def test_a_name_that_is_no_utf8_is_read(path: Path) -> None:
    odd = path.with_name(os.fsdecode(b"caf\xe9 \xff.dng"))
    path.rename(odd)
    with decoded(odd, "tifffile", directory=8, **LIMITS) as image:  # type: ignore[arg-type]
        assert image.pixels.shape == (24, 24)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.dng", b"", "empty"),
        ("a.dng", b"II*\0", "directories"),
        ("a.dng", b"II*\0\x08\0\0\0" + bytes(100), "director|raw"),
        ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(99), "is a JPEG"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(99), "is a PNG"),
        ("a.x3f", b"FOVb" + bytes(99), "Foveon"),
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(99), "HEIF"),
        ("a.cr3", b"\0\0\0\x18ftypcrx " + bytes(4), "ends early"),
        ("a.raf", b"FUJIFILMCCD-RAW 0201" + b"\xff" * 200, "ends early"),
        ("a.raf", b"FUJIFILMCCD-RAW 0201" + bytes(20), "within its header"),
        ("a.raw", b"plain text, not a photograph", "sidecar"),
    ],
)
def test_what_is_no_raw_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((DamagedFileError, UnsupportedRawError), match=words) as caught:
        read_raw(path)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        read_raw(tmp_path / "none.dng")
    with pytest.raises(InputError, match="folder"):
        read_raw(tmp_path)
    os.mkfifo(tmp_path / "pipe.dng")
    with pytest.raises(InputError, match="pipe"):
        read_raw(tmp_path / "pipe.dng")
