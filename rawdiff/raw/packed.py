"""Between the mosaic in DN and packed raw: planes R, Gr, Gb, B with black 0 and white 1."""

from __future__ import annotations

import numpy as np
import torch
from rawdiff_kernels import mosaic

from rawdiff.raw.frame import Array, Levels, RawFrame
from rawdiff.raw.image import PackedRaw

_BAND_ROWS = 1024


def pack_frame(frame: RawFrame) -> PackedRaw:
    """Normalise and pack: plane = (DN - black) / (white - black) per plane, negatives kept.

    Worked in bands of rows, so that no second copy of the mosaic stands in memory.
    """
    height, width = frame.shape
    black, white = (list(map(float, level)) for level in frame.levels.per_plane(frame.phase))
    planes = torch.empty((4, height // 2, width // 2), dtype=torch.float32)
    for top in range(0, height, _BAND_ROWS):
        band = torch.tensor(frame.mosaic_dn[top : top + _BAND_ROWS])
        planes[:, top // 2 : (top + band.shape[0]) // 2] = mosaic.pack(band, frame.phase, black, white)
    return PackedRaw(planes, frame.phase)


def unpack_to_dn(packed: PackedRaw, levels: Levels) -> Array:
    """Return the mosaic `[H, W]` float32 in DN that packed raw stands for, at these levels."""
    black, white = (list(map(float, level)) for level in levels.per_plane(packed.phase))
    planes = packed.planes.detach().to("cpu", torch.float32)
    height, width = 2 * planes.shape[1], 2 * planes.shape[2]
    image = np.empty((height, width), np.float32)
    for top in range(0, height, _BAND_ROWS):
        rows = planes[:, top // 2 : (top + _BAND_ROWS) // 2]
        image[top : top + _BAND_ROWS] = mosaic.unpack(rows, packed.phase, black, white).numpy()
    return image
