"""The generalised Anscombe transform of Poisson-Gaussian data and its exact unbiased inverse."""

from rawdiff_kernels.anscombe.op import forward, inverse

__all__ = ["forward", "inverse"]
