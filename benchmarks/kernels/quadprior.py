"""The quadruple prior of a linear picture, beside torch's convolutions and OpenCV with NumPy."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np
import torch
from rawdiff_kernels import quadprior
from rawdiff_kernels.quadprior import reference
from rawdiff_kernels.quadprior.op import DEFAULT_EPS, cost
from torch import Tensor
from torch.nn.functional import conv2d
from torch.nn.functional import pad as extend

from benchmarks.kernels.measure import Call, Measurement, agree


def measurements(height: int, width: int, device: torch.device) -> Iterator[Measurement]:
    """Sigma 1 with peers; then the largest scale of the published predictor."""
    generator = torch.Generator().manual_seed(0)
    rgb = (0.05 + torch.rand(1, 3, height, width, generator=generator)).to(device)
    matrix = quadprior.default_matrix(device=device)
    routes = ("gpu" if device.type == "cuda" else "cpu", "reference")
    for scale, name in ((0.0, "sigma 1"), (2.5, "sigma 5.7")):
        scales = torch.full((1,), scale, device=device)
        peers = _peers(rgb, matrix, scales) if scale == 0.0 else {}
        yield Measurement(
            "quadprior", name, cost(rgb, scale),
            {route: lambda s=scales, r=route: quadprior.prior(rgb, matrix, s, route=r)
             for route in (routes if scale == 0.0 else routes[:1])},
            peers,
        )  # fmt: skip


def _peers(rgb: Tensor, matrix: Tensor, scales: Tensor) -> dict[str, Call]:
    small = rgb[..., :40, :60].contiguous()
    expected = quadprior.prior(small, matrix, scales)
    # H jumps by pi where its denominator crosses zero, so the other channels are held together.
    agree([_by_convolution(small, matrix, scales)[:, 1:]], [expected[:, 1:]])
    peers: dict[str, Call] = {"torch, 2-D convolutions": lambda: _by_convolution(rgb, matrix, scales)}
    if rgb.device.type == "cpu" and importlib.util.find_spec("cv2") is not None:
        agree([torch.from_numpy(_by_opencv(small, scales))[1:]], [expected[0, 1:]])
        peers["OpenCV and NumPy"] = lambda: _by_opencv(rgb, scales)
    return peers


def _by_convolution(rgb: Tensor, matrix: Tensor, scales: Tensor) -> Tensor:
    """The form of the released code: whole 2-D filters, one convolution for each of the colour planes."""
    radius = reference.radius_of(float(scales[0]))
    bell, slope = reference.taps(scales[0], radius)
    even, odd = torch.cat((bell.flip(0)[:-1], bell)), torch.cat((-slope.flip(0)[:-1], slope))
    filters = torch.stack((torch.outer(even, even), torch.outer(odd, even), torch.outer(even, odd)))
    planes = torch.einsum("kc,bchw->kbhw", matrix, rgb)
    wide = extend(planes, (radius,) * 4, mode="reflect")
    level, down, across = conv2d(wide[0][:, None], filters[:, None]).unbind(1)
    first, second = (conv2d(wide[k][:, None], filters[:1, None])[:, 0] for k in (1, 2))
    filtered = [level, down, across, first, second]
    hue, chroma, edge = reference.invariants(filtered, DEFAULT_EPS["invariant"], "invariant")
    return torch.cat((torch.stack((hue, chroma), 1), reference.order(rgb), edge[:, None]), 1)


def _by_opencv(rgb: Tensor, scales: Tensor) -> np.ndarray:
    """Separable filters by OpenCV, the invariants and the ranks by NumPy."""
    import cv2

    radius = reference.radius_of(float(scales[0]))
    bell, slope = (tap.numpy() for tap in reference.taps(scales[0], radius))
    even, odd = np.concatenate((bell[:0:-1], bell)), np.concatenate((-slope[:0:-1], slope))
    red, green, blue = rgb[0].numpy()
    energy, first, second = (r * red + g * green + b * blue for r, g, b in reference.COLOR_MODEL)

    def filtered(plane: np.ndarray, along: np.ndarray, down: np.ndarray) -> np.ndarray:
        smooth: np.ndarray = cv2.sepFilter2D(plane, -1, along, down, borderType=cv2.BORDER_REFLECT_101)
        return smooth

    energy, first, second = (plane.astype(np.float32) for plane in (energy, first, second))
    level, down, across = (filtered(energy, x, y) for x, y in ((even, even), (even, odd), (odd, even)))
    first, second = filtered(first, even, even), filtered(second, even, even)
    below = level * level + np.float32(DEFAULT_EPS["invariant"])
    hue = np.arctan(first / second)
    chroma = np.log((first * first + second * second) / below + np.float32(reference.RATIO_FLOOR))
    edge = np.arctan((down * down + across * across) / below)
    pixels = rgb[0].numpy()
    ranks = np.zeros_like(pixels)
    for extreme, sign in ((pixels.max(0), 1.0), (pixels.min(0), -1.0)):
        here = pixels == extreme
        ranks += here * np.where(here.sum(0) == 1, np.float32(sign), np.float32(0.5 * sign))
    return np.concatenate((np.stack((hue, chroma)), ranks, edge[None]))
