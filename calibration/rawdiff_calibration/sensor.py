"""A camera that obeys the noise model, with known truth: what every estimator is tested against.

D = round(K * Poisson(light + dark) + read + row + column + fixed pattern + drift + black), within 0..white
(Wei et al., TPAMI 2021, eq. 1-9; fixed pattern as in EMVA 1288 R4.0; a dual-gain pixel as in the per-ISO
tables of Feng et al., MM 2022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.defects import DEAD, HOT, TELEGRAPH, DefectMap
from rawdiff_calibration.mosaic import CfaPhase, Mosaic, color_planes, plane_slices
from rawdiff_calibration.noise import FourPlanes, NoiseModel, ThreeColors
from rawdiff_calibration.tail import sample_tukey, tukey_std


@dataclass(frozen=True, eq=False)
class SimulatedSensor:
    """A Bayer (or, with phase None, monochrome) camera `[H, W]`; `seed` fixes its fixed pattern.

    Attributes:
        gain_at_iso_100: system gain K at ISO 100 [DN/e-]; K is proportional to ISO.
        color_gains: factor on K of R, G, B (a white balance applied before the ADC).
        color_response: light of R, G, B relative to the level asked for.
        dual_gain_iso: from this ISO on the pixel reads with `read_e[1]` instead of `read_e[0]`; None: never.
        read_e: read noise before the gain, low and high conversion gain [e-].
        adc_noise_dn: read noise behind the gain [DN].
        tail: Tukey-lambda shape of the read noise at an ISO.
        row_noise_e, column_noise_e: offset shared by a row or column, one draw a frame [e-].
        row_noise_dn, column_noise_dn: the part of it behind the gain [DN].
        dark_current_e_per_s, dark_current_spread: mean, and its relative spread over the pixels.
        dsnu_e: spread of the pixels' offset, the columns', the rows' [e-].
        prnu: relative spread of the pixels' response, the columns', the rows'.
        hot, dead, telegraph: fraction of the pixels that are so.
        hot_rate_e_per_s, telegraph_e: range of the defects' strength.
        black_drift_dn: spread of the offset of a whole frame [DN].
        bias_dn: offset of R, Gr, Gb, B beyond the black level [DN].
        vignetting: light lost in the corners, as a fraction.
        curvature: relative loss of response at the full well (0: linear).
    """

    shape: tuple[int, int] = (256, 384)
    phase: CfaPhase | None = "RGGB"
    seed: int = 0
    black_dn: float = 512.0
    white_dn: float = 16383.0
    full_well_e: float = 60000.0
    gain_at_iso_100: float = 0.25
    color_gains: ThreeColors = (1.0, 1.0, 1.0)
    color_response: ThreeColors = (0.6, 1.0, 0.8)
    flux_e_per_s: float = 30000.0
    dual_gain_iso: float | None = 800.0
    read_e: tuple[float, float] = (4.5, 1.6)
    adc_noise_dn: float = 0.9
    tail: Callable[[float], float] = lambda iso: 0.1 - 0.03 * float(np.log2(iso / 100))
    row_noise_e: float = 0.1
    row_noise_dn: float = 0.12
    column_noise_e: float = 0.06
    column_noise_dn: float = 0.05
    dark_current_e_per_s: float = 0.8
    dark_current_spread: float = 0.1
    dsnu_e: ThreeColors = (1.5, 0.3, 0.2)
    prnu: ThreeColors = (0.008, 0.001, 0.001)
    hot: float = 2e-4
    dead: float = 1e-4
    telegraph: float = 1e-4
    hot_rate_e_per_s: tuple[float, float] = (20.0, 400.0)
    telegraph_e: tuple[float, float] = (60.0, 300.0)
    black_drift_dn: float = 0.03
    bias_dn: FourPlanes = (0.0, 0.0, 0.0, 0.0)
    vignetting: float = 0.15
    curvature: float = 0.0

    def gain_dn_per_e(self, iso: float) -> ThreeColors:
        """System gain K of R, G, B at an ISO [DN/e-]."""
        red, green, blue = (self.gain_at_iso_100 * iso / 100 * factor for factor in self.color_gains)
        return red, green, blue

    def read_noise_dn(self, iso: float) -> ThreeColors:
        """Standard deviation of the pixel-wise read noise of R, G, B [DN], without rounding."""
        high = self.dual_gain_iso is not None and iso >= self.dual_gain_iso
        noise_e = self.read_e[1] if high else self.read_e[0]
        red, green, blue = (float(np.hypot(noise_e * k, self.adc_noise_dn)) for k in self.gain_dn_per_e(iso))
        return red, green, blue

    def noise_model(self, iso: float) -> NoiseModel:
        """The truth at an ISO; the tail's scale is that of green."""
        shape, read = self.tail(iso), self.read_noise_dn(iso)
        k = self.gain_dn_per_e(iso)[1]
        return NoiseModel(
            self.gain_dn_per_e(iso),
            read,
            tukey_lambda=shape,
            tukey_scale_dn=read[1] / tukey_std(shape),
            row_noise_dn=float(np.hypot(self.row_noise_e * k, self.row_noise_dn)),
            column_noise_dn=float(np.hypot(self.column_noise_e * k, self.column_noise_dn)),
            bias_dn=self.bias_dn,
            origin="simulated",
        )

    def flat(
        self, *, iso: float, seed: int, level_e: float | None = None, exposure_s: float | None = None
    ) -> Mosaic:
        """Frame of an even target: `level_e` electrons in a green pixel at the centre, or an exposure time.

        Raises:
            ValueError: neither `level_e` nor `exposure_s`.
        """
        if level_e is None and exposure_s is None:
            raise ValueError("a flat needs level_e or exposure_s")
        time = level_e / self.flux_e_per_s if exposure_s is None and level_e is not None else exposure_s
        level = self.flux_e_per_s * float(time or 0.0) if level_e is None else level_e
        return self.expose(self._even_light * np.float32(level), float(time or 0.0), iso=iso, seed=seed)

    def dark(self, exposure_s: float, *, iso: float, seed: int) -> Mosaic:
        """Frame without light."""
        return self.expose(np.zeros(self.shape, np.float32), exposure_s, iso=iso, seed=seed)

    def expose(self, light_e: Mosaic, exposure_s: float, *, iso: float, seed: int) -> Mosaic:
        """Frame of a scene `light_e` `[H, W]`: mean photo-electrons per pixel of even response, in DN."""
        rng = np.random.default_rng((self.seed, seed))
        signal = light_e * self._response
        signal -= np.float32(self.curvature / self.full_well_e) * signal * signal
        mean = signal + self._dark_rate * np.float32(exposure_s)
        electrons = np.minimum(rng.poisson(mean), self.full_well_e).astype(np.float32)
        places, strengths = self._telegraph
        electrons.flat[places] += np.where(rng.random(places.size) < 0.5, strengths, 0)
        frame = electrons + self._offset_e
        self._per_color(frame, self.gain_dn_per_e(iso), np.multiply)
        frame += self._draw_noise(iso, rng)
        frame += np.float32(self.black_dn + rng.normal(0, self.black_drift_dn))
        for place, bias in zip(plane_slices(self.phase), self.bias_dn, strict=False):
            frame[place] += np.float32(bias)
        return np.asarray(np.clip(np.rint(frame), 0, self.white_dn), np.float32)

    @cached_property
    def defect_map(self) -> DefectMap:
        """The pixels that are hot, dead or random-telegraph, with the codes of `defects`."""
        rng = np.random.default_rng((self.seed, 1))
        counts = [round(f * self.shape[0] * self.shape[1]) for f in (self.hot, self.dead, self.telegraph)]
        places = rng.choice(self.shape[0] * self.shape[1], size=sum(counts), replace=False)
        codes = np.zeros(self.shape, np.uint8)
        codes.flat[places] = np.repeat([HOT, DEAD, TELEGRAPH], counts)
        return codes

    def _draw_noise(self, iso: float, rng: np.random.Generator) -> Mosaic:
        """Read, row and column noise of one frame [DN]."""
        model = self.noise_model(iso)
        noise = sample_tukey(self.tail(iso), self.shape, rng)
        self._per_color(noise, tuple(s / tukey_std(self.tail(iso)) for s in model.read_noise_dn), np.multiply)
        noise += rng.normal(0, model.row_noise_dn, (self.shape[0], 1)).astype(np.float32)
        noise += rng.normal(0, model.column_noise_dn, (1, self.shape[1])).astype(np.float32)
        return noise

    def _per_color(
        self, mosaic: Mosaic, factors: tuple[float, ...], apply: Callable[..., NDArray[np.float32]]
    ) -> None:
        """Apply one factor a colour to the mosaic, in place; a monochrome sensor takes green's."""
        slices = plane_slices(self.phase)
        used = factors if self.phase else factors[1:2]
        for planes, factor in zip(color_planes(self.phase), used, strict=True):
            for plane in planes:
                apply(mosaic[slices[plane]], np.float32(factor), out=mosaic[slices[plane]])

    def _pattern(self, spreads: ThreeColors, stream: int) -> Mosaic:
        """Fixed pattern: a pixel, a column and a row part, of zero mean over each plane."""
        rng = np.random.default_rng((self.seed, stream))
        pixel, column, row = spreads
        pattern = rng.normal(0, pixel, self.shape) + rng.normal(0, column, (1, self.shape[1]))
        pattern += rng.normal(0, row, (self.shape[0], 1))
        for place in plane_slices(self.phase):
            pattern[place] -= pattern[place].mean()
        return np.asarray(pattern, np.float32)

    @cached_property
    def _response(self) -> Mosaic:
        """Relative response of the pixels; dead ones have none."""
        response = 1 + self._pattern(self.prnu, 2)
        response[self.defect_map == DEAD] = 0
        return response

    @cached_property
    def _offset_e(self) -> Mosaic:
        return self._pattern(self.dsnu_e, 3)

    @cached_property
    def _dark_rate(self) -> Mosaic:
        """Dark current of each pixel [e-/s]; hot pixels have far more."""
        rng = np.random.default_rng((self.seed, 4))
        spread = np.sqrt(np.log1p(self.dark_current_spread**2))
        rate = self.dark_current_e_per_s * rng.lognormal(-(spread**2) / 2, spread, self.shape)
        hot = self.defect_map == HOT
        low, high = np.log(self.hot_rate_e_per_s)
        rate[hot] = np.exp(rng.uniform(low, high, int(hot.sum())))
        return rate.astype(np.float32)

    @cached_property
    def _telegraph(self) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Places and strengths [e-] of the random-telegraph pixels."""
        rng = np.random.default_rng((self.seed, 5))
        places = np.flatnonzero(self.defect_map == TELEGRAPH)
        return places, rng.uniform(*self.telegraph_e, places.size)

    @cached_property
    def _even_light(self) -> Mosaic:
        """An even target behind the lens, relative to a green pixel at the centre."""
        rows, columns = (np.linspace(-1, 1, count, dtype=np.float32) for count in self.shape)
        light = 1 - np.float32(self.vignetting / 2) * (rows[:, None] ** 2 + columns[None, :] ** 2)
        self._per_color(light, self.color_response, np.multiply)
        return light
