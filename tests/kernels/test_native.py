"""The compiled libraries: building, loading, refusing what is missing or stale, and the pool of threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rawdiff_kernels import haar, mosaic, native, routes
from rawdiff_kernels.native import build

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")), reason="no C++ compiler here"
)


def _python(program: str, package_root: Path | None = None, **environment: str) -> str:
    settings = os.environ | environment
    if package_root is not None:
        settings["PYTHONPATH"] = str(package_root)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=settings,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package's sources, without built libraries; returns the folder to put on the path."""
    target = tmp_path / "rawdiff_kernels"
    shutil.copytree(build.PACKAGE, target, ignore=shutil.ignore_patterns("built", "__pycache__"))
    return tmp_path


def _build(root: Path, *ops: str, **environment: str) -> subprocess.CompletedProcess[str]:
    script = root / "rawdiff_kernels" / "native" / "build.py"
    return subprocess.run(
        [sys.executable, str(script), *ops],
        capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip


REASON = "from rawdiff_kernels import native; print(native.obstacle('mosaic'))"


@needs_compiler
@pytest.mark.parametrize("op", routes.OPS)
def test_where_there_is_a_compiler_every_op_has_its_library_for_every_cpu(op: str) -> None:
    assert native.loadable_variants()
    for variant in native.loadable_variants():
        with native.use_variant(variant):
            assert native.obstacle(op) is None


def test_a_package_that_was_never_built_says_so(copied: Path) -> None:
    assert "has not been built; reinstall rawdiff" in _python(REASON, copied)


def test_without_a_compiler_the_build_goes_on_and_the_route_gives_the_reason(copied: Path) -> None:
    done = _build(copied, CXX="/nowhere/c++")
    assert done.returncode == 1 and "mosaic-baseline: the compiler '/nowhere/c++' (from CXX)" in done.stderr
    assert "the compiler '/nowhere/c++' (from CXX) was not found at install" in _python(REASON, copied)
    program = (
        "import torch; from rawdiff_kernels import mosaic, native; print(native.variant())\n"
        "print(mosaic.pack(torch.ones(2, 2), 'RGGB', [0]*4, [2]*4).flatten().tolist())"
    )
    assert _python(program, copied).splitlines() == ["none", "[0.5, 0.5, 0.5, 0.5]"]


def test_without_anything_on_the_path_the_reason_names_what_was_looked_for(copied: Path) -> None:
    done = _build(copied, CXX="", PATH="/nowhere")
    assert "no C++ compiler was found at install (looked for c++, g++, clang++)" in done.stderr


@needs_compiler
def test_a_stale_library_is_refused_until_it_is_built_again(copied: Path) -> None:
    assert _build(copied, "pool", "mosaic").returncode == 0
    assert _python(REASON, copied) == "None"
    source = copied / "rawdiff_kernels" / "mosaic" / "mosaic.cpp"
    source.write_text(source.read_text() + "\n// edited\n")
    assert "was built from other sources; reinstall rawdiff" in _python(REASON, copied)
    assert _build(copied, "mosaic").returncode == 0
    assert _python(REASON, copied) == "None"


@needs_compiler
def test_a_source_that_does_not_compile_is_that_ops_reason_alone(copied: Path) -> None:
    (copied / "rawdiff_kernels" / "mosaic" / "mosaic.cpp").write_text("int broken( {\n")
    done = _build(copied, "pool", "mosaic", "haar")
    assert done.returncode == 1
    assert "failed:" in _python(REASON, copied)
    assert _python(REASON.replace("mosaic", "haar"), copied) == "None"


@needs_compiler
def test_a_file_that_is_no_library_is_a_reason(copied: Path) -> None:
    assert _build(copied, "pool", "mosaic").returncode == 0
    for library in (copied / "rawdiff_kernels" / "native" / "built").glob("mosaic-*.so"):
        library.write_bytes(b"not a library")
    assert "cannot be loaded" in _python(REASON, copied)


def test_a_cpu_kind_that_does_not_exist_is_refused() -> None:
    assert "RAWDIFF_CPU_VARIANT=neon9: this CPU runs" in _python(REASON, RAWDIFF_CPU_VARIANT="neon9")
    assert (
        _python("from rawdiff_kernels import native; print(native.variant())", RAWDIFF_CPU_VARIANT="baseline")
        == "baseline"
    )
    with pytest.raises(ValueError, match="not 'neon9'"), native.use_variant("neon9"):
        pass


def test_only_contiguous_cpu_tensors_reach_c() -> None:
    with pytest.raises(RuntimeError, match="contiguous CPU tensors"):
        native.call("mosaic", "mosaic_pack_f32", torch.zeros(4, 4).t()[::2])


@needs_compiler
def test_many_threads_calling_at_once_and_a_forked_child_get_the_same_bits() -> None:
    """The pool serves one caller; the others run alone; a child of fork() starts a pool of its own."""
    program = (
        "import os, threading, numpy, torch\n"
        "from rawdiff_kernels import haar\n"
        "torch.set_num_threads(4)\n"
        "x = torch.rand(700, 1100)\n"
        "def average(): return haar.forward(x, 2, route='cpu').average.numpy()\n"
        "want, bad = average(), []\n"
        "def work():\n"
        "    for _ in range(20):\n"
        "        if not numpy.array_equal(average(), want): bad.append(1)\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(0 if numpy.array_equal(average(), want) else 3)\n"
        "print(len(bad), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert _python(program) == "0 0"


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    shot = torch.randint(0, 16384, (514, 770), generator=torch.Generator().manual_seed(4)).to(torch.uint16)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            packed = mosaic.pack(shot, "RGGB", (512.0,) * 4, (16383.0,) * 4)
            found.append((packed, haar.forward(packed, 3).average))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's mallopt")
def test_the_allocator_is_tuned_on_glibc_and_says_so() -> None:
    program = "from rawdiff_kernels import native; print(native.tune_allocator())"
    glibc = "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
    assert _python(program) == str(glibc)
