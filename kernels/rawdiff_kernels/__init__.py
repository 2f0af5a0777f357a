"""Pixel kernels for raw photography: each a plain torch reference, a compiled CPU route, a Triton route."""
