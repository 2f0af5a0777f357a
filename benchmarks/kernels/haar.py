"""The two-level Haar transform and its inverse, beside PyWavelets and ptwt."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import torch
from rawdiff_kernels import haar
from rawdiff_kernels.haar.op import cost
from rawdiff_kernels.launch import Cost

from benchmarks.kernels.measure import Call, Measurement, agree

LEVELS = 2


def measurements(height: int, width: int, device: torch.device) -> Iterator[Measurement]:
    """Two levels there and back, and each way alone."""
    image = torch.rand(height, width, generator=torch.Generator().manual_seed(0)).to(device)
    found = haar.forward(image, LEVELS)
    routes = ("gpu" if device.type == "cuda" else "cpu", "reference")
    one_way = cost(image, LEVELS)
    both = Cost(2 * one_way.bytes, 2 * one_way.operations)
    yield Measurement(
        "haar", f"{LEVELS} levels and back", both,
        {route: lambda route=route: haar.inverse(haar.forward(image, LEVELS, route=route), route=route)
         for route in routes},
        _peers(image),
    )  # fmt: skip
    yield Measurement(
        "haar", f"{LEVELS} levels", one_way,
        {route: lambda route=route: haar.forward(image, LEVELS, route=route) for route in routes},
    )  # fmt: skip
    yield Measurement(
        "haar", f"inverse of {LEVELS} levels", one_way,
        {route: lambda route=route: haar.inverse(found, route=route) for route in routes},
    )  # fmt: skip


def _peers(image: torch.Tensor) -> dict[str, Call]:
    peers: dict[str, Call] = {}
    want = haar.forward(image, LEVELS).average
    if importlib.util.find_spec("pywt") is not None and image.device.type == "cpu":
        import pywt

        pixels = image.numpy()
        agree([torch.from_numpy(pywt.wavedec2(pixels, "haar", level=LEVELS)[0])], [want])
        peers["PyWavelets"] = lambda: pywt.waverec2(pywt.wavedec2(pixels, "haar", level=LEVELS), "haar")
    if importlib.util.find_spec("ptwt") is not None:
        import ptwt

        agree([ptwt.wavedec2(image, "haar", level=LEVELS)[0].squeeze()], [want])
        peers["ptwt"] = lambda: ptwt.waverec2(ptwt.wavedec2(image, "haar", level=LEVELS), "haar")
    return peers
