"""Counted light: Philox random numbers, Poisson counts, re-exposure and thinning."""

from rawdiff_kernels.photon.op import poisson, random_bits, reexpose, thin, uniform

__all__ = ["poisson", "random_bits", "reexpose", "thin", "uniform"]
