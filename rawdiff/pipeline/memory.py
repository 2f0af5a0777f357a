"""How much memory a photograph takes: said before it is begun, and kept to by smaller tiles."""

from __future__ import annotations

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.config import Format, ProcessConfig
from rawdiff.recipes.catalog import Recipe

_LIBRARIES = 500_000_000
_BANDS = 150_000_000
_ENHANCING = 620_000_000
"""What a band holds in the largest enhancer's networks, whatever the frame."""
_DENOISING = 8.5
"""Bytes per pixel while denoising: the mosaic and its clean copy, both float32."""
_CLEAN = 4.3
_FOR_FORMAT: dict[Format, float] = {"jpeg": 8.0, "tiff": 1.0, "dng": 9.0, "linear-dng": 13.0}
"""Bytes per pixel that an output adds while it is written; outputs follow one another."""


def fit_tile(shape: tuple[int, int], recipe: Recipe, config: ProcessConfig) -> tuple[int, int]:
    """Rows and columns of a tile, in packed pixels, with which denoising stays within `--max-memory`.

    The figures come from `benchmarks.process`; the result of the denoising does not depend on the tile.

    Raises:
        ConfigurationError: the frame or its outputs do not fit with any tile; names what they need.
    """
    packed = shape[0] // 2, shape[1] // 2
    asked = None if config.tile is None else (max(config.tile // 2, 1),) * 2
    if config.max_memory_bytes is None:
        return asked or recipe.tile(*packed)
    pixels = shape[0] * shape[1]
    writing = _LIBRARIES + _BANDS + pixels * (_CLEAN + max(_FOR_FORMAT[kind] for kind in config.formats))
    writing += _ENHANCING if config.enhance is not None else 0
    # A small frame is one strip, and not a whole one.
    strips = min(recipe.bytes_of_strips, 10 * recipe.bytes_per_cell * packed[0] * packed[1])
    held = _LIBRARIES + pixels * (_DENOISING + recipe.bytes_of_state) + strips
    smallest = (recipe.align + 2 * -(-recipe.halo // recipe.align) * recipe.align) ** 2
    needed = max(writing, held + recipe.bytes_per_cell * min(smallest, packed[0] * packed[1]))
    if needed > config.max_memory_bytes:
        raise ConfigurationError(
            f"a frame of {pixels / 1e6:.0f} MP needs about {needed / 1e9:.1f} GB with these outputs,"
            f" more than the {config.max_memory_bytes / 1e9:.1f} GB allowed",
            hint=_ease(recipe, writing < needed),
        )
    fitting = recipe.tile(*packed, int((config.max_memory_bytes - held) / recipe.bytes_per_cell))
    return fitting if asked is None else (min(asked[0], fitting[0]), min(asked[1], fitting[1]))


def _ease(recipe: Recipe, denoising_is_most: bool) -> str:
    if denoising_is_most and recipe.bytes_of_state:
        return f"--recipe mmse: '{recipe.name}' holds states of the whole frame; or allow more"
    return "ask for one format at a time, or allow more"
