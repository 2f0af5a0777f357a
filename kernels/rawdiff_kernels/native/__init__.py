"""The compiled CPU route: C++ behind a plain C interface, loaded by ctypes."""

from rawdiff_kernels.native.allocator import release_allocator, tune_allocator
from rawdiff_kernels.native.library import call, loadable_variants, obstacle, use_variant, variant

__all__ = [
    "call",
    "loadable_variants",
    "obstacle",
    "release_allocator",
    "tune_allocator",
    "use_variant",
    "variant",
]
