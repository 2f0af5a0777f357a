"""Damage real raw files in many ways and see that each costs one clear error, or still reads.

    python benchmarks/mutate_raws.py FOLDER [--count 2000] [--seed 1] [--through read|process]

Every mutation is drawn from a seed of its own, so that one can be repeated with --only N. `read` calls
`read_raw` in this process (its decoder is a guarded child); `process` runs the whole command, whose exit code
must be 0 or 3, with no traceback and no partial output.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rawdiff.errors import InputError
from rawdiff.raw.frame import LinearFrame, RawFrame
from rawdiff.raw.ingest import read_raw
from rawdiff.raw.ingest_process import close_decoders

TIFF_SUFFIXES = (".dng", ".kdc", ".nef", ".cr2", ".arw", ".pef", ".rw2", ".orf")
SIZE_TAGS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 322, 323, 324, 325, 330, 339)
LEVEL_TAGS = (33421, 33422, 50712, 50713, 50714, 50715, 50716, 50717, 50719, 50720, 50829, 50830, 51009)
ABSURD = (0, 1, 2, 3, 7, 255, 256, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
Mutation = Callable[[bytearray, np.random.Generator], bytearray]


def flip_bits(data: bytearray, rng: np.random.Generator) -> bytearray:
    """One to 64 bits anywhere."""
    for place in rng.integers(0, len(data), int(2 ** rng.uniform(0, 6))):
        data[place] ^= 1 << int(rng.integers(8))
    return data


def flip_directory_bits(data: bytearray, rng: np.random.Generator) -> bytearray:
    """One to 16 bits within the directories' entries."""
    entries = find_entries(data)
    for _ in range(int(2 ** rng.uniform(0, 4))):
        place = int(rng.choice(entries)) + int(rng.integers(12))
        data[place] ^= 1 << int(rng.integers(8))
    return data


def truncate(data: bytearray, rng: np.random.Generator) -> bytearray:
    """The file ends early, anywhere."""
    return data[: int(len(data) * rng.uniform(0, 1))]


def swap_tags(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Two to six entries exchange their tag codes, or their values."""
    entries = find_entries(data)
    for _ in range(int(rng.integers(1, 4))):
        a, b = (int(entry) for entry in rng.choice(entries, 2))
        first, last = (0, 2) if rng.random() < 0.5 else (2, 12)
        data[a + first : a + last], data[b + first : b + last] = (
            data[b + first : b + last],
            data[a + first : a + last],
        )
    return data


def absurd_sizes(data: bytearray, rng: np.random.Generator) -> bytearray:
    """One to three sizes, places, counts or levels become absurd."""
    order = "<" if data[:2] == b"II" else ">"
    codes = SIZE_TAGS + LEVEL_TAGS
    entries = [e for e in find_entries(data) if struct.unpack_from(order + "H", data, e)[0] in codes]
    for _ in range(int(rng.integers(1, 4))):
        entry = int(rng.choice(entries))
        value = int(rng.choice(ABSURD)) if rng.random() < 0.7 else int(rng.integers(1 << 32))
        struct.pack_into(order + "I", data, entry + (8 if rng.random() < 0.75 else 4), value)
    return data


def overwrite_block(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A block of up to 4 KiB becomes noise or zeros, as on a failing card."""
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 4097))
    block = bytes(length) if rng.random() < 0.5 else rng.bytes(length)
    data[place : place + length] = block[: len(data) - place]
    return data


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_directory_bits,
    truncate,
    swap_tags,
    absurd_sizes,
    overwrite_block,
)


def find_entries(data: bytearray) -> list[int]:
    """Places of the directory entries of a TIFF-like file, SubIFDs and Exif included."""
    order = "<" if data[:2] == b"II" else ">"
    pending, seen, entries = [struct.unpack_from(order + "I", data, 4)[0]], set(), []
    while pending:
        place = pending.pop()
        if place in seen or not 8 <= place <= len(data) - 2:
            continue
        seen.add(place)
        (count,) = struct.unpack_from(order + "H", data, place)
        for entry in range(place + 2, min(place + 2 + 12 * count, len(data) - 12), 12):
            entries.append(entry)
            code, _, number, value = struct.unpack_from(order + "HHII", data, entry)
            if code == 330 and number > 1 and value + 4 * number <= len(data):
                pending += struct.unpack_from(f"{order}{number}I", data, value)
            elif code in (330, 34665):
                pending.append(value)
    return entries


@dataclass(frozen=True)
class Outcome:
    """What one mutation led to. `fault` is empty where that is as it should be."""

    number: int
    file: str
    mutation: str
    verdict: str
    message: str
    seconds: float
    fault: str = ""


def find_sources(folder: Path) -> list[Path]:
    """The TIFF-based raws of a folder."""
    return sorted(each for each in folder.iterdir() if each.suffix.lower() in TIFF_SUFFIXES)


