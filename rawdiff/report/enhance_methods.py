"""What the tables of enhancement compare: the enhancers, and a mere gain beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rawdiff.color.spaces import SPACES
from rawdiff.enhance.apply import enhance_picture
from rawdiff.enhance.catalog import ENHANCERS, load_enhancer

Method = Callable[[Tensor], Tensor]
"""Linear sRGB `[3, H, W]` at any level to display light of the same shape, linear, 1 is white."""

LINEAR_GAIN = "linear gain"
GAIN_TARGET = 0.4
"""Mean of the encoded picture that the gain aims at."""

_LUMINANCE = torch.tensor(SPACES["srgb"].luminance()).float().view(3, 1, 1)


def encode_srgb(light: Tensor) -> Tensor:
    """Display values 0..1 of linear light, clipped (IEC 61966-2-1), in double precision."""
    clipped = light.double().clamp(0.0, 1.0)
    power = 1.055 * clipped.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(clipped < 0.0031308, 12.92 * clipped, power)


def luminance_of(light: Tensor) -> Tensor:
    """Luminance `[H, W]` of linear sRGB."""
    return (light * _LUMINANCE.to(light.dtype)).sum(dim=0)


def gain_to_mean(light: Tensor, target: float = GAIN_TARGET) -> Tensor:
    """One gain for the picture, so that the mean of its encoded values is `target`; what passes 1 is cut."""
    low, high = -10.0, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        if float(encode_srgb(light * 2.0**middle).mean()) < target:
            low = middle
        else:
            high = middle
    gain: float = 2.0 ** ((low + high) / 2)
    return (light * gain).clamp(max=1.0)


def choose_enhancers(names: Sequence[str]) -> list[str]:
    """The enhancers of these names; all whose weights are there where none is named.

    Raises:
        ConfigurationError: no such enhancer, or its weights are not there.
    """
    wanted = [name for name in names if name != LINEAR_GAIN]
    if not names:
        wanted = [
            name for name, entry in ENHANCERS.items() if entry.weights is None or entry.weights.is_file()
        ]
    for name in wanted:
        load_enhancer(name)
    return wanted


def choose_methods(names: Sequence[str], seed: int = 0) -> dict[str, Method]:
    """The gain and the enhancers of these names; all that can run where none is named.

    Raises:
        ConfigurationError: no such enhancer, or its weights are not there.
    """
    gains: dict[str, Method] = {LINEAR_GAIN: gain_to_mean} if not names or LINEAR_GAIN in names else {}
    return gains | {name: _as_method(name, seed) for name in choose_enhancers(names)}


def _as_method(name: str, seed: int) -> Method:
    enhancer = load_enhancer(name)
    return lambda light: enhance_picture(light, enhancer, seed=seed)
