"""How true calibration is, and how fast.

`python -m benchmarks.calibrate acceptance --seeds 20 --results FILE` simulates a camera with known noise (12
levels x 2 flats, 20 darks, 4 ISOs with a dual-gain step, 2 MP), measures it, and prints error and coverage of
every figure. Runs that are in FILE already are not repeated, so it can be stopped and started.
`python -m benchmarks.calibrate speed` times 60 frames of 12 MP; with --folder the frames are kept, to be used
again.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rawdiff_calibration.dark import DarkAccumulator
from rawdiff_calibration.dark_result import DarkResult
from rawdiff_calibration.dark_solve import solve_darks
from rawdiff_calibration.defects import GOOD, DefectMap, find_defects
from rawdiff_calibration.flat import FlatAccumulator, FlatResult
from rawdiff_calibration.gain_steps import find_steps
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.photon_transfer import PhotonTransfer, PhotonTransferResult
from rawdiff_calibration.sensor import SimulatedSensor

if TYPE_CHECKING:
    from rawdiff.pipeline.calibration_frames import CalibrationFrame, FrameFacts

ISOS = (100.0, 400.0, 800.0, 3200.0)
LEVELS, SHORT_S, LONG_S, SHORT_DARKS, LONG_DARKS = 12, 1e-3, 30.0, 12, 8
BOUNDS = {
    "gain": 0.003,
    "read_noise": 0.01,
    "row_noise": 0.03,
    "tukey_lambda": 0.02,
    "black": 0.02,
    "prnu": 0.03,
    "dark_current": 0.03,
}
KINDS = ("dark", "flat")
ABSOLUTE = ("tukey_lambda", "black", "column_noise", "dsnu")


def measure_camera(
    sensor: SimulatedSensor, iso: float, seed: int
) -> tuple[DarkResult, PhotonTransferResult, FlatResult, DefectMap]:
    """Calibrate one ISO as a user would: darks first, then flats."""
    base = 1000 * seed
    darks = DarkAccumulator(sensor.shape, sensor.phase, sensor.black_dn)
    short = []
    for number in range(SHORT_DARKS + LONG_DARKS):
        time_s = SHORT_S if number < SHORT_DARKS else LONG_S
        frame = sensor.dark(time_s, iso=iso, seed=base + number)
        darks.add(frame, time_s)
        if number < 4:
            short.append(frame)
    dark = solve_darks(darks)
    blacks = [level.value for level in dark.black_dn]
    transfer = PhotonTransfer(sensor.phase, blacks, sensor.white_dn, dark.defect_map != GOOD)
    transfer.add_dark_pair(short[0], short[1])
    transfer.add_dark_pair(short[2], short[3])
    flats = FlatAccumulator(sensor.shape, sensor.phase, blacks, sensor.white_dn)
    range_e = min(sensor.full_well_e, (sensor.white_dn - sensor.black_dn) / sensor.gain_dn_per_e(iso)[1])
    for number, share in enumerate(np.geomspace(0.01, 1.15, LEVELS)):
        pair = [
            sensor.flat(level_e=range_e * share, iso=iso, seed=base + 100 + 2 * number + k) for k in (0, 1)
        ]
        transfer.add_pair(pair[0], pair[1], range_e * share / sensor.flux_e_per_s)
        if 0.15 < share < 0.75:
            for frame in pair:
                flats.add(frame)
    flat = flats.solve(dark.offset_map_dn, dark.defect_map, dark.dsnu_dn)
    return dark, transfer.solve(), flat, find_defects(dark.defect_map, flat.response_map, sensor.phase)


def run_once(seed: int, shape: tuple[int, int]) -> list[dict[str, object]]:
    """One camera at all ISOs: a record of figure, truth and error for each."""
    sensor = SimulatedSensor(shape=shape, seed=seed)
    records: list[dict[str, object]] = []
    for iso in ISOS:
        dark, transfer, flat, codes = measure_camera(sensor, iso, round(iso))
        truth = sensor.noise_model(iso)
        gain = transfer.gain_dn_per_e
        figures: list[tuple[str, Measured | None, float]] = []
        for color in range(3):
            figures.append(("gain", gain[color], truth.gain_dn_per_e[color]))
            figures.append(("read_noise", dark.read_noise_dn[color], truth.read_noise_dn[color]))
            if dark.dark_current_dn_per_s and dark.dark_variance_dn2_per_s:
                mean, variance = dark.dark_current_dn_per_s[color], dark.dark_variance_dn2_per_s[color]
                figures.append(("dark_current", mean.over(gain[color]), sensor.dark_current_e_per_s))
                by_noise = variance.over(gain[color]).over(gain[color])
                figures.append(("dark_current_from_variance", by_noise, sensor.dark_current_e_per_s))
        figures += [("black", level, sensor.black_dn) for level in dark.black_dn]
        figures += [
            ("row_noise", dark.row_noise_dn, truth.row_noise_dn),
            ("column_noise", dark.column_noise_dn, truth.column_noise_dn),
            ("tukey_lambda", dark.tukey_lambda, truth.tukey_lambda or 0.0),
            ("tukey_scale", dark.tukey_scale_dn, truth.tukey_scale_dn or 0.0),
            ("prnu", flat.prnu.total, float(np.linalg.norm(sensor.prnu))),
            ("prnu_pixel", flat.prnu.pixel, sensor.prnu[0]),
            ("dsnu", dark.dsnu_dn.pixel, sensor.dsnu_e[0] * truth.gain_dn_per_e[1]),
        ]
        records += [
            {"seed": seed, "iso": iso, "figure": name, "value": found.value, "se": found.se, "truth": true}
            for name, found, true in figures
            if found is not None
        ]
        bad = sensor.defect_map != GOOD
        records.append(
            {
                "seed": seed,
                "iso": iso,
                "figure": "defects",
                "found": float(np.mean(codes[bad] != GOOD)),
                "false": float(np.mean(codes[~bad] != GOOD)),
            }
        )
    return records


def print_table(records: list[dict[str, object]]) -> None:
    """Error and coverage of each figure over seeds, ISOs and colours, and where the gain step was found."""
    print(f"{'figure':28} {'rms error':>10} {'bound':>8} {'mean error':>11} {'coverage':>9} {'cases':>6}")
    for name in dict.fromkeys(str(record["figure"]) for record in records):
        own = [record for record in records if record["figure"] == name]
        if name == "defects":
            found, false = (np.mean([float(str(r[key])) for r in own]) for key in ("found", "false"))
            print(f"{name:28} found {found:.3%}, false {false:.4%}")
            continue
        value, se, truth = (np.array([float(str(r[key])) for r in own]) for key in ("value", "se", "truth"))
        error = value - truth
        if name not in ABSOLUTE:
            error = error / truth
        covered = np.abs(value - truth) <= se
        bound = f"{BOUNDS[name]:8.3g}" if name in BOUNDS else " " * 8
        rms = float(np.sqrt(np.mean(error**2)))
        print(f"{name:28} {rms:10.5f} {bound} {error.mean():+11.5f} {covered.mean():9.1%} {len(own):6d}")


def print_gain_steps(runs: dict[int, list[dict[str, object]]]) -> None:
    """In how many cameras the switch of the conversion gain was found, and between which ISOs."""
    places: Counter[str] = Counter()
    for records in runs.values():
        green = [record for record in records if record["figure"] == "read_noise"][1::3]
        noise = [(float(str(r["iso"])), Measured(float(str(r["value"])), float(str(r["se"])))) for r in green]
        steps = find_steps({"read_noise_dn": noise})
        places[", ".join(f"{step.iso_below:g}-{step.iso_above:g}" for step in steps) or "none"] += 1
    print(
        "gain step between ISO " + "; ".join(f"{place}: {count} cameras" for place, count in places.items())
    )


def accept(seeds: int, results: Path, shape: tuple[int, int]) -> None:
    """Run the missing seeds, then print the table."""
    lines = results.read_text().splitlines() if results.exists() else []
    runs: dict[int, list[dict[str, object]]] = {}
    for line in lines:
        run = json.loads(line)
        runs[run["seed"]] = run["records"]
    for seed in range(seeds):
        if seed not in runs:
            start = time.process_time()
            runs[seed] = run_once(seed, shape)
            with results.open("a") as file:
                file.write(json.dumps({"seed": seed, "records": runs[seed]}) + "\n")
            print(f"seed {seed}: {time.process_time() - start:.0f} s", file=sys.stderr, flush=True)
    print_table([record for run in runs.values() for record in run])
    print_gain_steps(runs)


def time_calibration(shape: tuple[int, int], folder: Path) -> None:
    """CPU and wall time, reading apart, and peak memory of 24 flats and 36 darks on the command's own path.

    The frames are simulated into `folder` where it has none, in a child, so that its memory does not count.
    """
    import multiprocessing

    from rawdiff.pipeline import calibration, calibration_sets
    from rawdiff.pipeline.calibration_frames import examine_frame, read_frame
    from rawdiff.pipeline.events import ignore

    if not (folder / "done").exists():
        child = multiprocessing.get_context("spawn").Process(target=_simulate, args=(folder, shape))
        child.start()
        child.join()
    reading, count = 0.0, 0

    def read(facts: FrameFacts) -> CalibrationFrame:
        nonlocal reading, count
        start = time.perf_counter()
        frame = read_frame(facts)
        reading, count = reading + time.perf_counter() - start, count + 1
        return frame

    for module in (calibration, calibration_sets):
        vars(module)["read_frame"] = read
    darks, flats = ([examine_frame(path) for path in sorted(folder.glob(f"{kind}_*.npy"))] for kind in KINDS)
    begun, cpu = time.perf_counter(), time.process_time()
    done = calibration.calibrate_camera(flats, darks, ignore)
    wall, used = time.perf_counter() - begun - reading, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(darks) + len(flats)} frames, {np.prod(shape) / 1e6:.0f} MP: {wall:.1f} s, "
        f"{reading:.1f} s of reading beside ({count} reads), {used:.1f} s CPU in all, {peak:.2f} GiB peak; "
        f"K {done.profile.iso[0].gain_dn_per_e.value:.4f} DN/e-"
    )


def _simulate(folder: Path, shape: tuple[int, int]) -> None:
    """Frames of K 1 DN/e-, pattern and noise of the right size: Gaussian, which is enough to time by."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    offset, response = (rng.standard_normal(shape, np.float32) for _ in range(2))
    offset.flat[:: shape[1] // 3 + 7] += 400  # hot pixels
    for number in range(36):
        dark = 512 + 1.5 * offset + 4.5 * rng.standard_normal(shape, np.float32)
        _save(folder / f"dark_{number:02d}", dark, SHORT_S if number < 20 else LONG_S)
    for number in range(24):
        light = 1000.0 * (number // 2 + 1)
        noise = np.float32(np.sqrt(light + 4.5**2)) * rng.standard_normal(shape, np.float32)
        flat = 512 + 1.5 * offset + light * (1 + 0.008 * response) + noise
        _save(folder / f"flat_{number:02d}", flat, light / 30000)
    (folder / "done").touch()


def _save(path: Path, frame: np.ndarray, exposure_s: float) -> None:
    """A frame as 16-bit integers, what it is beside it."""
    lines = ['cfa = "RGGB"', "black = 512", "white = 16383", "iso = 400", 'make = "Acme"', 'model = "One"']
    np.save(path.with_suffix(".npy"), np.clip(np.rint(frame), 0, 16383).astype(np.uint16))
    path.with_suffix(".npy.toml").write_text("\n".join([*lines, f"time_s = {exposure_s}"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("acceptance", "speed"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--results", type=Path, default=Path("calibrate_acceptance.jsonl"))
    parser.add_argument("--folder", type=Path, default=None, help="keep the frames of the timing there")
    parser.add_argument("--shape", type=int, nargs=2, default=None)
    chosen = parser.parse_args()
    if chosen.what == "acceptance":
        accept(chosen.seeds, chosen.results, tuple(chosen.shape or (1000, 2000)))
    elif chosen.folder is not None:
        time_calibration(tuple(chosen.shape or (3000, 4000)), chosen.folder)
    else:
        with tempfile.TemporaryDirectory() as folder:
            time_calibration(tuple(chosen.shape or (3000, 4000)), Path(folder) / "frames")


if __name__ == "__main__":
    main()
