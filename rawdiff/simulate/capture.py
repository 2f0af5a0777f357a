"""What a sensor makes of light: shot, read, row and column noise, colour bias, rounding, saturation.

D = K * Poisson(I) + read + row + column + bias, rounded to the stored step
(Wei et al., "Physics-based noise modeling for extreme low-light photography", TPAMI 2021, eq. 1-9).
Rounding comes last, as in a real converter, and nothing is clipped at black.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from rawdiff_calibration.noise import NoiseModel, per_plane
from rawdiff_calibration.tail import tukey_std
from torch import Generator, Tensor

from rawdiff.raw.frame import CfaPhase, plane_sites


def capture(
    clean_mosaic: Tensor,
    noise: NoiseModel,
    black_dn: float,
    white_dn: float,
    ratio: float,
    generator: Generator,
    integer: bool = True,
    phase: CfaPhase = "RGGB",
) -> Tensor:
    """Photograph a mosaic with 1/`ratio` of the reference exposure.

    Args:
        clean_mosaic: light at the reference exposure, `[H, W]`, 0 is dark and 1 reaches the white level.
        noise: the camera's noise at the ISO in use [DN].
        black_dn: black level [DN].
        white_dn: largest stored value [DN]; what exceeds it is clipped.
        ratio: exposure ratio, reference exposure over input exposure, above 0.
        generator: source of all randomness, on the mosaic's device.
        integer: round to the stored step (`noise.quantisation_dn`); otherwise leave the values as they are.
        phase: which CFA site sees which colour.

    Returns:
        `[H, W]` float32, DN with the black level in them.

    Raises:
        ValueError: a ratio that is not above 0, or white not above black.
    """
    if not ratio > 0 or not white_dn > black_dn:
        raise ValueError(f"ratio {ratio}, black {black_dn} DN and white {white_dn} DN cannot be meant")
    gain = site_map(per_plane(noise.gain_dn_per_e), clean_mosaic, phase)
    electrons = clean_mosaic.clamp(min=0) * ((white_dn - black_dn) / ratio) / gain
    stored = gain * torch.poisson(electrons, generator=generator)
    stored += _read_noise(noise, clean_mosaic, phase, generator)
    height, width = clean_mosaic.shape
    device = clean_mosaic.device
    stored += noise.row_noise_dn * torch.randn(height, 1, generator=generator, device=device)
    stored += noise.column_noise_dn * torch.randn(1, width, generator=generator, device=device)
    stored += site_map(noise.bias_dn, clean_mosaic, phase) + black_dn
    if integer and noise.quantisation_dn > 0:
        stored = torch.round(stored / noise.quantisation_dn) * noise.quantisation_dn
    return stored.clamp(min=0.0, max=white_dn)


def site_map(planes: tuple[float, float, float, float], like: Tensor, phase: CfaPhase) -> Tensor:
    """Spread figures of R, Gr, Gb, B over a mosaic of the shape of `like`."""
    spread = torch.empty_like(like)
    for figure, (row, column) in zip(planes, plane_sites(phase), strict=True):
        spread[..., row::2, column::2] = figure
    return spread


def _read_noise(noise: NoiseModel, like: Tensor, phase: CfaPhase, generator: Generator) -> Tensor:
    spread = site_map(per_plane(noise.read_noise_dn), like, phase)
    if noise.tukey_lambda is None:
        return spread * torch.randn(like.shape, generator=generator, device=like.device)
    # The measured standard deviation holds; the law gives the shape of the tails.
    shape = torch.tensor(noise.tukey_lambda, device=like.device)
    return spread * standard_tukey(shape, like.shape, generator)


def standard_tukey(shape: Tensor, size: tuple[int, ...], generator: Generator) -> Tensor:
    """Draw Tukey-lambda noise of unit variance.

    Args:
        shape: lambda, broadcastable to `size`, each above -0.5.
        size: shape of the draw.
        generator: source of randomness, on the device of `shape`.
    """
    uniform = torch.rand(size, generator=generator, device=shape.device)
    # 2^-25 keeps both tails finite: single precision draws 0 but never 1.
    low = (uniform + 2.0**-25).clamp(max=1 - 2.0**-24)
    log_low, log_high = torch.log(low), torch.log1p(-low)
    power = torch.where(shape.abs() < 1e-3, torch.full_like(shape, 1e-3), shape)
    quantile = (torch.exp(power * log_low) - torch.exp(power * log_high)) / power
    spread = torch.tensor([tukey_std(float(value)) for value in power.flatten()], device=shape.device)
    return quantile / spread.reshape(power.shape)


@dataclass(frozen=True)
class PackedNoise:
    """The noise of a batch of packed frames; each figure has its own value per sample.

    Attributes:
        range_dn: white minus black, `[B]` DN.
        gain_dn_per_e: system gain K of R, Gr, Gb, B, `[B, 4]`.
        read_noise_dn: standard deviation, `[B, 4]` DN.
        tukey_lambda: shape of the read noise, `[B]`.
        row_noise_dn: standard deviation, `[B]` DN.
        quantisation_dn: step of the stored values, `[B]` DN, above 0.
    """

    range_dn: Tensor
    gain_dn_per_e: Tensor
    read_noise_dn: Tensor
    tukey_lambda: Tensor
    row_noise_dn: Tensor
    quantisation_dn: Tensor

    def gain(self) -> Tensor:
        """Gain on the scale of black 0, white 1: what one electron adds, `[B, 4]`."""
        return self.gain_dn_per_e / self.range_dn[:, None]

    def sigma(self) -> Tensor:
        """Standard deviation in the dark on that scale, rows and rounding included, `[B, 4]`."""
        shared = self.row_noise_dn**2 + self.quantisation_dn**2 / 12
        return torch.sqrt(self.read_noise_dn**2 + shared[:, None]) / self.range_dn[:, None]


def capture_packed(clean: Tensor, noise: PackedNoise, exposures: Tensor, generator: Generator) -> Tensor:
    """Photograph packed light, as single frames or as what a merged burst gives.

    A row offset is shared by the two planes of a mosaic row: R with Gr, Gb with B. Where more than one
    exposure was merged, read noise is averaged towards a Gaussian and values are no longer rounded.

    Args:
        clean: light reaching the sensor, `[B, 4, h, w]`, 1 is the white level of one frame.
        noise: of one frame, per sample.
        exposures: effective exposures, `[B, 1, h, w]` or `[B, 1, 1, 1]`, at least 1.
        generator: source of all randomness.

    Returns:
        `[B, 4, h, w]`, black 0, white 1, negatives kept.
    """
    gain = noise.gain_dn_per_e[:, :, None, None]
    light_dn = clean * noise.range_dn[:, None, None, None]
    counts = torch.poisson(light_dn / gain * exposures, generator=generator)
    batch, _, height, _ = clean.shape
    single = exposures < 1.5
    tailed = standard_tukey(noise.tukey_lambda[:, None, None, None], clean.shape, generator)
    normal = torch.randn(clean.shape, generator=generator, device=clean.device)
    additive = torch.where(single, tailed, normal) * noise.read_noise_dn[:, :, None, None]
    rows = torch.randn(batch, 2, height, 1, generator=generator, device=clean.device)
    additive = additive + rows.repeat_interleave(2, dim=1) * noise.row_noise_dn[:, None, None, None]
    step = noise.quantisation_dn[:, None, None, None]
    dither = (torch.rand(clean.shape, generator=generator, device=clean.device) - 0.5) * step
    stored = gain * counts / exposures + additive / torch.sqrt(exposures)
    rounded = torch.round(stored / step) * step
    stored = torch.where(single, rounded, stored + dither / torch.sqrt(exposures))
    return (stored / noise.range_dn[:, None, None, None]).clamp(max=1.0)


def log_uniform(low: float, high: float, size: tuple[int, ...], generator: Generator) -> Tensor:
    """Draw from the log-uniform law on [low, high]."""
    span = math.log(high / low)
    return low * torch.exp(span * torch.rand(size, generator=generator))
