"""Measured maps as float TIFF: one page each, said in words what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from rawdiff.raw.atomic import write_whole


def write_float_tiff(
    path: str | Path,
    pages: Mapping[str, NDArray[np.float32]],
    provenance: Mapping[str, object] | None = None,
    originals: Sequence[Path] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Write maps `[H, W]` as pages of a float32 TIFF, compressed without loss.

    Args:
        path: the file to write.
        pages: what each map is, and the map; the words become its ImageDescription.
        provenance: what made the file, JSON in the first page's Software tag.
        originals: input files, which are never replaced.
        overwrite: replace a file that is there already.

    Raises:
        ConfigurationError: the file exists, or is an original.
        ProcessingError: the place cannot be written.
    """
    software = "rawdiff " + json.dumps(provenance or {}, default=str)
    with write_whole(path, overwrite, originals) as part, tifffile.TiffWriter(part) as file:
        for words, map_ in pages.items():
            file.write(
                np.ascontiguousarray(map_, np.float32),
                photometric="minisblack",
                compression="zlib",
                predictor=True,
                rowsperstrip=64,
                description=words,
                software=software.encode("ascii", "replace").decode() if software else None,
                metadata=None,
            )
            software = ""
