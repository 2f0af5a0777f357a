"""Does text stay readable? Rendered words in dark scenes, enhanced, read by tesseract.

Lines of words in black on paper are rendered at several sizes, lit unevenly, exposed a hundred times too
short by a published camera, denoised and enhanced through the pipeline, and read by the OCR program that
Debian calls tesseract-ocr. It is no part of rawdiff; without it this part cannot run and says so.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rawdiff.errors import ConfigurationError
from rawdiff.recipes.catalog import Recipe
from rawdiff.report.enhance_methods import encode_srgb
from rawdiff.report.enhance_raw import shoot_dark
from rawdiff.report.tables import Table
from rawdiff.simulate.scene import srgb_to_linear
from rawdiff.simulate.uneven_light import uneven_lights

SIZES_PX = (12, 14, 18, 24)
RATIOS = (25.0, 100.0)
LIGHTS = ("even", "ramp")
_WIDTH, _LINES, _PAPER, _INK = 480, 6, 200, 35
_ENLARGE = 3
"""Small letters are enlarged before they are read, for every method alike: tesseract wants 30 pixels."""
_TEXT = (
    "light photon window quiet garden river stone bridge letter number signal market yellow purple orange "
    "winter summer morning evening doctor teacher kitchen station library hospital museum theatre harbour "
    "copper silver marble velvet pepper almond cherry violin guitar candle mirror pocket button ribbon"
)


@dataclass(frozen=True)
class Reading:
    """Share of the characters that were read, 0 to 1."""

    method: str
    light: str
    ratio: float
    size_px: int
    accuracy: float

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def find_reader() -> str:
    """The program that reads.

    Raises:
        ConfigurationError: it is not installed.
    """
    found = shutil.which("tesseract")
    if found is None:
        raise ConfigurationError(
            "tesseract is not installed", hint="apt install tesseract-ocr, or leave --ocr out"
        )
    return found


def render_text(size_px: int, seed: int) -> tuple[Tensor, str]:
    """Words on paper as linear sRGB `[3, H, W]`, letters of `size_px` an em, and the words themselves."""
    font = ImageFont.load_default(size_px)
    known = _TEXT.split()
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed)).tolist()
    words = [known[index] for index in order]
    height = _LINES * 2 * size_px + 2 * size_px
    page = Image.new("RGB", (_WIDTH, height + height % 2), (_PAPER, _PAPER, _PAPER - 12))
    draw = ImageDraw.Draw(page)
    lines = []
    for number in range(_LINES):
        line: list[str] = []
        while words and draw.textlength(" ".join([*line, words[0]]), font=font) < _WIDTH - 3 * size_px:
            line.append(words.pop(0))
        if not line:
            break
        draw.text((size_px, size_px + 2 * size_px * number), " ".join(line), (_INK,) * 3, font=font)
        lines.append(" ".join(line))
    encoded = torch.from_numpy(np.array(page)).permute(2, 0, 1).float() / 255
    return srgb_to_linear(encoded), "\n".join(lines)


def read_text(light: Tensor, reader: str) -> str:
    """What tesseract reads in a picture of linear display light."""
    shown = (encode_srgb(light) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    page = Image.fromarray(shown)
    page = page.resize((page.width * _ENLARGE, page.height * _ENLARGE), Image.Resampling.BICUBIC)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.png"
        page.save(path)
        done = subprocess.run(
            [reader, str(path), "stdout", "--psm", "6", "-l", "eng"],
            capture_output=True,
            text=True,
            timeout=600,
            # Threads of its own wait for one another actively; on a busy machine that takes minutes.
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
    if done.returncode:
        raise ConfigurationError(f"tesseract failed: {done.stderr.strip()[:200]}")
    return done.stdout


def accuracy(found: str, meant: str) -> float:
    """1 less Levenshtein's distance over the length of what is meant, at least 0; blanks count one."""
    first, second = " ".join(found.split()), " ".join(meant.split())
    row = list(range(len(second) + 1))
    for i, left in enumerate(first, 1):
        above, row = row, [i]
        for j, right in enumerate(second, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (left != right)))
    return max(1 - row[-1] / max(len(second), 1), 0.0)


def run_text(
    enhancers: Sequence[str], recipe: Recipe, on_case: Callable[[str], None] | None = None
) -> list[Reading]:
    """Read every size under every light and ratio after every method.

    Raises:
        ConfigurationError: tesseract is not installed.
    """
    reader = find_reader()
    readings = []
    for seed, size in enumerate(SIZES_PX):
        scene, words = render_text(size, seed)
        readings.append(
            Reading("the page itself", "even", 1.0, size, accuracy(read_text(scene, reader), words))
        )
        maps = uneven_lights(*scene.shape[1:])
        for light in LIGHTS:
            for ratio in RATIOS:
                if on_case is not None:
                    on_case(f"{size} px, {light} light, ratio {ratio:g}")
                lit = scene if light == "even" else scene * maps[light]
                dark = shoot_dark(lit, recipe, ratio, seed=seed)
                for name, picture in dark.pictures(enhancers).items():
                    share = accuracy(read_text(picture, reader), words)
                    readings.append(Reading(name, light, ratio, size, share))
    return readings


def tabulate_text(readings: Sequence[Reading]) -> list[Table]:
    """Share of the characters read, in percent: one row a method, one column a size."""
    sizes = sorted({reading.size_px for reading in readings})
    table = Table(
        "Characters read by tesseract, percent",
        ("method", "light", "ratio", *(f"{size} px" for size in sizes), "mean"),
        notes=["Rendered words, simulated raw, denoised; every picture enlarged three times before reading."],
        digits=dict.fromkeys(("ratio", "mean", *(f"{size} px" for size in sizes)), 0),
    )
    for key in dict.fromkeys((r.method, r.light, r.ratio) for r in readings):
        found = {r.size_px: 100 * r.accuracy for r in readings if (r.method, r.light, r.ratio) == key}
        method, light, ratio = key
        sizes_read = {f"{size} px": value for size, value in found.items()}
        mean = math.fsum(found.values()) / len(found)
        table.rows.append({"method": method, "light": light, "ratio": ratio, **sizes_read, "mean": mean})
    return [table]
