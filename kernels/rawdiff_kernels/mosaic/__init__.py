"""Mosaic to packed raw and back: black level, white level and gain per plane."""

from rawdiff_kernels.mosaic.op import pack, unpack

__all__ = ["pack", "unpack"]
