"""From the calibrated ISOs of a camera to its profile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawdiff_calibration.dark_result import DarkResult
from rawdiff_calibration.errors import TooFewFramesError
from rawdiff_calibration.fixed_pattern import FixedPattern
from rawdiff_calibration.flat import FlatResult
from rawdiff_calibration.iso_figures import collect_figures
from rawdiff_calibration.laws import fit_law
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.profile import IsoFigures, ProfileCamera, ProfileLevels, SensorProfile
from rawdiff_calibration.session import IsoResult


def assemble_camera(
    camera: ProfileCamera, white_dn: float | None, results: Sequence[IsoResult], provenance: Mapping[str, Any]
) -> SensorProfile:
    """Join the ISOs of a camera in a profile. An ISO without flats takes K from the law of the others.

    Raises:
        TooFewFramesError: no ISO has flats.
    """
    lit = [result for result in results if result.transfer is not None]
    if not lit:
        raise TooFewFramesError(
            "there are no flats: the system gain cannot be measured",
            hint="shoot pairs of flats of an even target, or one frame of a stepped chart",
        )
    figures = {result.iso: collect_figures(result.transfer, result.darks, result.flat, result.linearity, None)
               for result in lit}  # fmt: skip
    law = fit_law([(iso, one.gain_dn_per_e) for iso, one in figures.items()], (), "log", "gain_dn_per_e")
    for result in results:
        if result.iso not in figures and result.darks is not None:
            figures[result.iso] = collect_figures(None, result.darks, None, None, law.at(result.iso))
    entries = tuple(replace(one, iso=iso) for iso, one in figures.items())
    white = None if white_dn is None else Measured(white_dn, 0.0)
    blacks = [entry.black_dn for entry in sorted(entries, key=lambda e: e.iso) if entry.black_dn]
    best = _best_flat(results)
    return SensorProfile.assemble(
        camera,
        ProfileLevels(blacks[0] if blacks else None, white),
        entries,
        prnu={} if best is None else _parts(best.prnu, 1.0),
        dsnu_e=_best_dsnu(results, entries),
        defects=_count_defects(results),
        provenance=provenance,
        quantisation_dn=1.0,
        emva_1288=tuple(sheet for result in results for sheet in result.emva),
    )


def _best_flat(results: Sequence[IsoResult]) -> FlatResult | None:
    flats = [result.flat for result in results if result.flat is not None]
    return min(flats, key=lambda flat: flat.prnu.total.se) if flats else None


def _best_dsnu(results: Sequence[IsoResult], entries: Sequence[IsoFigures]) -> dict[str, Measured]:
    """DSNU in electrons, from the ISO that knows it best."""
    gains = {entry.iso: entry.gain_dn_per_e.value for entry in entries}
    known = [
        _parts(result.darks.dsnu_dn, 1 / gains[result.iso])
        for result in results
        if result.darks is not None and result.iso in gains
    ]
    return min(known, key=lambda parts: parts["total"].se) if known else {}


def _parts(pattern: FixedPattern, factor: float) -> dict[str, Measured]:
    return {name: getattr(pattern, name).scaled(factor) for name in ("total", "pixel", "row", "column")}


def join_defects(results: Sequence[IsoResult]) -> NDArray[np.uint8] | None:
    """One map of all defects, `[H, W]` codes; a pixel is named as the first ISO named it."""
    joined: NDArray[np.uint8] | None = None
    for result in results:
        for part in (result.darks, result.flat):
            if part is not None:
                found = part.defect_map
                joined = found.copy() if joined is None else np.where(joined == 0, found, joined)
    return joined


def _count_defects(results: Sequence[IsoResult]) -> dict[str, Any]:
    joined = join_defects(results)
    if joined is None:
        return {}
    names = {1: "hot", 2: "dead", 3: "telegraph"}
    counts = {name: int(np.count_nonzero(joined == code)) for code, name in names.items()}
    return {**counts, "fraction": float(np.count_nonzero(joined)) / joined.size}


def describe_certainty(iso: float, figures: IsoFigures, darks: DarkResult | None) -> list[str]:
    """Plain words on what is known badly at an ISO, and why."""
    words = []
    count = 0 if darks is None else darks.frames
    for name, what in (("read_noise_dn", "read noise"), ("gain_dn_per_e", "the system gain")):
        figure: Measured | None = getattr(figures, name)
        if figure is not None and figure.value > 0 and math.isfinite(figure.se):
            share = figure.se / figure.value
            if share > 0.03:
                few = f"only {count} darks" if count else "no darks"
                cause = f"{few} at ISO {iso:g}: " if name == "read_noise_dn" else ""
                words.append(f"{cause}{what} is known to {share:.0%}")
    return words
