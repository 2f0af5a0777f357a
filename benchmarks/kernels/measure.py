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


def measure(call: Call, device: torch.device, seconds: float, least: int = 5) -> Timing:
    """Time a call again and again for about `seconds`, after two calls that do not count."""
    for _ in range(2):
        call()
    _wait(device)
    wall, cpu = [], []
    end = time.perf_counter() + seconds
    while len(wall) < least or (time.perf_counter() < end and len(wall) < 200):
        began, busy = time.perf_counter(), time.process_time()
        call()
        _wait(device)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - busy)
    lower, median, upper = statistics.quantiles(wall, n=4)
    return Timing(median, lower, upper, statistics.median(cpu))


def copy(nbytes: int, device: torch.device, seconds: float) -> Timing:
    """The floor for `nbytes` read and written: copying half of them, between buffers touched before.

    On the CPU the faster of torch's copy and a memcpy on as many threads.
    """
    source = torch.ones(nbytes // 8, dtype=torch.float32, device=device)
    target = torch.zeros_like(source)
    calls: list[Call] = [lambda: target.copy_(source)]
    if device.type == "cpu":
        calls.append(lambda: _threaded_memcpy(target, source))
    return min((measure(call, device, seconds) for call in calls), key=lambda timing: timing.median)


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