def mutate(number: int, seed: int, sources: list[Path], into: Path) -> tuple[Path, str]:
    """Write mutation `number` into a folder; return the file and the mutation's name."""
    rng = np.random.default_rng([seed, number])
    source = sources[number % len(sources)]
    mutation = MUTATIONS[number // len(sources) % len(MUTATIONS)]
    path = into / f"{number:05d}{source.suffix}"
    path.write_bytes(mutation(bytearray(source.read_bytes()), rng))
    return path, mutation.__name__


def try_reading(path: Path, timeout_s: float) -> tuple[str, str, str]:
    """Read a file in this process: verdict, message, fault."""
    try:
        frame = read_raw(path, timeout_s=timeout_s)
    except InputError as error:
        line = str(error)
        return type(error).__name__, line, "" if "\n" not in line and len(line) < 600 else "not one line"
    except Exception as error:
        return type(error).__name__, str(error), f"raised {type(error).__name__}: {error}"
    pixels = frame.mosaic_dn if isinstance(frame, RawFrame) else frame.rgb_dn
    assert isinstance(frame, RawFrame | LinearFrame)
    return "read", str(frame.shape), "" if np.isfinite(pixels).all() else "pixels that are no numbers"


def try_processing(path: Path, timeout_s: float) -> tuple[str, str, str]:
    """Run the whole command on a file in a forked process: verdict, message, fault.

    This process has imported the command but never used it, so that a fork is as good as a fresh start and
    two thousand starts need not import torch each.
    """
    import rawdiff.cli.main  # noqa: F401  (loads torch, which start.run would do in each fork)
    from rawdiff.cli.start import run

    with tempfile.TemporaryDirectory() as folder:
        out, words_file = Path(folder) / "out", Path(folder) / "words"
        child = os.fork()
        if child == 0:
            words = os.open(words_file, os.O_CREAT | os.O_WRONLY, 0o600)
            os.dup2(words, 1)
            os.dup2(words, 2)
            sys.argv = ["rawdiff", "process", str(path), "-o", str(out)]
            code = 99
            try:
                run()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 99
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            close_decoders()
            os._exit(code)
        code = wait_for(child, timeout_s)
        if code is None:
            return "hang", "", f"no end within {timeout_s:g} s"
        left = sorted(each.name for each in out.rglob("*") if each.is_file()) if out.exists() else []
        said = words_file.read_text(errors="replace").strip()
    return f"exit {code}", said[-400:], judge(code, said, left)


def wait_for(child: int, timeout_s: float) -> int | None:
    """Exit code of a child (negative: its signal), None where it had to be killed."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def judge(code: int, said: str, left: list[str]) -> str:
    """What is wrong with a run of the command, empty where nothing is."""
    pictures = [name for name in left if name.lower().endswith((".jpg", ".jpeg"))]
    if code not in (0, 3):
        return f"exit code {code}"
    if "Traceback" in said:
        return "a traceback"
    if any(name.endswith((".part", ".tmp")) for name in left) or (code == 3 and pictures):
        return f"left {left} behind"
    return "exit code 0 without an output" if code == 0 and not pictures else ""


def run_mutations(
    folder: Path, numbers: list[int], seed: int, through: str, timeout_s: float
) -> Iterator[Outcome]:
    """Run mutations one after another and yield what became of each."""
    sources = find_sources(folder)
    attempt = try_reading if through == "read" else try_processing
    with tempfile.TemporaryDirectory() as into:
        for number in numbers:
            path, name = mutate(number, seed, sources, Path(into))
            start = time.monotonic()
            verdict, message, fault = attempt(path, timeout_s)
            seconds = time.monotonic() - start
            if seconds > timeout_s + 5:
                fault = fault or f"took {seconds:.0f} s"
            path.unlink()
            file = sources[number % len(sources)].name
            yield Outcome(number, file, name, verdict, message, seconds, fault)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="repeat one mutation")
    parser.add_argument("--through", choices=("read", "process"), default="read")
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    numbers = list(range(args.count)) if args.only is None else [args.only]
    start = time.monotonic()
    outcomes = []
    for outcome in run_mutations(args.folder, numbers, args.seed, args.through, args.timeout):
        outcomes.append(outcome)
        if outcome.fault or args.verbose or args.only is not None:
            print(json.dumps({**vars(outcome), "message": outcome.message[:300]}), flush=True)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "mutations": len(outcomes),
                "faults": sum(bool(outcome.fault) for outcome in outcomes),
                "verdicts": dict(Counter(outcome.verdict for outcome in outcomes)),
                "slowest_s": round(max(outcome.seconds for outcome in outcomes), 2),
                "wall_s": round(time.monotonic() - start, 1),
                "parent_peak_mb": usage.ru_maxrss // 1024,
                "child_peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
            }
        )
    )
    sys.exit(any(outcome.fault for outcome in outcomes))


if __name__ == "__main__":
    main()
