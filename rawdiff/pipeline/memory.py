"""How much memory a photograph takes, said before it is begun."""

from __future__ import annotations

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.config import Format, ProcessConfig

_FIXED_BYTES = 650_000_000
"""Libraries, a network, the tiles and bands in work: what small frames take too."""
_BYTES_PER_PIXEL = 8.5
"""The mosaic and its clean copy, both float32, with what is left of their making."""
_FOR_FORMAT: dict[Format, float] = {"jpeg": 4.0, "tiff": 0.5, "dng": 5.0, "linear-dng": 12.5}
"""Bytes per pixel that an output adds while it is written; outputs follow one another."""


def estimate_memory(pixels: int, formats: tuple[Format, ...]) -> int:
    """Peak resident bytes of processing a frame of so many pixels, from `benchmarks.process`."""
    return int(_FIXED_BYTES + pixels * (_BYTES_PER_PIXEL + max(_FOR_FORMAT[kind] for kind in formats)))


def check_memory(shape: tuple[int, int], config: ProcessConfig) -> None:
    """Refuse a frame that would not fit into `--max-memory`, before work is lost on it.

    Frames are worked on in bands and tiles whose size does not grow, so what counts is the frame itself
    and its outputs.

    Raises:
        ConfigurationError: naming what the frame needs.
    """
    if config.max_memory_bytes is None:
        return
    height, width = shape
    needed = estimate_memory(height * width, config.formats)
    if needed > config.max_memory_bytes:
        raise ConfigurationError(
            f"a frame of {height * width / 1e6:.0f} MP needs about {needed / 1e9:.1f} GB with these outputs,"
            f" more than the {config.max_memory_bytes / 1e9:.1f} GB allowed",
            hint="ask for one format at a time, or allow more",
        )
