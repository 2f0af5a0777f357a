"""Compiling the C++ of every op: one shared library for each op and each kind of CPU.

Used by the package's build hook and, after an edit, by hand:
`python kernels/rawdiff_kernels/native/build.py [op ...]`. Only the standard library is needed. What cannot
be compiled is written down with its reason, and the install goes on: the op then runs on its reference.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
NATIVE = PACKAGE / "native"
BUILT = NATIVE / "built"
MANIFEST = "manifest.json"
POOL = "pool"

FLAGS = (
    "-std=c++17", "-O3", "-shared", "-fPIC", "-pthread", "-fvisibility=hidden",
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra",
)  # fmt: skip

_X86_VARIANTS: Mapping[str, tuple[str, ...]] = {
    "baseline": (),
    "avx2": ("-mavx2", "-mfma", "-mtune=haswell"),
    "avx512": (
        "-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl",
        "-mtune=skylake-avx512", "-mprefer-vector-width=512",
    ),
}  # fmt: skip


class CompilerError(Exception):
    """There is no compiler, or it refused; `str()` is the reason in one line."""


def variants() -> Mapping[str, tuple[str, ...]]:
    """Return the kinds of CPU that libraries are built for on this machine, plainest first."""
    return _X86_VARIANTS if platform.machine().lower() in ("x86_64", "amd64") else {"baseline": ()}


def ops() -> tuple[str, ...]:
    """Return the ops that have C++: every folder with a source named after it."""
    return tuple(sorted(path.stem for path in PACKAGE.glob("*/*.cpp") if path.stem == path.parent.name))


def sources(name: str) -> tuple[Path, ...]:
    """Return what the library of an op (or the thread pool) is compiled from."""
    if name == POOL:
        return (NATIVE / "pool.cpp", NATIVE / "entry.cpp")
    return (PACKAGE / name / f"{name}.cpp", NATIVE / "entry.cpp")


def build_id(name: str) -> str:
    """Return a digest of everything that decides what the library of `name` does."""
    digest = hashlib.sha256(repr((FLAGS, sorted(_X86_VARIANTS.items()))).encode())
    headers = sorted(NATIVE.glob("*.h")) + sorted((PACKAGE / name).glob("*.h"))
    for path in (*sources(name), *headers):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def library_path(name: str, variant: str) -> Path:
    """Return where the library of `name` for `variant` lies once it is built."""
    return BUILT / f"{name}-{variant}.so"


def find_compiler() -> str:
    """Return the C++ compiler: $CXX where it is set, else the first of c++, g++, clang++ on the PATH.

    Raises:
        CompilerError: none to be found.
    """
    chosen = os.environ.get("CXX")
    if chosen:
        if shutil.which(chosen) is None:
            raise CompilerError(f"the compiler '{chosen}' (from CXX) was not found at install")
        return chosen
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name) is not None:
            return name
    raise CompilerError("no C++ compiler was found at install (looked for c++, g++, clang++)")


def build(names: Sequence[str] | None = None) -> dict[str, str]:
    """Compile what is missing or out of date, and write the manifest.

    Args:
        names: ops to compile; None for all, with the thread pool.

    Returns:
        Library name ("op-variant") to the reason why it could not be compiled.
    """
    BUILT.mkdir(parents=True, exist_ok=True)
    chosen = (POOL, *ops()) if names is None else tuple(names)
    kept = {library: why for library, why in read_manifest().items() if library.split("-")[0] not in chosen}
    wanted = [(name, kind) for name in chosen for kind in (["baseline"] if name == POOL else variants())]
    jobs = [job for job in wanted if not _is_current(*job)]
    try:
        compiler = find_compiler()
    except CompilerError as error:
        reasons: list[str | None] = [str(error)] * len(jobs)
    else:
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as workers:
            reasons = list(workers.map(lambda job: _compile(compiler, *job), jobs))
    problems = {
        f"{op}-{variant}": why for (op, variant), why in zip(jobs, reasons, strict=True) if why is not None
    }
    for library in problems:
        (BUILT / f"{library}.so").unlink(missing_ok=True)
    _write(BUILT / MANIFEST, json.dumps({"reasons": {**kept, **problems}}, indent=1).encode())
    return problems


def read_manifest() -> dict[str, str]:
    """Return the reasons of the last build: library name to why it is missing."""
    path = BUILT / MANIFEST
    if not path.is_file():
        return {}
    reasons = json.loads(path.read_text())["reasons"]
    return {str(library): str(reason) for library, reason in reasons.items()}


def _is_current(name: str, variant: str) -> bool:
    target = library_path(name, variant)
    return target.is_file() and build_id(name).encode() in target.read_bytes()


def _compile(compiler: str, name: str, variant: str) -> str | None:
    """Compile one library and put it in place whole; return why it failed, or None."""
    target = library_path(name, variant)
    identity = build_id(name)
    with tempfile.TemporaryDirectory(dir=BUILT, prefix=".compiling-") as folder:
        output = Path(folder) / target.name
        command = [
            compiler, *FLAGS, *variants()[variant], f"-I{NATIVE}", f'-DRAWDIFF_BUILD_ID="{identity}"',
            *map(str, sources(name)), "-o", str(output),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{compiler} did not run: {error}"
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            return f"{compiler} failed: {lines[0] if lines else f'exit status {done.returncode}'}"
        if done.stderr:
            sys.stderr.write(done.stderr)
        os.replace(output, target)
    return None


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    os.replace(draft, path)


def main() -> int:
    """Build the ops named on the command line, or all; print what could not be built."""
    problems = build(sys.argv[1:] or None)
    for library, reason in problems.items():
        sys.stderr.write(f"{library}: {reason}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
