"""Files that appear whole or not at all: written beside their place, synced, then renamed into it."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rawdiff.errors import ConfigurationError, ProcessingError

_PART = ".part"


@contextmanager
def write_whole(path: str | Path, overwrite: bool = False, originals: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving, sync it and put it in place in one step.

    If the body raises, the temporary file is removed and whatever stood at `path` stays as it was.

    Args:
        path: where the file shall appear; missing folders are made.
        overwrite: replace a file that is there already.
        originals: input files, which are never replaced, not even with `overwrite`.

    Raises:
        ConfigurationError: `path` exists and `overwrite` is False, is a folder, or is one of `originals`.
        ProcessingError: the place cannot be written (no space, no permission).
    """
    target = Path(path)
    _refuse_taken(target, overwrite, originals)
    part = target.with_name(f".{target.name}.{_owner()}.{secrets.token_hex(4)}{_PART}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Made by the kernel with the user's umask, so that the result has an ordinary file's permissions.
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield part
        _sync(part)
        _place(part, target, overwrite)
        with suppress(OSError):  # some network file systems cannot sync a folder; the file itself is safe
            _sync(target.parent)
    except OSError as error:
        # Only failures of this file: an error about another file (a missing source) is not ours to reword.
        if error.filename is None or Path(os.fsdecode(error.filename)) in (part, target, *target.parents):
            raise ProcessingError(f"cannot write: {error.strerror or error}", where=target) from error
        raise
    finally:
        with suppress(OSError):
            part.unlink()


def remove_leftovers(folder: str | Path) -> int:
    """Remove the temporary files that killed processes of this machine left in `folder`; return how many.

    Files of processes that still run, and of other machines on a shared disk, stay.
    """
    removed = 0
    for part in Path(folder).glob(f".*{_PART}"):
        pieces = part.name.rsplit(".", 3)
        if len(pieces) != 4:
            continue
        host, _, process = pieces[1].rpartition("-")
        if host == _host() and process.isdecimal() and not _runs(int(process)):
            with suppress(OSError):
                part.unlink()
                removed += 1
    return removed


def _refuse_taken(target: Path, overwrite: bool, originals: Sequence[Path]) -> None:
    if target.is_dir():
        raise ConfigurationError("the output's place is a folder", where=target)
    if not target.exists():
        return
    if any(original.exists() and target.samefile(original) for original in originals):
        raise ConfigurationError(
            "the output would replace its own input", where=target, hint="choose another output folder"
        )
    if not overwrite:
        raise _taken(target)


def _taken(target: Path) -> ConfigurationError:
    return ConfigurationError("exists already", where=target, hint="--overwrite replaces it")


def _place(part: Path, target: Path, overwrite: bool) -> None:
    """Rename; without `overwrite` by a hard link, which fails where another process was faster."""
    if overwrite:
        os.replace(part, target)
        return
    try:
        os.link(part, target)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # A file system without hard links: the check and the rename are two steps here.
        if target.exists():
            raise _taken(target) from None
        os.replace(part, target)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _host() -> str:
    return socket.gethostname().replace(".", "_").replace("/", "_")


def _owner() -> str:
    return f"{_host()}-{os.getpid()}"


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
