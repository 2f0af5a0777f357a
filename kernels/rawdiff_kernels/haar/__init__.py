"""The orthonormal two-dimensional Haar transform, any number of levels, any size."""

from rawdiff_kernels.haar.op import forward, inverse
from rawdiff_kernels.haar.reference import Coefficients

__all__ = ["Coefficients", "forward", "inverse"]
