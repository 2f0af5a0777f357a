"""From the mosaic to camera RGB."""

from rawdiff.raw.demosaic.frame import HALO, METHODS, Method, demosaic

__all__ = ["HALO", "METHODS", "Method", "demosaic"]
