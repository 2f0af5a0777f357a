"""Does an enhancer see the scene and not its light? The same photograph under many lights.

A photograph is linearised, dimmed as a whole or unevenly, stored with 16 bits, and enhanced. What comes out
is held against what the same method makes of the evenly lit picture (its agreement with itself) and against
the photograph (its agreement with the truth), as PSNR of sRGB values; nothing is aligned but in the column
that says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rawdiff.report.enhance_figures import align_level
from rawdiff.report.enhance_methods import Method, encode_srgb, luminance_of
from rawdiff.report.metrics import psnr
from rawdiff.report.tables import Table
from rawdiff.simulate.scene import load_photograph
from rawdiff.simulate.uneven_light import uneven_lights
from rawdiff.train.photographs import Photograph

GAINS = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 64)
UNEVEN_LEVEL = 1 / 4
LONGEST = 640
"""Photographs are reduced, in linear light, until their longer side has at most this many pixels."""

_BEST_DB = 99.0
"""Stands for agreement in every bit, so that means stay numbers."""


@dataclass(frozen=True)
class Agreement:
    """How one method did on one photograph under one light.

    Attributes:
        own_db: PSNR against its own output under even light.
        truth_db: PSNR against the photograph.
        aligned_db: the same after one gain to the photograph's mean luminance: what is left is the light's
            shape and colour, without the guess of the level.
        level: mean luminance over that of its own output under even light.
    """

    method: str
    light: str
    photograph: str
    own_db: float
    truth_db: float
    aligned_db: float
    level: float


def store16(light: Tensor) -> Tensor:
    """Linear light as a 16-bit file keeps it."""
    return torch.round(light.clamp(0.0, 1.0) * 65535.0) / 65535.0


def measure_photograph(photograph: Tensor, name: str, method: Method, called: str) -> list[Agreement]:
    """Every light on one photograph `[3, H, W]`, linear.

    The evenly lit output is that of gain 1 for the other gains, and of a quarter for the uneven lights.
    """
    truth = encode_srgb(photograph)
    found: list[Agreement] = []

    def note(light: str, output: Tensor, own: Tensor) -> None:
        shown = encode_srgb(output)
        level = float(luminance_of(output).mean() / luminance_of(own).mean().clamp(min=1e-9))
        own_db = min(psnr(shown, encode_srgb(own)), _BEST_DB)
        aligned = encode_srgb(align_level(output, photograph))
        truth_db, aligned_db = (min(psnr(picture, truth), _BEST_DB) for picture in (shown, aligned))
        found.append(Agreement(called, light, name, own_db, truth_db, aligned_db, level))

    outputs = {gain: method(store16(photograph * gain)) for gain in GAINS}
    for gain, output in outputs.items():
        note(f"even, 1/{1 / gain:g}", output, outputs[1.0])
    for light, illumination in uneven_lights(*photograph.shape[1:]).items():
        note(light, method(store16(photograph * illumination * UNEVEN_LEVEL)), outputs[UNEVEN_LEVEL])
    return found


def run_invariance(
    photographs: Sequence[Photograph],
    methods: dict[str, Method],
    on_case: Callable[[str], None] | None = None,
) -> list[Agreement]:
    """Measure every method on every photograph under every light.

    Args:
        photographs: none of which any method was trained on.
        methods: by name.
        on_case: told what is being worked on.
    """
    found = []
    for photograph in photographs:
        whole = load_photograph(photograph.path)
        reduce = math.ceil(max(whole.shape[1:]) / LONGEST)
        scene = load_photograph(photograph.path, reduce) if reduce > 1 else whole
        for called, method in methods.items():
            if on_case is not None:
                on_case(f"{photograph.name} {called}")
            found += measure_photograph(scene, photograph.name, method, called)
    return found


def tabulate_invariance(found: Sequence[Agreement]) -> list[Table]:
    """Means over the photographs, the worst beside them."""
    count = len({row.photograph for row in found})
    columns = (
        "method",
        "light",
        "own dB",
        "worst own dB",
        "truth dB",
        "aligned dB",
        "level error %",
        "worst level error %",
    )
    table = Table(
        f"Agreement under other light, mean of {count} photographs",
        columns,
        notes=[
            "PSNR of sRGB values, nothing aligned. own: against the method's own output under even light;"
            " truth: against the photograph; aligned: the same after one gain to its mean"
            " luminance; level: mean luminance against its own under even light.",
        ],
    )
    for method in dict.fromkeys(row.method for row in found):
        for light in dict.fromkeys(row.light for row in found):
            rows = [row for row in found if (row.method, row.light) == (method, light)]
            own = [row.own_db for row in rows]
            off = [100 * abs(row.level - 1) for row in rows]
            truth = sum(row.truth_db for row in rows) / len(rows)
            aligned = sum(row.aligned_db for row in rows) / len(rows)
            own_db, level = sum(own) / len(own), sum(off) / len(off)
            values = (method, light, own_db, min(own), truth, aligned, level, max(off))
            table.rows.append(dict(zip(columns, values, strict=True)))
    return [table]
