"""From gathered darks to the sensor's figures."""

from __future__ import annotations

import numpy as np

from rawdiff_calibration.dark import DarkAccumulator
from rawdiff_calibration.dark_checks import note_few_frames, note_interference, require_darkness
from rawdiff_calibration.dark_levels import find_biases, fit_black, fit_shading
from rawdiff_calibration.dark_noise import (
    fit_read_noise,
    fit_tails,
    measure_line_noise,
    measure_variances,
    split_pattern,
)
from rawdiff_calibration.dark_result import DarkResult
from rawdiff_calibration.dark_set import prepare_darks, temporal_variance
from rawdiff_calibration.defects import DefectMap
from rawdiff_calibration.mosaic import color_names, plane_names


def solve_darks(darks: DarkAccumulator, defect_map: DefectMap | None = None) -> DarkResult:
    """Measure the sensor in the dark.

    Args:
        darks: the gathered frames of one ISO.
        defect_map: pixels known to be bad; None: those that these darks show.

    Raises:
        TooFewFramesError: no two darks share an exposure time.
        LitFramesError: a frame, or all of them, saw light.
        ProcessedFramesError: the noise of neighbouring pixels is correlated.
    """
    chosen = prepare_darks(darks, defect_map)
    pattern, variances = split_pattern(chosen), measure_variances(chosen)
    read, growth = fit_read_noise(chosen, variances, pattern.total.value)
    spread = float(np.mean([noise.value for noise in read]))
    glow = require_darkness(darks, chosen.times, chosen.means, chosen.good, spread)
    tails, unfit = fit_tails(chosen, spread)
    black, current = fit_black(chosen)
    offset_map, rate_map = fit_shading(chosen)
    interference = note_interference(chosen.correlations, offset_map.size)
    return DarkResult(
        planes=plane_names(darks.phase),
        colors=color_names(darks.phase),
        black_dn=black,
        bias_dn=find_biases(black, chosen.groups),
        read_noise_dn=read,
        tails=tails,
        rows=measure_line_noise(chosen, variances, axis=0),
        columns=measure_line_noise(chosen, variances, axis=1),
        dark_current_dn_per_s=current,
        dark_variance_dn2_per_s=growth,
        dsnu_dn=pattern,
        offset_map_dn=offset_map,
        rate_map_dn_per_s=rate_map,
        temporal_variance_dn2=temporal_variance(chosen.noisy),
        correlations=chosen.correlations,
        defect_map=chosen.defect_map,
        frames=darks.frames,
        exposures_s=tuple(chosen.times),
        notes=(*glow, *unfit, *interference, *note_few_frames(chosen.groups)),
    )
