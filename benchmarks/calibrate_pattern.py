"""Do the stated errors of non-uniformity hold? Many small cameras, one ISO each, every one independent.

`python -m benchmarks.calibrate_pattern --seeds 200` prints how often the 68 % interval of PRNU and DSNU,
whole and in parts, covers the truth. A camera has one fixed pattern at all its ISOs: only cameras count.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from rawdiff_calibration.dark import DarkAccumulator
from rawdiff_calibration.dark_solve import solve_darks
from rawdiff_calibration.flat import FlatAccumulator
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.sensor import SimulatedSensor

ISO, SHORT_S, LONG_S = 400.0, 1e-3, 30.0
LEVELS = (0.2, 0.3, 0.45, 0.7)
Cases = dict[str, list[tuple[Measured, float]]]


def measure_pattern(sensor: SimulatedSensor, cases: Cases) -> None:
    """Calibrate darks and flats of one camera; add each part and its truth to the cases."""
    darks = DarkAccumulator(sensor.shape, sensor.phase, sensor.black_dn)
    for number in range(20):
        time_s = SHORT_S if number < 12 else LONG_S
        darks.add(sensor.dark(time_s, iso=ISO, seed=number), time_s)
    dark = solve_darks(darks)
    flats = FlatAccumulator(
        sensor.shape, sensor.phase, [level.value for level in dark.black_dn], sensor.white_dn
    )
    gain = sensor.gain_dn_per_e(ISO)[1]
    range_e = min(sensor.full_well_e, (sensor.white_dn - sensor.black_dn) / gain)
    for number, share in enumerate(np.repeat(LEVELS, 2)):
        flats.add(sensor.flat(level_e=range_e * float(share), iso=ISO, seed=100 + number))
    flat = flats.solve(dark.offset_map_dn, dark.defect_map, dark.dsnu_dn)
    for name, found, (pixel, column, row) in (
        ("PRNU", flat.prnu, sensor.prnu),
        ("DSNU", dark.dsnu_dn.scaled(1 / gain), sensor.dsnu_e),
    ):
        total = float(np.linalg.norm((pixel, column, row)))
        for part, truth in (("total", total), ("pixel", pixel), ("row", row), ("column", column)):
            cases[f"{name} {part}"].append((getattr(found, part), truth))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--shape", type=int, nargs=2, default=(300, 600))
    chosen = parser.parse_args()
    cases: Cases = defaultdict(list)
    for seed in range(chosen.seeds):
        measure_pattern(SimulatedSensor(shape=tuple(chosen.shape), seed=seed), cases)
    print(f"{'figure':14} {'rms error':>10} {'coverage':>9} {'error / se, rms':>16} {'mean':>7} {'cases':>6}")
    for name, found in cases.items():
        scores = np.array([(figure.value - truth) / figure.se for figure, truth in found])
        error = np.sqrt(np.mean([(figure.value / truth - 1) ** 2 for figure, truth in found]))
        spread = np.sqrt(np.mean(scores**2))
        covered = np.mean(np.abs(scores) <= 1)
        print(f"{name:14} {error:10.4f} {covered:9.1%} {spread:16.2f} {scores.mean():+7.2f} {len(scores):6d}")


if __name__ == "__main__":
    main()
