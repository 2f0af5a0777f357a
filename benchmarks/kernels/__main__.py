"""`python -m benchmarks.kernels [op ...]`: time, bytes, share of the copy bandwidth, peers beside.

Run from the repository's root. An op whose routes do not agree with their reference is named, and nothing of
it is timed. Every time is the median of one run; the floor is what copying the same bytes takes in that run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from pathlib import Path

import torch
from rawdiff_kernels import native, routes
from rawdiff_kernels.testing import load_cases

from benchmarks.kernels.measure import Measurement, Timing, copies, measure_in_turn

CASES = Path(__file__).resolve().parents[2] / "tests" / "kernels" / "cases"


def main() -> int:
    """Measure the ops that are named, or all that have a benchmark."""
    options = _options()
    tuned = native.tune_allocator() if options.tune_allocator else False
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"# {_machine(device)}; torch {torch.__version__}, {torch.get_num_threads()} threads; "
          f"CPU code {native.variant()}; allocator {'tuned' if tuned else 'as it is'}; "
          f"{options.width}x{options.height} pixels",
          file=sys.stderr if options.json else sys.stdout)  # fmt: skip
    wrong = False
    for op in options.ops or routes.OPS:
        problems = _disagreements(op, device)
        if problems:
            wrong = True
            print(f"\n{op}: not measured, its routes do not agree with the reference", file=sys.stderr)
            print("\n".join(problems), file=sys.stderr)
            continue
        module = importlib.import_module(f"benchmarks.kernels.{op}")
        for measurement in module.measurements(options.height, options.width, device):
            _report(measurement, device, options)
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("ops", nargs="*", help=f"of {', '.join(routes.OPS)}; all by default")
    parser.add_argument("--height", type=int, default=3000, help="rows of the mosaic")
    parser.add_argument("--width", type=int, default=4000, help="columns of the mosaic")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="torch threads; by default torch's own choice")
    parser.add_argument("--seconds", type=float, default=1.0, help="time spent on each row")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--as-is", dest="tune_allocator", action="store_false", help="leave malloc alone")
    parser.add_argument("--json", action="store_true", help="one JSON object per row")
    options = parser.parse_args()
    unknown = [op for op in options.ops if op not in routes.OPS]
    if unknown:
        parser.error(f"no op {', '.join(unknown)}; there are {', '.join(routes.OPS)}")
    return options


def _disagreements(op: str, device: torch.device) -> list[str]:
    """Hold the routes that will be timed against the reference, by the cases of the tests."""
    route: routes.Route = "gpu" if device.type == "cuda" else "cpu"
    state = next(s for s in routes.route_table() if (s.op, s.route) == (op, route))
    if not state.available:
        return [f"  the {route} route cannot run: {state.reason}"]
    found = []
    for case in load_cases(CASES, op):
        problem = case.disagreement(route, device) if route in case.routes else None
        if problem is not None:
            found.append(f"  {case.name}: {problem}")
    return found


def _report(measurement: Measurement, device: torch.device, options: argparse.Namespace) -> None:
    cost = measurement.cost
    rows = dict(measurement.routes) | (dict(measurement.peers) if options.peers else {})
    copying = copies(cost.bytes, device)
    timings = measure_in_turn(copying | rows, device, options.seconds)
    floor = min((timings[name] for name in copying), key=lambda timing: timing.median)
    title = f"{measurement.op}: {measurement.name}"
    if not options.json:
        print(f"\n{title}; {cost.bytes / 1e6:.0f} MB, {cost.operations / 1e6:.0f} Mflop; "
              f"copying as much: {floor.median * 1e3:.2f} ms, {floor.cpu * 1e3:.2f} of CPU, "
              f"{cost.bytes / floor.median / 1e9:.1f} GB/s")  # fmt: skip
        print(f"  {'':28s}{'ms':>9s}{'quartiles':>19s}{'cpu ms':>9s}{'x floor':>9s}{'of copy':>9s}")
    for name in rows:
        timing = timings[name]
        if options.json:
            print(json.dumps(_row(measurement, name, timing, floor)), flush=True)
        else:
            quartiles = f"{timing.lower * 1e3:.2f} .. {timing.upper * 1e3:.2f}"
            times = timing.median / floor.median
            print(f"  {name:28s}{timing.median * 1e3:9.2f}{quartiles:>19s}{timing.cpu * 1e3:9.2f}"
                  f"{times:9.2f}{1 / times:9.0%}", flush=True)  # fmt: skip


def _row(measurement: Measurement, name: str, timing: Timing, floor: Timing) -> dict[str, object]:
    return {
        "op": measurement.op, "what": measurement.name, "by": name, "seconds": timing.median,
        "quartiles": [timing.lower, timing.upper], "cpu_seconds": timing.cpu,
        "bytes": measurement.cost.bytes, "operations": measurement.cost.operations,
        "copy_seconds": floor.median, "copy_cpu_seconds": floor.cpu,
        "times_floor": timing.median / floor.median,
    }  # fmt: skip


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {len(names)} CPUs"


if __name__ == "__main__":
    raise SystemExit(main())
