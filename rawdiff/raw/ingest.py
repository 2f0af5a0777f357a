"""Reading a raw file: recognise, check, decode in a guarded child, bring to linear DN.

Tags come from the file itself; LibRaw's knowledge serves only the raws that are no DNG.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from rawdiff.errors import DamagedFileError, InputError, UnsupportedRawError
from rawdiff.raw.frame import FrameTags, LinearFrame, RawFrame, Source
from rawdiff.raw.ingest_checks import check_bounds, read_header, recognise
from rawdiff.raw.ingest_dng import DngRaw, build_frame, read_dng
from rawdiff.raw.ingest_process import Decoder, decoded
from rawdiff.raw.tags import dng_version, open_directories

FrameKind = Literal["mosaic", "linear"]

DECODE_SECONDS = 120.0
DECODE_MEMORY_BYTES = 4 << 30


def read_raw(
    path: Path,
    *,
    timeout_s: float = DECODE_SECONDS,
    memory_bytes: int | None = None,
    sidecar: Path | None = None,
) -> RawFrame | LinearFrame:
    """Read a raw file into a frame: linear DN, black level not subtracted, active area only.

    Args:
        path: the file; opened for reading only.
        timeout_s: wall clock and CPU seconds granted to the decoder.
        memory_bytes: address space granted to the decoder, 4 GiB where None.
        sidecar: TOML description of a headerless sensor dump.

    Raises:
        InputError: it cannot be opened.
        DamagedFileError: it contradicts itself, ends early, or kills the decoder.
        UnsupportedRawError: it is of a kind that rawdiff does not read.
    """
    path = Path(path)
    memory = DECODE_MEMORY_BYTES if memory_bytes is None else memory_bytes
    container = recognise(path, read_header(path))
    if container == "tiff":
        with open_directories(path) as tables:
            if dng_version(tables) is not None:
                dng = read_dng(tables, path)
                check_bounds(dng.layout, path.stat().st_size, path, memory_bytes=memory)
                return _decode_dng(dng, path, timeout_s, memory)
    raise UnsupportedRawError("is no raw file that rawdiff recognises", where=path)


def read_tags(path: Path) -> tuple[FrameTags, tuple[int, int], FrameKind]:
    """Read what a raw file says of itself, without decoding pixels: tags, rows and columns, kind."""
    path = Path(path)
    container = recognise(path, read_header(path))
    if container == "tiff":
        with open_directories(path) as tables:
            if dng_version(tables) is not None:
                dng = read_dng(tables, path)
                return dng.tags, dng.shape, "linear" if dng.phase is None else "mosaic"
    raise UnsupportedRawError("is no raw file that rawdiff recognises", where=path)


def _decode_dng(dng: DngRaw, path: Path, timeout_s: float, memory: int) -> RawFrame | LinearFrame:
    decoder: Decoder = "tifffile"
    source = Source(path, hash_file(path), dng.kind, decoder)
    directory = dng.layout.directory
    with decoded(path, decoder, directory=directory, timeout_s=timeout_s, memory_bytes=memory) as image:
        try:
            return build_frame(dng, image.pixels, source)
        except (ValueError, MemoryError) as error:
            raise DamagedFileError(f"its tags contradict themselves: {error}", where=path) from error


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    try:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
