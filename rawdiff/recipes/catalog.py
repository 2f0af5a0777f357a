"""The recipes by name: what each is, whom it is by, what it needs, and the function that runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from rawdiff.errors import ConfigurationError
from rawdiff.recipes import exposure, mmse, sigma_map, wavelet_shrink
from rawdiff.recipes.walk import Walk
from rawdiff.tiles import divide

Denoise = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, "float | torch.Tensor", float], torch.Tensor]
WalkingDenoise = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, "float | torch.Tensor", float, Walk], torch.Tensor
]


@dataclass(frozen=True)
class Recipe:
    """A way to denoise packed raw.

    `denoise(planes, gain, sigma, exposure, strength)` takes `planes` `[4, h, w]` (black 0, white 1), the
    system gain and the signal-independent standard deviation per plane in the same units, the effective
    exposures (a number or `[h, w]`), and a strength from 0 to 1; it returns `[4, h, w]`.

    Cut into tiles whose edges fall on multiples of `align`, read with `halo` more packed pixels on each
    side, it gives what the whole frame gives. A recipe with `walking` walks in steps: its state is the
    whole frame, and the tiles are those of every step.
    """

    name: str
    title: str
    citation: str
    denoise: Denoise
    halo: int
    align: int
    cells: int
    """Packed pixels of a tile with its halo, where memory does not ask for fewer."""
    bytes_per_cell: float
    """Memory that denoising takes beyond input and output, per packed pixel of a tile with its halo."""
    bytes_of_strips: float = 0.0
    """Memory that it takes whatever the tile, and what the allocator keeps of it."""
    bytes_of_state: float = 0.0
    """Memory per pixel of the photograph for the state of a recipe that walks in steps."""
    weights: Path | None = None
    walking: WalkingDenoise | None = None
    errors: Path | None = None
    """Where what was learned of its errors lies, for `--uncertainty`."""

    def tile(self, height: int, width: int, cells: int | None = None) -> tuple[int, int]:
        """Rows and columns of the tiles that cost least, of at most `cells` packed pixels with their halo."""
        most = self.cells if cells is None else min(cells, self.cells)
        return divide(height, width, most, self.halo, self.align)

    def weights_identity(self) -> str | None:
        """SHA-256 of the weights file, None for a recipe without weights."""
        return None if self.weights is None else hashlib.sha256(self.weights.read_bytes()).hexdigest()


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="mmse",
            title="one evaluation of the camera-independent network in the variance-stabilised domain",
            citation="model card: rawdiff/weights/mmse.md; Makitalo & Foi 2013 (unbiased inverse)",
            denoise=mmse.denoise,
            halo=mmse.HALO,
            align=mmse.ALIGN,
            cells=1 << 22,
            bytes_per_cell=150.0,
            bytes_of_strips=380e6,
            weights=mmse.WEIGHTS,
            errors=mmse.WEIGHTS.with_name("mmse-errors.json"),
        ),
        Recipe(
            name="exposure",
            title="the exposure diffusion: photons are added in steps, the photograph judged again; --steps",
            citation="Wang et al., ExposureDiffusion, ICCV 2023; model card: rawdiff/weights/exposure.md",
            denoise=exposure.denoise,
            walking=exposure.denoise,
            halo=mmse.HALO - mmse.BLOCK,
            align=mmse.ALIGN,
            cells=1 << 22,
            bytes_per_cell=150.0,
            bytes_of_strips=380e6,
            bytes_of_state=24.0,
            weights=exposure.WEIGHTS,
            errors=exposure.WEIGHTS.with_name("exposure-errors.json"),
        ),
        Recipe(
            name="sigma-map",
            title="posterior samples that start at the photograph, their mean; --steps, --samples, --seed",
            citation="Kawar et al. 2021; Pearl et al. 2023; the network of mmse",
            denoise=sigma_map.denoise,
            walking=sigma_map.denoise,
            halo=mmse.HALO - mmse.BLOCK,
            align=16,
            cells=1 << 22,
            bytes_per_cell=150.0,
            bytes_of_strips=380e6,
            bytes_of_state=32.0,
            weights=mmse.WEIGHTS,
        ),
        Recipe(
            name="wavelet-shrink",
            title="cycle-spun Haar shrinkage of photon counts, in linear light",
            citation="Coifman & Donoho 1995; Fryzlewicz & Nason 2004; Luisier et al. 2010",
            denoise=wavelet_shrink.denoise,
            halo=wavelet_shrink.HALO,
            align=wavelet_shrink.ALIGN,
            cells=1 << 18,
            bytes_per_cell=500.0,
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        ConfigurationError: there is none; the message lists those there are.
    """
    if name not in RECIPES:
        raise ConfigurationError(f"there is no recipe '{name}'", hint=f"one of {', '.join(sorted(RECIPES))}")
    return RECIPES[name]
