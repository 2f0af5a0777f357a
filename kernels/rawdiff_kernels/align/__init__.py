"""Tile alignment: where each tile of a frame lies in another frame."""

from rawdiff_kernels.align.op import downsample, match_tiles, tile_grid

__all__ = ["downsample", "match_tiles", "tile_grid"]
