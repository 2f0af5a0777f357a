"""Robust merging: frames warped onto a reference and added where they show the same light."""

from rawdiff_kernels.merge.op import accumulate, mismatch, result, warp
from rawdiff_kernels.merge.taps import Taps, mosaic_taps

__all__ = ["Taps", "accumulate", "mismatch", "mosaic_taps", "result", "warp"]
