"""The classical floor: cycle-spun Haar shrinkage of packed raw, with the noise of photons at every scale.

What it does and whose ideas it rests on is told in `rawdiff.physics.shrinkage`. It needs no weights and no
training, keeps the mean of the light exactly, and is what every learned recipe has to beat.
"""

from __future__ import annotations

import torch

from rawdiff.physics.shrinkage import REACH, NoiseLaw, shrink

HALO = REACH
"""Packed pixels that a tile reads around itself."""

ALIGN = 1
"""Tiles may be cut anywhere: the transform is the same at every shift."""


def denoise(
    planes: torch.Tensor,
    gain: torch.Tensor,
    sigma: torch.Tensor,
    exposure: float | torch.Tensor = 1.0,
    strength: float = 1.0,
) -> torch.Tensor:
    """Denoise packed raw; variance of a pixel x: (gain x + sigma^2) / exposure.

    The frame is continued by its mirror image. Every step is exact arithmetic in a fixed order, so tiles
    with `HALO` and any number of threads give the bits of the whole frame.

    Args:
        planes: `[4, h, w]` float32 R, Gr, Gb, B; black 0, white 1, negatives kept.
        gain: `[4]` normalised units per electron, above 0.
        sigma: `[4]` standard deviation in the dark, normalised units.
        exposure: effective exposures, a number or `[h, w]`, above 0.
        strength: 0 gives the input back, 1 the full effect.

    Returns:
        `[4, h, w]` float32 in the same units.

    Raises:
        ValueError: shapes that do not fit, or figures out of range.
    """
    _check(planes, gain, sigma, exposure, strength)
    if strength == 0.0:
        return planes.clone()
    spread: float | torch.Tensor
    if isinstance(exposure, torch.Tensor):
        spread = _mirror(exposure.to(torch.float32).reciprocal(), HALO)
    else:
        spread = 1.0 / exposure
    noise = NoiseLaw(
        gain.to(torch.float32).view(-1, 1, 1), sigma.to(torch.float32).square().view(-1, 1, 1), spread
    )
    clean = shrink(_mirror(planes, HALO), noise)
    return clean if strength == 1.0 else planes + (clean - planes) * strength


def _check(
    planes: torch.Tensor,
    gain: torch.Tensor,
    sigma: torch.Tensor,
    exposure: float | torch.Tensor,
    strength: float,
) -> None:
    if planes.ndim != 3 or planes.numel() == 0:
        raise ValueError(f"packed raw is [planes, h, w], not {tuple(planes.shape)}")
    count, height, width = planes.shape
    if gain.shape != (count,) or sigma.shape != (count,):
        raise ValueError(f"{count} planes need {count} gains and sigmas, got {gain.shape} and {sigma.shape}")
    if not bool((gain > 0).all()) or not bool((sigma >= 0).all()):
        raise ValueError(f"gain must be above 0 and sigma at least 0, got {gain.tolist()}, {sigma.tolist()}")
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength is from 0 to 1, not {strength}")
    light = exposure if isinstance(exposure, torch.Tensor) else torch.tensor(exposure)
    if light.ndim and light.shape != (height, width):
        raise ValueError(f"an exposure map has the planes' size {height}x{width}, not {tuple(light.shape)}")
    if not bool((light > 0).all()):
        raise ValueError("effective exposures must be above 0")


def _mirror(planes: torch.Tensor, pixels: int) -> torch.Tensor:
    """Continue planes `[..., h, w]` by their mirror image, the edge pixel repeated."""
    for dim in (-2, -1):
        length = planes.shape[dim]
        index = torch.arange(-pixels, length + pixels) % (2 * length)
        planes = planes.index_select(dim, torch.minimum(index, 2 * length - 1 - index))
    return planes
