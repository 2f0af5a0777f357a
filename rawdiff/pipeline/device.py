"""Where the work runs: threads, allocator, device."""

from __future__ import annotations

import os

import torch
from rawdiff_kernels.native import tune_allocator

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.config import ProcessConfig

_LARGEST_KEPT, _FREE_KEPT = 32 << 20, 128 << 20
"""Blocks of strips and bands are kept by the allocator (32 MiB is the most that glibc keeps): an eighth of a
network's time is fresh pages otherwise. Its coarse levels are larger and are given back."""


def settle_machine(config: ProcessConfig, threads: int | None) -> torch.device:
    """Set the threads and the allocator once, where a command starts; return the device.

    Raises:
        ConfigurationError: a device that is not there, or no threads at all.
    """
    if threads is not None:
        if threads < 1:
            raise ConfigurationError(f"cannot run on {threads} threads")
        torch.set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ and hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    tune_allocator(_LARGEST_KEPT, _FREE_KEPT)
    return choose_device(config.device)


def choose_device(wanted: str) -> torch.device:
    """Return the device of that name; `auto` takes a GPU where there is one.

    Raises:
        ConfigurationError: CUDA was asked for and is not there.
    """
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise ConfigurationError(
            "no CUDA device is available", hint="use --device cpu; `rawdiff doctor` says why"
        )
    return torch.device("cuda" if wanted != "cpu" and present else "cpu")
