"""The compiled libraries: building, loading, refusing what is missing or stale, and the pool of threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from rawdiff_kernels import haar, mosaic, native, routes
from rawdiff_kernels.checks import RouteError
from rawdiff_kernels.native import build, library

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")), reason="no C++ compiler here"
)


def _python(program: str) -> str:
    """What a program prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _forget() -> None:
    """Drop what has been loaded and examined, as a new process would."""
    for cached in (library._pool, library._load, library._examine, library.loadable_variants):
        cached.cache_clear()


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package's C++ in a folder of its own, not yet built; builds and loads happen there."""
    target = tmp_path / "rawdiff_kernels"
    shutil.copytree(build.PACKAGE, target, ignore=shutil.ignore_patterns("built", "*.py", "__pycache__"))
    monkeypatch.setattr(build, "PACKAGE", target)
    monkeypatch.setattr(build, "NATIVE", target / "native")
    monkeypatch.setattr(build, "BUILT", target / "native" / "built")
    _forget()
    yield target
    _forget()


def _reason(op: str) -> str | None:
    _forget()
    return native.obstacle(op)


@needs_compiler
@pytest.mark.parametrize("op", routes.OPS)
def test_where_there_is_a_compiler_every_op_has_its_library_for_every_cpu(op: str) -> None:
    assert native.loadable_variants()
    for variant in native.loadable_variants():
        with native.use_variant(variant):
            assert native.obstacle(op) is None


def test_a_package_that_was_never_built_says_so(copied: Path) -> None:
    assert "has not been built; reinstall rawdiff" in str(_reason("mosaic"))


def test_without_a_compiler_the_build_goes_on_and_the_route_gives_the_reason(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    expected = "the compiler '/nowhere/c++' (from CXX) was not found at install"
    assert build.build()["mosaic-baseline"] == expected
    assert _reason("mosaic") == expected
    assert native.variant() == "none"
    packed = mosaic.pack(torch.ones(2, 2), "RGGB", (0.0,) * 4, (2.0,) * 4)
    assert packed.flatten().tolist() == [0.5, 0.5, 0.5, 0.5]
    with pytest.raises(RouteError, match="the cpu route of mosaic cannot run: the compiler '/nowhere/c"):
        mosaic.pack(torch.ones(2, 2), "RGGB", (0.0,) * 4, (2.0,) * 4, route="cpu")


def test_without_anything_on_the_path_the_reason_names_what_was_looked_for(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    reasons = set(build.build().values())
    assert reasons == {"no C++ compiler was found at install (looked for c++, g++, clang++)"}


@needs_compiler
def test_a_stale_library_is_refused_until_it_is_built_again(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build.build(["pool", "mosaic"]) == {}
    assert _reason("mosaic") is None
    source = copied / "mosaic" / "mosaic.cpp"
    source.write_text(source.read_text() + "\n// edited\n")
    assert "was built from other sources; reinstall rawdiff" in str(_reason("mosaic"))
    assert build.build(["mosaic"]) == {}
    # A process keeps what it has opened by a path; a new path stands for a new process.
    monkeypatch.setattr(build, "BUILT", build.BUILT.rename(copied / "native" / "opened_again"))
    assert _reason("mosaic") is None


@needs_compiler
def test_a_source_that_does_not_compile_is_that_ops_reason_alone(copied: Path) -> None:
    (copied / "mosaic" / "mosaic.cpp").write_text("int broken( {\n")
    assert set(build.build(["pool", "mosaic", "haar"])) == {f"mosaic-{kind}" for kind in build.variants()}
    assert "failed:" in str(_reason("mosaic"))
    assert _reason("haar") is None


@needs_compiler
def test_a_file_that_is_no_library_is_a_reason(copied: Path) -> None:
    assert build.build(["pool", "mosaic"]) == {}
    for path in build.BUILT.glob("mosaic-*.so"):
        path.write_bytes(b"not a library")
    assert "cannot be loaded" in str(_reason("mosaic"))


def test_a_cpu_kind_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAWDIFF_CPU_VARIANT", "neon9")
    if native.loadable_variants():
        assert "RAWDIFF_CPU_VARIANT=neon9: this CPU runs" in str(native.obstacle("mosaic"))
        monkeypatch.setenv("RAWDIFF_CPU_VARIANT", "baseline")
        assert native.variant() == "baseline" and native.obstacle("mosaic") is None
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
