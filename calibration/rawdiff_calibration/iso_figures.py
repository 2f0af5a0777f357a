"""The figures of one ISO as the profile keeps them, out of what photon transfer, darks and flats gave."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rawdiff_calibration.dark_result import DarkResult
from rawdiff_calibration.flat import FlatResult
from rawdiff_calibration.linearity import LinearityResult
from rawdiff_calibration.measure import Measured, combine
from rawdiff_calibration.photon_transfer import PhotonTransferResult
from rawdiff_calibration.profile import FourFigures, IsoFigures, ThreeFigures

_ROUNDING_DN2 = 1 / 12


def collect_figures(
    transfer: PhotonTransferResult | None,
    darks: DarkResult | None,
    flat: FlatResult | None,
    linearity: LinearityResult | None,
    gain: Measured | None,
) -> IsoFigures:
    """Join the results of one ISO; its `iso` is left 0 for the caller to set.

    Args:
        transfer: None where the ISO has no flats; `gain` is then needed.
        darks: None where it has no darks; the read noise then comes from the curve's foot.
        flat: response and shading, None where not measured.
        linearity: level against exposure time, None where not measured.
        gain: K [DN/e-] from elsewhere; None to take that of `transfer`.
    """
    gains = () if transfer is None else transfer.gain_dn_per_e
    system = gain if gain is not None else agree(gains)
    reads = darks.read_noise_dn if darks is not None else _reads_from_foot(transfer)
    read = agree(reads)
    return IsoFigures(
        iso=0.0,
        gain_dn_per_e=system,
        read_noise_dn=read,
        tukey_lambda=darks.tukey_lambda if darks else None,
        tukey_scale_dn=darks.tukey_scale_dn if darks else None,
        row_noise_dn=darks.row_noise_dn if darks else None,
        column_noise_dn=darks.column_noise_dn if darks else None,
        dark_current_e_per_s=_dark_current(darks, system),
        gain_rgb_dn_per_e=_three(gains),
        read_noise_rgb_dn=_three(reads),
        black_dn=_four(darks.black_dn) if darks else None,
        bias_dn=_four(darks.bias_dn) if darks else None,
        other=_others(transfer, darks, flat, linearity, system, read),
    )


def agree(colors: Sequence[Measured]) -> Measured:
    """One figure for all colours: their weighted mean if they agree to 4 standard errors, else green's."""
    if len(colors) == 1:
        return colors[0]
    mean = combine(colors)
    if all(abs(color.value - mean.value) <= 4 * math.hypot(color.se, mean.se) for color in colors):
        return mean
    return colors[1]


def _reads_from_foot(transfer: PhotonTransferResult | None) -> tuple[Measured, ...]:
    if transfer is None:
        raise ValueError("an ISO needs flats or darks")
    return tuple(Measured(foot.value - _ROUNDING_DN2, foot.se).root() for foot in transfer.intercept_dn2)


def _dark_current(darks: DarkResult | None, gain: Measured) -> Measured | None:
    """Mean of the colours; their common drift keeps the error from shrinking with their number."""
    if darks is None or darks.dark_current_dn_per_s is None:
        return None
    rates = darks.dark_current_dn_per_s
    mean = Measured(sum(rate.value for rate in rates) / len(rates), max(rate.se for rate in rates))
    return mean.over(gain)


def _others(
    transfer: PhotonTransferResult | None,
    darks: DarkResult | None,
    flat: FlatResult | None,
    linearity: LinearityResult | None,
    gain: Measured,
    read: Measured,
) -> dict[str, Measured]:
    """Further figures by name; each only where it was measured."""
    found: dict[str, Measured] = {"read_noise_e": read.over(gain)}
    if transfer is not None:
        found["linear_to_dn"] = Measured(transfer.linear_to_dn, 0.0)
        if transfer.saturation_dn is not None:
            found |= _saturation(transfer.saturation_dn, gain, read)
    if darks is not None:
        if darks.dark_variance_dn2_per_s is not None:
            growth = combine(darks.dark_variance_dn2_per_s)
            found["dark_current_from_variance_e_per_s"] = growth.over(gain).over(gain)
        found["dsnu_e"] = darks.dsnu_dn.total.over(gain)
    if flat is not None:
        found["prnu"] = flat.prnu.total
        found["light_gradient"] = Measured(flat.gradient, 0.0)
    if linearity is not None:
        found["linearity_error_min_percent"] = Measured(linearity.error_min_percent, 0.0)
        found["linearity_error_max_percent"] = Measured(linearity.error_max_percent, 0.0)
    return found


def _saturation(saturation_dn: float, gain: Measured, read: Measured) -> dict[str, Measured]:
    """Full well, highest signal to noise and dynamic range (EMVA 1288 R4.0: threshold at SNR 1)."""
    full = Measured(saturation_dn, 0.0).over(gain)
    noise = read.over(gain)
    threshold = noise.value + 0.5
    ratio = full.value / threshold
    error = math.hypot(full.se / full.value, noise.se / threshold)
    snr = full.root()
    return {
        "saturation_dn": Measured(saturation_dn, 0.0),
        "full_well_e": full,
        "snr_max_db": Measured(20 * math.log10(snr.value), 20 / math.log(10) * snr.se / snr.value),
        "dynamic_range_db": Measured(20 * math.log10(ratio), 20 / math.log(10) * error),
    }


def _three(colors: Sequence[Measured]) -> ThreeFigures | None:
    return (colors[0], colors[1], colors[2]) if len(colors) == 3 else None


def _four(planes: Sequence[Measured]) -> FourFigures:
    """R, Gr, Gb, B; a monochrome sensor's single plane four times."""
    one, two, three, four = planes if len(planes) == 4 else (planes[0],) * 4
    return one, two, three, four
