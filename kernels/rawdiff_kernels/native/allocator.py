"""Telling glibc to keep big blocks: fresh pages cost more than the arithmetic done on them."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def tune_allocator(largest: int = 1 << 30, kept: int = 2**31 - 1) -> bool:
    """Let freed image-sized blocks be used again instead of going back to the kernel.

    By default glibc maps every large tensor anew, and each of its pages faults on first touch; kept blocks
    make torch's eager elementwise code several times faster. The process keeps its peak memory. Meant for
    the start of a program that owns the process (a command line), not for a library's import.

    Args:
        largest: blocks up to so many bytes are kept, larger ones go back to the kernel.
        kept: free bytes at the top of the heap beyond which it is given back.

    Returns:
        Whether the C library took the settings; False on another libc, where nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  present in glibc only
        mallopt = libc.mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    mallopt.restype = ctypes.c_int
    return bool(mallopt(_M_MMAP_THRESHOLD, largest) and mallopt(_M_TRIM_THRESHOLD, kept))


def release_allocator() -> bool:
    """Give freed memory back to the system, from within the heap too; worth a call after a large stage.

    Returns:
        Whether something was given back; False on a C library that cannot.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    trim.argtypes = [ctypes.c_size_t]
    trim.restype = ctypes.c_int
    return bool(trim(0))
