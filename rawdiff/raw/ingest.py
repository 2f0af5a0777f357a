"""Reading a raw file: recognise, check, decode in a guarded child, bring to linear DN.

Tags come from the file itself; LibRaw's knowledge serves only the raws that are no DNG. Who decodes a DNG is
settled by its compression: lossless JPEG by LibRaw, which notices streams that end early (imagecodecs does
not); everything else by tifffile and imagecodecs, which give the samples as stored and know JPEG XL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rawdiff.errors import DamagedFileError, InputError, UnsupportedRawError
from rawdiff.raw.frame import FrameTags, LinearFrame, RawFrame, Source
from rawdiff.raw.ingest_checks import (
    Container,
    check_bounds,
    check_boxes,
    check_raf,
    check_vendor_bounds,
    read_header,
    recognise,
)
from rawdiff.raw.ingest_dng import DngRaw, read_dng
from rawdiff.raw.ingest_frames import build_frame
from rawdiff.raw.ingest_process import Decoder, decoded
from rawdiff.raw.ingest_vendor import build_vendor_frame, merge_tags, read_vendor_tags, require_mosaic
from rawdiff.raw.sidecar import EXAMPLE, Sidecar, find_sidecar, read_dump, read_sidecar
from rawdiff.raw.tags import dng_version, open_directories

FrameKind = Literal["mosaic", "linear"]

DECODE_SECONDS = 120.0
DECODE_MEMORY_BYTES = 4 << 30

_LOSSLESS_JPEG = 7
_TIFFFILE_COMPRESSIONS = frozenset({1, 8, 32946, 34892, 52546})
_MAKERS = {"raf": "Fujifilm RAF", "cr3": "Canon CR3"}


@dataclass(frozen=True)
class VendorRaw:
    """A raw that is no DNG, before decoding."""

    kind: str
    tags: FrameTags | None


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
        sidecar: TOML description of a headerless sensor dump; looked for beside the dump where None.

    Raises:
        InputError: it cannot be opened, or its sidecar is wrong.
        DamagedFileError: it contradicts itself, ends early, or kills the decoder.
        UnsupportedRawError: it is of a kind that rawdiff does not read.
    """
    path = Path(path)
    memory = DECODE_MEMORY_BYTES if memory_bytes is None else memory_bytes
    found = _examine(path, sidecar, memory)
    if isinstance(found, Sidecar):
        return read_dump(path, found, Source(path, hash_file(path), "sensor dump", "sidecar"))
    if isinstance(found, DngRaw):
        return _decode_dng(found, path, timeout_s, memory)
    source = Source(path, hash_file(path), found.kind, "libraw")
    with decoded(path, "libraw", timeout_s=timeout_s, memory_bytes=memory) as image, _as_damage(path):
        return build_vendor_frame(image.pixels, image.facts, found.tags, source)


def read_tags(path: Path, *, sidecar: Path | None = None) -> tuple[FrameTags, tuple[int, int], FrameKind]:
    """Read what a raw file says of itself, without decoding pixels: tags, rows and columns, kind.

    Raises:
        InputError: as `read_raw`, but for what only decoding shows.
    """
    path = Path(path)
    found = _examine(path, sidecar, DECODE_MEMORY_BYTES)
    if isinstance(found, Sidecar):
        return found.tags, found.shape, "mosaic"
    if isinstance(found, DngRaw):
        return found.tags, found.shape, "linear" if found.phase is None else "mosaic"
    with decoded(path, "libraw-header", timeout_s=DECODE_SECONDS, memory_bytes=DECODE_MEMORY_BYTES) as answer:
        require_mosaic(answer.facts, path)
        height, width = answer.facts["margins"][2:]
        return merge_tags(answer.facts, found.tags), (height // 2 * 2, width // 2 * 2), "mosaic"


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    return digest.hexdigest()


def _examine(path: Path, sidecar: Path | None, memory: int) -> DngRaw | VendorRaw | Sidecar:
    """Recognise a file and check its bounds; read everything but pixels."""
    header = read_header(path)
    if sidecar is not None:
        return read_sidecar(sidecar)
    length = path.stat().st_size
    container = recognise(path, header)
    if container == "tiff":
        return _examine_tiff(path, length, memory)
    if container == "unknown":
        beside = find_sidecar(path)
        if beside is not None:
            return read_sidecar(beside)
        raise UnsupportedRawError(
            f"begins like no raw file; a headerless sensor dump needs a sidecar '{path.name}.toml' beside it",
            where=path,
            hint=f"it looks like: {EXAMPLE}",
        )
    if container == "raf":
        check_raf(path, header, length)
    elif container == "cr3":
        check_boxes(path, length)
    return _vendor(path, container)


def _examine_tiff(path: Path, length: int, memory: int) -> DngRaw | VendorRaw:
    with open_directories(path) as tables:
        if dng_version(tables) is not None:
            dng = read_dng(tables, path)
            check_bounds(dng.layout, length, path, memory_bytes=memory)
            return dng
        check_vendor_bounds(tables, length, path)
    return _vendor(path, "tiff")


def _vendor(path: Path, container: Container) -> VendorRaw:
    tags = read_vendor_tags(path, container)
    make = tags.camera.make if tags else ""
    suffix = path.suffix.lstrip(".").upper()
    return VendorRaw(_MAKERS.get(container) or f"{make} {suffix}".strip() or "camera raw", tags)


def _decode_dng(dng: DngRaw, path: Path, timeout_s: float, memory: int) -> RawFrame | LinearFrame:
    decoder = _choose_decoder(dng, path)
    source = Source(path, hash_file(path), dng.kind, decoder)
    directory = dng.layout.directory
    with decoded(path, decoder, directory=directory, timeout_s=timeout_s, memory_bytes=memory) as image:
        if decoder == "libraw":  # LibRaw has looked the linearisation table up already
            dng = replace(dng, levels=replace(dng.levels, table=None))
        with _as_damage(path):
            return build_frame(dng, image.pixels, source)


def _choose_decoder(dng: DngRaw, path: Path) -> Decoder:
    compression = dng.layout.compression
    if compression == _LOSSLESS_JPEG:
        needs_stored = dng.levels.table is not None and bool(dng.plan.on_stored)
        return "tifffile" if needs_stored else "libraw"
    if compression in _TIFFFILE_COMPRESSIONS:
        return "tifffile"
    raise UnsupportedRawError(
        f"is a DNG with compression {compression}, which rawdiff does not decode",
        where=path,
        hint="convert it to an uncompressed DNG",
    )


@contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    """Turn figures that contradict each other into the file's fault."""
    try:
        yield
    except (ValueError, TypeError, IndexError, KeyError, MemoryError, OverflowError) as error:
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedFileError(f"its figures contradict themselves: {what}", where=path) from error
