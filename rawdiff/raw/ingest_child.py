"""The guarded decoder: a process of its own that may crash, hang or run out of memory alone.

It answers one JSON line per JSON line on standard input; pixels go into an anonymous memory file that the
parent shares. LibRaw decodes here and nowhere else. Nothing of rawdiff's numerical side is imported, so
that starting costs what numpy costs.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def serve(pixels_fd: int) -> None:
    """Answer requests until standard input ends. Whatever a library prints goes nowhere."""
    replies = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        request = json.loads(line)
        _limit(request["cpu_s"], request["memory_bytes"])
        try:
            reply = _answer(request, pixels_fd)
        except Exception as error:  # a decoder may raise anything; the parent makes it one line
            reply = {"error": _describe(error), "unknown": "FileUnsupported" in type(error).__name__}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _describe(error: Exception) -> str:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "that needs more memory than allowed"
    said = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error)
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:200] or type(error).__name__


def _limit(cpu_s: float, memory_bytes: int) -> None:
    """Set the limits of one request: CPU seconds from now on, and address space."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = usage.ru_utime + usage.ru_stime
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent + cpu_s) + 1, hard))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _answer(request: dict[str, Any], pixels_fd: int) -> dict[str, Any]:
    path = Path(request["path"])
    if request["decoder"] == "tifffile":
        pixels, facts = _decode_tiff(path, request["directory"])
    else:
        pixels, facts = _decode_libraw(path, unpack=request["decoder"] == "libraw")
    os.ftruncate(pixels_fd, pixels.nbytes)
    if pixels.nbytes:
        with mmap.mmap(pixels_fd, pixels.nbytes) as shared:
            target = np.frombuffer(shared, dtype=pixels.dtype).reshape(pixels.shape)
            np.copyto(target, pixels)
            del target
    return {"shape": pixels.shape, "dtype": pixels.dtype.str, "facts": facts}


def _decode_tiff(path: Path, directory: int) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the samples of one directory exactly as stored."""
    from rawdiff.raw.tags import open_directories

    with open_directories(path) as tables:
        page = next(table.page for table in tables if table.offset == directory)
        return np.asarray(page.asarray(maxworkers=1)), {}


def _decode_libraw(path: Path, *, unpack: bool) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return LibRaw's whole raw image, margins included (or nothing), and what LibRaw knows about it."""
    import rawpy

    with path.open("rb") as file, rawpy.RawPy() as raw:
        raw.open_buffer(file)
        sizes = raw.sizes
        if max(sizes.raw_height, 1) * max(sizes.raw_width, 1) > 2**31:
            raise ValueError(f"its size {sizes.raw_width}x{sizes.raw_height} is absurd")
        if not unpack:
            return np.zeros(1, np.uint8), _libraw_facts(raw)
        raw.unpack()
        image = raw.raw_image if raw.raw_type == rawpy.RawType.Flat else raw.raw_image[:, :, :3]
        facts = _libraw_facts(raw)
        if facts["pattern"] is not None:
            facts["colors"] = np.asarray(raw.raw_colors_visible)[:12, :12].tolist()
        return np.array(image), facts


def _libraw_facts(raw: Any) -> dict[str, Any]:
    sizes = raw.sizes
    pattern = None if raw.raw_pattern is None else np.asarray(raw.raw_pattern).tolist()
    other, lens = raw.other, raw.lens
    stamp = other.timestamp
    return {
        "margins": [sizes.top_margin, sizes.left_margin, sizes.height, sizes.width],
        "flip": sizes.flip,
        "pattern": pattern,
        "color_names": raw.color_desc.decode("ascii", "replace"),
        "black": [float(level) for level in raw.black_level_per_channel],
        "white": float(raw.white_level),
        "white_balance": [float(gain) for gain in raw.camera_whitebalance],
        "matrix": np.asarray(raw.rgb_xyz_matrix, np.float64).tolist(),
        "iso": float(other.iso_speed),
        "time_s": float(other.shutter_speed),
        "aperture": float(other.aperture),
        "captured_at": stamp.isoformat() if hasattr(stamp, "isoformat") and stamp.year > 1970 else None,
        "lens": str(lens.model or ""),
    }
