"""The noise of one frame: what the sensor adds to the light, in DN.

D = K * Poisson(I) + read + row + column + rounding + bias, I in electrons
(Wei et al., "Physics-based noise modeling for extreme low-light photography", TPAMI 2021, eq. 1-9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

ThreeColors = tuple[float, float, float]
FourPlanes = tuple[float, float, float, float]
_T = TypeVar("_T")


def per_plane(colors: Sequence[_T]) -> tuple[_T, _T, _T, _T]:
    """Spread R, G, B over the planes R, Gr, Gb, B: the two greens share one model."""
    red, green, blue = colors
    return red, green, green, blue


@dataclass(frozen=True)
class NoiseModel:
    """Var[D] = K (D - black) + read^2 + row^2 + column^2 + step^2/12, per colour.

    Gr and Gb are tied: untied greens make maze artefacts. The standard deviations are those of the stored
    values (one frame); `tukey_scale_dn` is a *scale*, not a standard deviation.

    Attributes:
        gain_dn_per_e: system gain K of R, G, B [DN/e-], above 0.
        read_noise_dn: standard deviation of the pixel-wise read noise of R, G, B [DN], without rounding.
        tukey_lambda: shape of the read noise's Tukey-lambda law; None where it is Gaussian.
        tukey_scale_dn: its scale [DN]; None where it is Gaussian.
        row_noise_dn: standard deviation of the offset that a mosaic row shares [DN].
        column_noise_dn: the same for a column [DN].
        quantisation_dn: the step of the stored values [DN]; 0 for float data.
        bias_dn: offset of R, Gr, Gb, B beyond the black level [DN].
        origin: where the model comes from, in words a person understands.
    """

    gain_dn_per_e: ThreeColors
    read_noise_dn: ThreeColors
    tukey_lambda: float | None = None
    tukey_scale_dn: float | None = None
    row_noise_dn: float = 0.0
    column_noise_dn: float = 0.0
    quantisation_dn: float = 1.0
    bias_dn: FourPlanes = (0.0, 0.0, 0.0, 0.0)
    origin: str = "given"

    def __post_init__(self) -> None:
        if not all(np.isfinite(k) and k > 0 for k in self.gain_dn_per_e):
            raise ValueError(f"system gain must be above 0 DN/e-, got {self.gain_dn_per_e}")
        spreads = (*self.read_noise_dn, self.row_noise_dn, self.column_noise_dn, self.quantisation_dn)
        if not all(np.isfinite(s) and s >= 0 for s in spreads):
            raise ValueError(f"standard deviations must be at least 0 DN, got {spreads}")

    @classmethod
    def uniform(cls, gain_dn_per_e: float, read_noise_dn: float, **fields: object) -> NoiseModel:
        """Build a model whose three colours share K and read noise."""
        model = cls((gain_dn_per_e,) * 3, (read_noise_dn,) * 3)
        return replace(model, **fields)  # type: ignore[arg-type]

    def floor_variance_dn2(self) -> ThreeColors:
        """Variance in the dark of R, G, B [DN^2]: read, row, column and rounding together."""
        shared = self.row_noise_dn**2 + self.column_noise_dn**2 + self.quantisation_dn**2 / 12
        red, green, blue = (read**2 + shared for read in self.read_noise_dn)
        return red, green, blue

    def variance_dn2(self, signal_dn: NDArray[np.floating], color: int) -> NDArray[np.float64]:
        """Variance of a value whose mean above black is `signal_dn`, in colour 0, 1 or 2 [DN^2]."""
        light = np.maximum(np.asarray(signal_dn, dtype=np.float64), 0.0)
        return self.gain_dn_per_e[color] * light + self.floor_variance_dn2()[color]

    def averaged(self, frames: float) -> NoiseModel:
        """Return the model of the mean of `frames` independent frames: K/N, variances/N.

        The mean of N frames is one frame of N times the exposure, read at a gain of K/N. The rounding of
        each frame is averaged like noise; the mean itself is not rounded again.
        """
        if frames <= 0:
            raise ValueError(f"cannot average {frames} frames")
        root = float(np.sqrt(frames))
        red, green, blue = (
            float(np.sqrt(read**2 + self.quantisation_dn**2 / 12)) / root for read in self.read_noise_dn
        )
        gain_red, gain_green, gain_blue = (gain / frames for gain in self.gain_dn_per_e)
        return replace(
            self,
            gain_dn_per_e=(gain_red, gain_green, gain_blue),
            read_noise_dn=(red, green, blue),
            tukey_lambda=None,
            tukey_scale_dn=None,
            row_noise_dn=self.row_noise_dn / root,
            column_noise_dn=self.column_noise_dn / root,
            quantisation_dn=0.0,
            origin=f"{self.origin}, {frames:g} frames merged",
        )

    def to_dng(self, range_dn: ThreeColors) -> tuple[tuple[float, float], ...]:
        """DNG NoiseProfile pairs (S, O) of R, G, B for data scaled by white minus black.

        S = K / range, O = floor variance / range^2 (DNG 1.7, NoiseProfile).
        """
        floor = self.floor_variance_dn2()
        return tuple(
            (k / span, variance / span**2)
            for k, variance, span in zip(self.gain_dn_per_e, floor, range_dn, strict=True)
        )

    @classmethod
    def from_dng(
        cls, profile: Sequence[tuple[float, float]], range_dn: ThreeColors, quantisation_dn: float = 1.0
    ) -> NoiseModel:
        """Read DNG NoiseProfile pairs, one for all colours or one each.

        The rounding variance is taken out of O, as O holds the total.

        Raises:
            ValueError: neither one nor three pairs, S not above 0, or O below 0.
        """
        if len(profile) not in (1, 3):
            raise ValueError(f"NoiseProfile has 1 or 3 pairs, not {len(profile)}")
        pairs = list(profile) * (3 // len(profile))
        if any(not s > 0 or o < 0 for s, o in pairs):
            raise ValueError(f"NoiseProfile needs S > 0 and O >= 0, got {pairs}")
        gains = [s * span for (s, _), span in zip(pairs, range_dn, strict=True)]
        floors = [o * span**2 - quantisation_dn**2 / 12 for (_, o), span in zip(pairs, range_dn, strict=True)]
        reads = [float(np.sqrt(max(floor, 0.0))) for floor in floors]
        return cls(
            (gains[0], gains[1], gains[2]),
            (reads[0], reads[1], reads[2]),
            quantisation_dn=quantisation_dn,
            origin="the file's NoiseProfile",
        )
