"""Enhancement in the way of a raw photograph: between linear light after white balance and the display.

An enhancer gives display light, normally lit and white at 1. So neither the automatic exposure nor the
filmic curve follows: the picture would be made bright twice. `--exposure` then counts from the enhancer's
own level. At a strength below 1 its light is mixed with what the picture would be without: exposure, curve
and all. Enhancers know sRGB's primaries; in a wider output space the light goes there and back, and colours
outside sRGB go along as negative values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rawdiff.color.render import Renderer
from rawdiff.color.spaces import SPACES
from rawdiff.enhance.apply import Enhancement, mix_light, settle
from rawdiff.enhance.catalog import find_entry, load_enhancer
from rawdiff.pipeline.config import ProcessConfig

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False)
class EnhancedRendering:
    """A renderer and the enhancement that stands in its way; bands give the picture of the whole.

    Attributes:
        enhancement: settled for this picture.
        to_srgb: linear output RGB to linear sRGB; None where they are the same.
        from_srgb: and back.
    """

    enhancement: Enhancement
    to_srgb: Rows | None
    from_srgb: Rows | None

    @property
    def halo(self) -> int:
        """Rows above and below that a band must bring along."""
        return self.enhancement.halo

    def apply(self, camera: torch.Tensor, renderer: Renderer, top: int, bottom: int) -> torch.Tensor:
        """Render rows `top` to `bottom`.

        Args:
            camera: those rows with up to `halo` rows more on either side, camera RGB `[3, rows, W]`.
            renderer: prepared.
            top: first row that is returned.
            bottom: the row after the last.

        Returns:
            Display values `[bottom - top, W, 3]`, uint8 or uint16.
        """
        light = renderer.to_light(camera)
        lit = _turn(self.enhancement.relit(_turn(light, self.to_srgb), top, bottom), self.from_srgb)
        first, strength = min(self.halo, top), self.enhancement.strength
        inner = light[:, first : first + bottom - top]

        def shown(part: torch.Tensor, rows: slice) -> torch.Tensor:
            fitted = renderer.fit(part)
            if strength == 1:
                return fitted
            return mix_light(renderer.show(renderer.fit(inner[:, rows])), fitted, strength)

        return renderer.in_strips(lit, shown)


def prepare_enhancement(
    survey: torch.Tensor, size: tuple[int, int], renderer: Renderer, config: ProcessConfig
) -> EnhancedRendering | None:
    """Settle the enhancement of a photograph; None where none was asked for, or with no strength.

    Args:
        survey: its small copy (`survey.survey_picture`), camera RGB `[3, h, w]`.
        size: rows and columns of the photograph.
        renderer: prepared for it.
        config: the enhancer, its strength, the seed, an exposure.

    Raises:
        ConfigurationError: no such enhancer, or its weights are not there.
    """
    if config.enhance is None or config.enhance_strength == 0:
        return None
    enhancer = load_enhancer(config.enhance)
    space = SPACES[renderer.space].to_xyz()
    srgb = SPACES["srgb"].to_xyz()
    matrices: tuple[Rows | None, Rows | None] = (None, None)
    if renderer.space != "srgb":
        matrices = _rows(np.linalg.solve(srgb, space)), _rows(np.linalg.solve(space, srgb))
    small = _turn(renderer.to_light(survey), matrices[0])
    settled = settle(enhancer, small, size, config.enhance_strength, config.seed)
    return EnhancedRendering(replace(settled, exposure_ev=config.exposure_ev or 0.0), *matrices)


def describe_enhancement(config: ProcessConfig) -> dict[str, Any] | None:
    """What was asked for, by whom it is, and which weights: for provenance. None without enhancement."""
    if config.enhance is None:
        return None
    entry = find_entry(config.enhance)
    return {
        "name": entry.name,
        "citation": entry.citation,
        "weights": entry.weights_identity(),
        "strength": config.enhance_strength,
        "outputs": "pictures only; DNGs keep the light of the scene",
    }


def _rows(matrix: NDArray[np.floating[Any]]) -> Rows:
    return tuple(tuple(row) for row in matrix.tolist())


def _turn(rgb: torch.Tensor, matrix: Rows | None) -> torch.Tensor:
    """Multiply colours `[3, h, w]` by a matrix, in exact elementwise arithmetic."""
    if matrix is None:
        return rgb
    return torch.stack([(rgb[0] * a + rgb[1] * b) + rgb[2] * c for a, b, c in matrix])
