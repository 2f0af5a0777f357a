"""The parent's side of the guarded decoder: start it, ask it, and outlive whatever becomes of it."""

from __future__ import annotations

import atexit
import json
import mmap
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from rawdiff.errors import DamagedFileError, UnsupportedRawError

Decoder = Literal["libraw", "libraw-header", "tifffile"]

# As multiprocessing's spawn does, the child gets the parent's import path: nothing is ever imported from
# the folder that the photographs lie in.
_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from rawdiff.raw.ingest_child import serve; serve(int(sys.argv[2]))"
)
_DTYPES = frozenset({"|u1", "<u2", "<u4", "<f2", "<f4", "<f8"})
_MOST_FILES = 256
_IDLE_KEPT = 2
_LONGEST_REPLY = 1 << 20
_START_SECONDS, _END_SECONDS = 60.0, 5.0


@dataclass(frozen=True)
class Decoded:
    """Samples as the decoder gave them, and what it said about them. `pixels` must be copied to be kept."""

    pixels: NDArray[Any]
    facts: dict[str, Any]


class DecoderProcess:
    """One child, used for one file after another until it fails or has done its share."""

    def __init__(self) -> None:
        self._pixels_fd = os.memfd_create("rawdiff-pixels", os.MFD_CLOEXEC)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(self._pixels_fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._pixels_fd,),
            env={**os.environ, **threads},
            start_new_session=True,
        )
        self._requests = cast(BinaryIO, self._process.stdin)
        self._replies = cast(BinaryIO, self._process.stdout)
        self._ready = False
        self.done = 0

    @property
    def spent(self) -> bool:
        """True where it should not be used again."""
        return self.done >= _MOST_FILES or self._process.poll() is not None

    def ask(self, request: dict[str, Any], path: Path, timeout_s: float) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises:
            UnsupportedRawError: LibRaw knows no such file.
            DamagedFileError: the decoder refused the file, died of it, or took too long.
        """
        hint = "the file is damaged, or is made to harm"
        try:
            if not self._ready:  # starting is not the file's fault and does not count
                self._ready = self._read_line(_START_SECONDS).endswith(b"\n")
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
            line = self._read_line(timeout_s)
        except TimeoutError as error:
            raise DamagedFileError(
                f"decoding took more than {timeout_s:g} s", where=path, hint=hint
            ) from error
        except OSError as error:
            raise DamagedFileError("the decoder could not be reached", where=path) from error
        if not line.endswith(b"\n"):
            raise DamagedFileError(f"the decoder ended with {self._end()}", where=path, hint=hint)
        self.done += 1
        return _parse_reply(line, path)

    def _end(self) -> str:
        """How the child ended, in words; one that hangs after its last word is killed."""
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def _read_line(self, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        line = b""
        poller = select.poll()
        poller.register(self._replies, select.POLLIN | select.POLLHUP)
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not poller.poll(left * 1000):
                raise TimeoutError
            chunk = os.read(self._replies.fileno(), 1 << 16)
            if not chunk:
                break
            line += chunk
            if len(line) > _LONGEST_REPLY:
                raise OSError("the answer does not end")
        return line

    @contextmanager
    def map_pixels(self, reply: dict[str, Any], path: Path) -> Iterator[NDArray[Any]]:
        """Map the pixels of an answer; they are gone when the context ends."""
        shape, dtype = reply["shape"], reply["dtype"]
        size = os.fstat(self._pixels_fd).st_size
        if dtype not in _DTYPES or min(shape, default=0) < 1:
            raise DamagedFileError(f"it decodes to {dtype} samples of shape {shape}", where=path)
        if size != int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize:
            raise DamagedFileError("the decoder's answer contradicts itself", where=path)
        shared = mmap.mmap(self._pixels_fd, size, prot=mmap.PROT_READ)
        try:
            yield np.frombuffer(shared, dtype).reshape(shape)
        finally:
            os.ftruncate(self._pixels_fd, 0)

    def close(self) -> None:
        """End the child, whatever it is doing, and reap it."""
        if self._pixels_fd < 0:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._replies):
            with suppress(OSError):  # a request may still be in the buffer when the child dies
                pipe.close()
        os.close(self._pixels_fd)
        self._pixels_fd = -1


def _parse_reply(line: bytes, path: Path) -> dict[str, Any]:
    """Read an answer, which a file made to harm may have forged."""
    try:
        reply = json.loads(line)
        if "error" not in reply:
            shape = tuple(int(side) for side in reply["shape"])
            return {"shape": shape, "dtype": str(reply["dtype"]), "facts": dict(reply["facts"])}
        error, unknown = str(reply["error"]), bool(reply["unknown"])
    except (ValueError, TypeError, KeyError) as fault:
        raise DamagedFileError("the decoder's answer contradicts itself", where=path) from fault
    if unknown:
        raise UnsupportedRawError("is of no raw format that LibRaw knows, or damaged", where=path)
    raise DamagedFileError(f"it cannot be decoded: {error}", where=path)


_idle: list[DecoderProcess] = []
_lock = threading.Lock()
_owner = os.getpid()


def _take() -> DecoderProcess:
    global _owner
    with _lock:
        if _owner != os.getpid():  # forked: the children belong to the process that started them
            _idle.clear()
            _owner = os.getpid()
        while _idle:
            process = _idle.pop()
            if not process.spent:
                return process
            process.close()
    return DecoderProcess()


def _give_back(process: DecoderProcess) -> None:
    with _lock:
        if not process.spent and len(_idle) < _IDLE_KEPT:
            _idle.append(process)
            return
    process.close()


@atexit.register
def close_decoders() -> None:
    """End the idle decoders. Called at exit; a later read starts a fresh one."""
    with _lock:
        processes = list(_idle) if _owner == os.getpid() else []
        _idle.clear()
    for process in processes:
        process.close()


@contextmanager
def decoded(
    path: Path, decoder: Decoder, *, directory: int = 0, timeout_s: float, memory_bytes: int
) -> Iterator[Decoded]:
    """Decode a file in a guarded child and lend its pixels for the length of the context.

    Args:
        path: the file.
        decoder: "libraw", "libraw-header" for its facts alone, "tifffile" for one directory as stored.
        directory: byte offset of that directory.
        timeout_s: wall clock and CPU seconds granted.
        memory_bytes: address space granted to the child.

    Raises:
        UnsupportedRawError: LibRaw knows no such file.
        DamagedFileError: the decoder refused the file, died of it, took too long or too much memory.
    """
    request = {
        "path": os.path.abspath(path),
        "decoder": decoder,
        "directory": directory,
        "cpu_s": timeout_s,
        "memory_bytes": memory_bytes,
    }
    process = _take()
    try:
        reply = process.ask(request, path, timeout_s)
        with process.map_pixels(reply, path) as pixels:
            yield Decoded(pixels, reply["facts"])
    except BaseException:
        process.close()
        raise
    _give_back(process)
