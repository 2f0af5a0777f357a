"""The enhancers by name: what each is, whom it is by, what it needs, and the function that builds it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rawdiff.enhance.light import Enhancer
from rawdiff.enhance.local import LocalExposure
from rawdiff.errors import ConfigurationError


@dataclass(frozen=True)
class EnhancerEntry:
    """A way to give a picture normal light, before its weights are loaded.

    Attributes:
        name: what the command line calls it.
        title: what it does, in a line.
        citation: whom it is by.
        build: makes the enhancer; called once.
        weights: the file it needs, None where there is none.
    """

    name: str
    title: str
    citation: str
    build: Callable[[], Enhancer]
    weights: Path | None = None

    def weights_identity(self) -> str | None:
        """SHA-256 of the weights file, None for an enhancer without weights."""
        return None if self.weights is None else hashlib.sha256(self.weights.read_bytes()).hexdigest()


_WEIGHTS = Path(str(files("rawdiff") / "weights"))


def _build_quadprior() -> Enhancer:
    # Networks are imported when they are built: a list of names need not wait for them.
    from rawdiff.enhance.quadprior import QuadPrior

    return QuadPrior()


def _build_wavelet() -> Enhancer:
    # Networks are loaded when they are asked for: a list of names need not wait for them.
    from rawdiff.enhance.wavelet import WaveletDiffusion

    return WaveletDiffusion()


ENHANCERS: dict[str, EnhancerEntry] = {
    entry.name: entry
    for entry in (
        EnhancerEntry(
            name="local",
            title="edge-preserving illumination estimate, exposures fused by it in linear light",
            citation="He, Sun & Tang 2013 (guided filter); Mertens, Kautz & Van Reeth 2007 (exposure fusion)",
            build=LocalExposure,
        ),
        EnhancerEntry(
            name="quadprior",
            title="light regenerated from what light does not change, detail passed by; zero-reference",
            citation="Wang, Ren, Yang, Huang & Liu, CVPR 2024 (physical quadruple priors)",
            build=_build_quadprior,
            weights=_WEIGHTS / "quadprior.safetensors",
        ),
        EnhancerEntry(
            name="wavelet",
            title="diffusion on the average band of two Haar levels, carried along edges; detail restored",
            citation="Jiang et al. 2023 (DiffLL); He & Sun 2015 (fast guided filter)",
            build=_build_wavelet,
            weights=_WEIGHTS / "wavelet.safetensors",
        ),
    )
}


def find_entry(name: str) -> EnhancerEntry:
    """Return the entry of that name.

    Raises:
        ConfigurationError: there is none; the message lists those there are.
    """
    if name not in ENHANCERS:
        known = ", ".join(sorted(ENHANCERS))
        raise ConfigurationError(f"there is no enhancer '{name}'", hint=f"one of {known}, or none")
    return ENHANCERS[name]


@functools.cache
def load_enhancer(name: str) -> Enhancer:
    """Build the enhancer of that name, with its weights, once.

    Raises:
        ConfigurationError: no such enhancer, or its weights are not there.
    """
    entry = find_entry(name)
    if entry.weights is not None and not entry.weights.is_file():
        raise ConfigurationError(
            f"the weights of '{name}' are not there",
            where=entry.weights,
            hint=f"train them: rawdiff train {name}",
        )
    return entry.build()
