"""Loading the compiled libraries, choosing the one for this CPU, and calling their functions."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from rawdiff_kernels.native import build

VARIANT_VARIABLE = "RAWDIFF_CPU_VARIANT"

_LEVELS = ("baseline", "avx2", "avx512")
_override: list[str] = []


class _UnusableError(Exception):
    """The library cannot be used; `str()` is the reason."""


def obstacle(op: str) -> str | None:
    """Say why the compiled route of `op` cannot run, or None where it can."""
    return _examine(op, variant())


def variant() -> str:
    """Return the kind of CPU code in use: the best that this CPU runs, or what RAWDIFF_CPU_VARIANT names.

    Without a usable library it is "none".
    """
    if _override:
        return _override[-1]
    usable = loadable_variants()
    asked = os.environ.get(VARIANT_VARIABLE)
    if asked is not None:
        return asked
    return usable[-1] if usable else "none"


@lru_cache(maxsize=1)
def loadable_variants() -> tuple[str, ...]:
    """Return the kinds of CPU code that this CPU can run, plainest first."""
    try:
        level = int(_pool().rawdiff_cpu_level())
    except _UnusableError:
        return ()
    return tuple(name for name in _LEVELS[: level + 1] if name in build.variants())


@contextmanager
def use_variant(name: str) -> Iterator[None]:
    """Use another kind of CPU code inside the block, for comparing them.

    Raises:
        ValueError: this CPU cannot run it.
    """
    if name not in loadable_variants():
        raise ValueError(f"this CPU runs {', '.join(loadable_variants()) or 'none'}, not {name!r}")
    _override.append(name)
    try:
        yield
    finally:
        _override.pop()


def call(op: str, function: str, *arguments: Tensor | int | float | None) -> None:
    """Call an exported C function of an op's library on torch's number of threads.

    Tensors go as pointers to their data (they must be contiguous and on the CPU), int as int64_t, float as
    double, None as a null pointer; the number of threads is added as the last argument.

    Raises:
        RuntimeError: the library cannot be used (the caller did not choose the route first).
        MemoryError: the function could not allocate its scratch memory.
    """
    try:
        library = _load(op, variant())
    except _UnusableError as error:
        raise RuntimeError(f"{op}: {error}") from error
    converted = [_as_c(argument) for argument in arguments]
    status = getattr(library, function)(*converted, ctypes.c_int64(torch.get_num_threads()))
    if status != 0:
        raise MemoryError(f"{function} could not allocate its scratch memory")


def _as_c(argument: Tensor | int | float | None) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_double:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, Tensor):
        if argument.device.type != "cpu" or not argument.is_contiguous():
            raise RuntimeError("a compiled function takes contiguous CPU tensors")
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    return ctypes.c_double(argument)


@cache
def _examine(op: str, variant_name: str) -> str | None:
    try:
        _load(op, variant_name)
    except _UnusableError as error:
        return str(error)
    return None


@lru_cache(maxsize=1)
def _pool() -> ctypes.CDLL:
    library = _open(build.POOL, "baseline")
    library.rawdiff_cpu_level.restype = ctypes.c_int64
    return library


@cache
def _load(op: str, variant_name: str) -> ctypes.CDLL:
    pool = _pool()
    if variant_name not in loadable_variants():
        raise _UnusableError(
            f"{VARIANT_VARIABLE}={variant_name}: this CPU runs {', '.join(loadable_variants())}"
        )
    library = _open(op, variant_name)
    library.rawdiff_attach.argtypes = [ctypes.c_void_p]
    library.rawdiff_attach.restype = None
    library.rawdiff_attach(ctypes.cast(pool.rawdiff_parallel_for, ctypes.c_void_p))
    return library


def _open(name: str, variant_name: str) -> ctypes.CDLL:
    """Open one library and make sure that it was built from the sources beside it."""
    path = build.library_path(name, variant_name)
    if not path.is_file():
        reason = build.read_manifest().get(f"{name}-{variant_name}")
        raise _UnusableError(reason or f"the library {path.name} has not been built; reinstall rawdiff")
    try:
        library = ctypes.CDLL(str(path))
        library.rawdiff_build_id.restype = ctypes.c_char_p
        found = library.rawdiff_build_id().decode()
    except (OSError, AttributeError) as error:
        raise _UnusableError(f"the library {path.name} cannot be loaded: {error}") from error
    if _has_sources(name) and found != build.build_id(name):
        raise _UnusableError(f"the library {path.name} was built from other sources; reinstall rawdiff")
    return library


def _has_sources(name: str) -> bool:
    return all(Path(source).is_file() for source in build.sources(name))
