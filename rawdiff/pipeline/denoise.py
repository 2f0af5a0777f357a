"""Running a recipe over a mosaic in tiles, and measuring what noise it leaves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from rawdiff_calibration.noise import NoiseModel, per_plane
from rawdiff_kernels import mosaic as mosaic_kernel

from rawdiff.raw.frame import Levels, RawFrame, plane_sites
from rawdiff.recipes.catalog import Recipe
from rawdiff.tiles import plan_tiles


def normalised_noise(noise: NoiseModel, levels: Levels, phase: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Gain and signal-independent standard deviation of R, Gr, Gb, B, `[4]`, where white minus black is 1."""
    sites = plane_sites(phase)  # type: ignore[arg-type]
    spans = [float(levels.range_dn()[site]) for site in sites]
    gains = [gain / span for gain, span in zip(per_plane(noise.gain_dn_per_e), spans, strict=True)]
    floors = [v**0.5 / span for v, span in zip(per_plane(noise.floor_variance_dn2()), spans, strict=True)]
    return torch.tensor(gains), torch.tensor(floors)


def denoise_frame(
    frame: RawFrame,
    noise: NoiseModel,
    recipe: Recipe,
    strength: float,
    *,
    exposure: float | torch.Tensor = 1.0,
    tile: tuple[int, int] | None = None,
    on_fraction: Callable[[float], None] | None = None,
) -> torch.Tensor:
    """Return the denoised mosaic `[H, W]`, black 0, white 1 per CFA site, negatives kept.

    Args:
        frame: the corrected mosaic.
        noise: the noise of one input frame, in the frame's DN.
        recipe: how.
        strength: 0 leaves the mosaic as it is.
        exposure: effective exposures, a number or `[H/2, W/2]`.
        tile: rows and columns of a tile in packed pixels; what suits the recipe where None. It does not
            change the result.
        on_fraction: told how much is done, from 0 to 1.
    """
    height, width = frame.shape
    gain, sigma = normalised_noise(noise, frame.levels, frame.phase)
    black, white = frame.levels.per_plane(frame.phase)
    result = torch.empty((height, width), dtype=torch.float32)
    size = recipe.tile(height // 2, width // 2) if tile is None else tile
    tiles = list(plan_tiles(height // 2, width // 2, size, recipe.halo, recipe.align))
    for number, part in enumerate(tiles):
        rows, columns = part.outer
        cells = np.array(
            frame.mosaic_dn[rows.start * 2 : rows.stop * 2, columns.start * 2 : columns.stop * 2]
        )
        packed = mosaic_kernel.pack(torch.from_numpy(cells), frame.phase, black.tolist(), white.tolist())
        light = exposure[part.outer] if isinstance(exposure, torch.Tensor) else exposure
        clean = recipe.denoise(packed, gain, sigma, light, strength)[(slice(None), *part.inner_in_outer)]
        rows, columns = part.inner
        target = result[rows.start * 2 : rows.stop * 2, columns.start * 2 : columns.stop * 2]
        target.copy_(mosaic_kernel.unpack(clean.contiguous(), frame.phase))
        if on_fraction is not None:
            on_fraction((number + 1) / len(tiles))
    return result


_LEVELS_E = (0.0, 2.0, 10.0, 50.0, 250.0, 1000.0)
_PATCH = 64


def residual_profile(
    noise: NoiseModel,
    levels: Levels,
    phase: str,
    recipe: Recipe,
    strength: float,
    exposure: float,
    seed: int = 0,
) -> tuple[tuple[float, float], ...]:
    """NoiseProfile pairs (S, O) of R, G, B that the recipe leaves, measured on simulated flat fields.

    Flat fields of 0 to 1000 electrons with the frame's own noise go through the recipe; a line through the
    variances that come out gives S and O. It is what remains on smooth areas, a lower bound elsewhere.
    """
    gain, sigma = normalised_noise(noise, levels, phase)
    generator = torch.Generator().manual_seed(seed)
    means, variances = [], []
    margin = min(recipe.halo, _PATCH // 4)
    for level in _LEVELS_E:
        light = torch.full((4, _PATCH, _PATCH), level * exposure)
        photons = torch.poisson(light, generator=generator) / exposure
        read = torch.randn(light.shape, generator=generator) / exposure**0.5
        planes = gain.view(4, 1, 1) * photons + sigma.view(4, 1, 1) * read
        clean = recipe.denoise(planes, gain, sigma, exposure, strength)
        inside = clean[:, margin : _PATCH - margin, margin : _PATCH - margin].double()
        means.append(level * gain.double())
        variances.append(inside.var(dim=(1, 2)))
    x, y = torch.stack(means).numpy(), torch.stack(variances).numpy()
    pairs = []
    for planes_of_color in ((0,), (1, 2), (3,)):
        xs, ys = x[:, planes_of_color].ravel(), y[:, planes_of_color].ravel()
        weights = 1.0 / np.maximum(ys, ys.max() * 1e-6)
        slope, floor = np.polyfit(xs, ys, 1, w=weights)
        pairs.append((max(float(slope), 1e-12), max(float(floor), 0.0)))
    return tuple(pairs)
