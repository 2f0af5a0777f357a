"""Robust merging: frames warped onto a reference and added where they show the same light."""

from rawdiff_kernels.merge.op import accumulate, mismatch, result, warp

__all__ = ["accumulate", "mismatch", "result", "warp"]
