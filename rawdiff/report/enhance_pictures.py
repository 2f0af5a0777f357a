"""Ordinary pictures, in pairs of dark and normally lit or alone, through every enhancer.

Pictures are linearised; with a recipe they are denoised first by the noise found in them, as
`rawdiff enhance --denoise` does. Nothing is aligned but in the columns that say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rawdiff.errors import InputError
from rawdiff.pipeline.picture import as_srgb, decode_srgb
from rawdiff.pipeline.picture_noise import denoise_picture
from rawdiff.raw.picture_read import PICTURE_SUFFIXES, read_picture
from rawdiff.recipes.catalog import Recipe
from rawdiff.report.enhance_figures import compare, lightness_order_error
from rawdiff.report.enhance_methods import Method, encode_srgb
from rawdiff.report.tables import Cell, Table

_NO_SCORES = (
    "NIQE and BRISQUE are left out: their published parameters are free for research only,"
    " and both rate some dark pictures above their normally lit truth."
)


@dataclass(frozen=True)
class Case:
    """A dark picture and, where there is one, the same scene normally lit."""

    name: str
    dark: Path
    lit: Path | None


@dataclass(frozen=True)
class PictureScore:
    """Figures of one method on one picture; `figures` of pairs are those of `compare`."""

    method: str
    denoised: bool
    picture: str
    loe: float
    mean: float
    seconds_per_mp: float
    figures: dict[str, float] | None

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def find_cases(folder: Path) -> list[Case]:
    """Pairs `NAME_low.*` and `NAME_high.*`, or `low/NAME.*` and `high/NAME.*`; otherwise pictures alone.

    Raises:
        InputError: no pictures, or dark ones without their partners.
    """
    pictures = _pictures(folder)
    dark = [path for path in pictures if path.stem.endswith("_low")]
    if dark:
        partners = {path.stem: path for path in pictures}
        pairs = [(p.stem[:-4], p, partners.get(f"{p.stem[:-4]}_high")) for p in dark]
    elif (folder / "low").is_dir() and (folder / "high").is_dir():
        partners = {path.stem: path for path in _pictures(folder / "high")}
        pairs = [(p.stem, p, partners.get(p.stem)) for p in _pictures(folder / "low")]
    else:
        pairs = []
    for name, path, partner in pairs:
        if partner is None:
            raise InputError(f"'{name}' has no normally lit partner", where=path)
    cases = [Case(*pair) for pair in pairs] or [Case(path.stem, path, None) for path in pictures]
    if not cases:
        raise InputError(
            "no pictures", where=folder, hint="JPEG, PNG or TIFF; NAME_low and NAME_high for pairs"
        )
    return cases


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError("no such folder", where=folder)
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())


def load_linear(path: Path) -> Tensor:
    """A picture as linear sRGB, `[3, H, W]`."""
    return decode_srgb(as_srgb(read_picture(path))[0])


def run_pictures(
    cases: Sequence[Case],
    methods: dict[str, Method],
    recipe: Recipe | None,
    on_case: Callable[[str], None] | None = None,
) -> list[PictureScore]:
    """Enhance every picture by every method, as it is and, with a recipe, denoised.

    Raises:
        InputError: a pair of different sizes.
    """
    scores = []
    for case in cases:
        dark = load_linear(case.dark)
        truth = None if case.lit is None else load_linear(case.lit)
        if truth is not None and truth.shape != dark.shape:
            raise InputError("the two pictures of a pair have different sizes", where=case.lit)
        inputs = [(False, dark)]
        if recipe is not None:
            if on_case is not None:
                on_case(f"{case.name} denoising")
            inputs.append((True, denoise_picture(dark, recipe)))
        for denoised, light in inputs:
            for name, method in methods.items():
                if on_case is not None:
                    on_case(f"{case.name} {name}")
                began = time.perf_counter()
                output = method(light)
                spent = (time.perf_counter() - began) / (light[0].numel() / 1e6)
                figures = None if truth is None else compare(output, truth)
                loe = lightness_order_error(output, dark)
                mean = float(encode_srgb(output).mean())
                scores.append(PictureScore(name, denoised, case.name, loe, mean, spent, figures))
    return scores


def tabulate_pictures(scores: Sequence[PictureScore]) -> list[Table]:
    """Means over the pictures."""
    paired = all(score.figures is not None for score in scores)
    pictures = len({score.picture for score in scores})
    kind = "pairs" if paired else "pictures"
    table = Table(
        f"Enhancement of {pictures} {kind}, mean",
        ("method", "PSNR", "SSIM", "aligned PSNR", "aligned SSIM", "Delta E", "level %", "LOE", "s/MP")
        if paired
        else ("method", "mean value", "LOE", "s/MP"),
        notes=[
            "sRGB in and out. aligned: after one gain to the truth's mean luminance; level: error of the mean"
            " sRGB value; LOE: pixels whose order of lightness was turned, per pixel, against the input.",
            _NO_SCORES,
        ],
        digits={"SSIM": 3, "aligned SSIM": 3, "level %": 1, "LOE": 0, "mean value": 3},
    )
    for denoised in dict.fromkeys(score.denoised for score in scores):
        for method in dict.fromkeys(score.method for score in scores):
            rows = [s for s in scores if (s.denoised, s.method) == (denoised, method)]
            table.rows.append(_mean_row(rows, f"denoised, {method}" if denoised else method))
    return [table]


def _mean_row(rows: Sequence[PictureScore], called: str) -> dict[str, Cell]:
    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    found: dict[str, Cell] = {
        "method": called,
        "mean value": mean([row.mean for row in rows]),
        "LOE": mean([row.loe for row in rows]),
        "s/MP": mean([row.seconds_per_mp for row in rows]),
    }
    figures = [row.figures for row in rows if row.figures is not None]
    if figures:
        names = {
            "PSNR": "psnr",
            "SSIM": "ssim",
            "aligned PSNR": "aligned psnr",
            "aligned SSIM": "aligned ssim",
        }
        found |= {column: mean([f[name] for f in figures]) for column, name in names.items()}
        found["Delta E"] = mean([f["delta e"] for f in figures])
        found["level %"] = 100 * mean([abs(f["level"]) for f in figures])
    return found
