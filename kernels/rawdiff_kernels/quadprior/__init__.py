"""The quadruple prior: hue, chroma, colour order and edges that do not depend on the light."""

from rawdiff_kernels.quadprior.op import default_matrix, prior

__all__ = ["default_matrix", "prior"]
