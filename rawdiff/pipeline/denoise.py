"""Running a recipe over a mosaic in tiles, and measuring what noise it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from rawdiff_calibration.noise import NoiseModel, per_plane
from rawdiff_kernels import mosaic as mosaic_kernel

from rawdiff.raw.frame import Levels, RawFrame, plane_sites
from rawdiff.recipes.catalog import Recipe
from rawdiff.recipes.spread import REACH, SpreadModel, measurement_variance
from rawdiff.recipes.walk import Walk
from rawdiff.tiles import plan_tiles

_BAND_CELLS = 512


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
    walk: Walk = Walk(),  # noqa: B008  frozen
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
        walk: steps, samples and seed of a recipe that walks in steps.
        on_fraction: told how much is done, from 0 to 1.
    """
    height, width = frame.shape
    gain, sigma = normalised_noise(noise, frame.levels, frame.phase)
    size = recipe.tile(height // 2, width // 2) if tile is None else tile
    if recipe.walking is not None:
        packed = _pack(frame, (slice(height // 2), slice(width // 2)))
        told = replace(walk, tile=size, on_fraction=on_fraction)
        clean = recipe.walking(packed, gain, sigma, exposure, strength, told)
        return mosaic_kernel.unpack(clean.contiguous(), frame.phase)
    result = torch.empty((height, width), dtype=torch.float32)
    tiles = list(plan_tiles(height // 2, width // 2, size, recipe.halo, recipe.align))
    for number, part in enumerate(tiles):
        light = exposure[part.outer] if isinstance(exposure, torch.Tensor) else exposure
        packed = _pack(frame, part.outer)
        clean = recipe.denoise(packed, gain, sigma, light, strength)[(slice(None), *part.inner_in_outer)]
        result[_on_mosaic(part.inner)].copy_(mosaic_kernel.unpack(clean.contiguous(), frame.phase))
        if on_fraction is not None:
            on_fraction((number + 1) / len(tiles))
    return result


def deviation_frame(
    frame: RawFrame,
    clean: torch.Tensor,
    noise: NoiseModel,
    errors: SpreadModel,
    strength: float,
    *,
    exposure: float | torch.Tensor = 1.0,
) -> torch.Tensor:
    """Standard deviation of the error of a denoised mosaic, `[H, W]`, in electrons of one input frame.

    Args:
        frame: the corrected mosaic that was denoised.
        clean: the mosaic `[H, W]` as `denoise_frame` gave it.
        noise: of one input frame, in the frame's DN.
        errors: what was learned of the recipe's errors.
        strength: that of the denoising: below 1 a part of the photograph's own noise is in it.
        exposure: effective exposures, a number or `[H/2, W/2]`.
    """
    height, width = frame.shape
    gain, sigma = normalised_noise(noise, frame.levels, frame.phase)
    zero, one = [0.0] * 4, [1.0] * 4
    result = torch.empty((height, width), dtype=torch.float32)
    for part in plan_tiles(height // 2, width // 2, _BAND_CELLS, REACH, REACH):
        light = exposure[part.outer] if isinstance(exposure, torch.Tensor) else exposure
        seen = mosaic_kernel.pack(clean[_on_mosaic(part.outer)].contiguous(), frame.phase, zero, one)
        packed = _pack(frame, part.outer)
        # A part of the noise that was left in is no sign of what was there to see.
        full = seen if strength in (0.0, 1.0) else packed + (seen - packed) / strength
        own = measurement_variance(full, gain, sigma, light)
        learned = errors.deviation_e(packed, full, gain, sigma, light) if strength else torch.zeros(())
        spread = torch.sqrt((strength * learned).square() + (1 - strength) ** 2 * own)
        inner = spread[(slice(None), *part.inner_in_outer)].contiguous()
        result[_on_mosaic(part.inner)].copy_(mosaic_kernel.unpack(inner, frame.phase))
    return result


def _pack(frame: RawFrame, window: tuple[slice, slice]) -> torch.Tensor:
    black, white = frame.levels.per_plane(frame.phase)
    cells = torch.from_numpy(np.array(frame.mosaic_dn[_on_mosaic(window)]))
    return mosaic_kernel.pack(cells, frame.phase, black.tolist(), white.tolist())


def _on_mosaic(window: tuple[slice, slice]) -> tuple[slice, slice]:
    """Packed rows and columns as those of the mosaic."""
    rows, columns = (slice(2 * part.start if part.start else 0, 2 * part.stop) for part in window)
    return rows, columns


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
