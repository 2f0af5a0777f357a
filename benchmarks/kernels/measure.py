"""Timing: medians of wall and CPU time, and the copy bandwidth that everything is compared with."""

from __future__ import annotations

import ctypes
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from rawdiff_kernels.launch import Cost
from torch import Tensor

Call = Callable[[], object]


@dataclass(frozen=True)
class Measurement:
    """One thing that an op does, every way it can be done.

    Attributes:
        op: the op's name.
        name: what is done.
        cost: what it must move and compute.
        routes: the op's own routes, name to call.
        peers: other programs doing the same, name to call; their results are checked where they are made.
    """

    op: str
    name: str
    cost: Cost
    routes: Mapping[str, Call]
    peers: Mapping[str, Call] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: median and quartiles of the wall clock, median of the process's CPU time."""

    median: float
    lower: float
    upper: float
    cpu: float


def measure_in_turn(
    calls: Mapping[str, Call], device: torch.device, seconds: float, rounds: int = 8
) -> dict[str, Timing]:
    """Time calls turn by turn, about `seconds` for each, after two calls that do not count.

    In turn, because the pace of a machine that others share changes within seconds: what is compared is then
    timed at the same pace. Where a turn has room for several calls, its first does not count, which finds the
    caches and the free memory as another call left them.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in calls.values():
        call()
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            turn = _one_turn(call, device, seconds / rounds)
            found[name] += turn[1:] if len(turn) > 1 else turn
    timings = {}
    for name, pairs in found.items():
        wall, cpu = zip(*pairs, strict=True)
        lower, median, upper = statistics.quantiles(wall, n=4)
        timings[name] = Timing(median, lower, upper, statistics.median(cpu))
    return timings


def _one_turn(call: Call, device: torch.device, seconds: float) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each call until the time is over."""
    found: list[tuple[float, float]] = []
    _wait(device)
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        began, busy = time.perf_counter(), time.process_time()
        call()
        _wait(device)
        found.append((time.perf_counter() - began, time.process_time() - busy))
    return found


def copies(nbytes: int, device: torch.device) -> dict[str, Call]:
    """The floor for `nbytes` read and written: copying half of them, between buffers touched before.

    On the CPU by torch and by a memcpy on as many threads; the faster counts.
    """
    source = torch.ones(nbytes // 8, dtype=torch.float32, device=device)
    target = torch.zeros_like(source)
    calls: dict[str, Call] = {"copy": lambda: target.copy_(source)}
    if device.type == "cpu":
        calls["memcpy"] = lambda: _threaded_memcpy(target, source)
    return calls


def _threaded_memcpy(target: Tensor, source: Tensor) -> None:
    memcpy = ctypes.CDLL(None).memcpy
    memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    workers = torch.get_num_threads()
    part = -(-source.numel() // workers) * 4
    total = source.numel() * 4

    def move(start: int) -> None:
        memcpy(target.data_ptr() + start, source.data_ptr() + start, min(part, total - start))

    threads = [threading.Thread(target=move, args=(start,)) for start in range(part, total, part)]
    for thread in threads:
        thread.start()
    move(0)
    for thread in threads:
        thread.join()


def agree(actual: Sequence[Tensor], expected: Sequence[Tensor], relative: float = 1e-4) -> None:
    """Stop the benchmark where a peer computes something else than the op.

    Raises:
        ValueError: two results differ by more than `relative` of the largest magnitude.
    """
    for mine, other in zip(actual, expected, strict=True):
        gap = float((mine.double().cpu() - other.double().cpu()).abs().max())
        if gap > relative * max(float(other.abs().max()), 1e-30):
            raise ValueError(f"a peer's result differs by {gap:.3g}: it does something else")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
