"""The picture strip of the README and the report: a dark photograph, by every enhancer, and its prior maps.

python -m benchmarks.enhance_strip [PHOTOGRAPH] [-o benchmarks/figures/enhance.jpg] [--light ramp]

The photograph is reduced, lit unevenly, captured a hundred times too short by a simulated camera, denoised
and developed as `rawdiff process --enhance` does. First row: only amplified, by a gain to a common mean, by
the pipeline without and with each enhancer, the photograph. Second row: what of the dark picture does not
depend on its light, H, C, O and W.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rawdiff_kernels import quadprior
from torch import Tensor

from rawdiff.recipes.catalog import find_recipe
from rawdiff.report.enhance_methods import choose_enhancers, encode_srgb
from rawdiff.report.enhance_raw import KNOWN_RATIO, RATIO, shoot_dark
from rawdiff.simulate.scene import even_crop, load_photograph
from rawdiff.simulate.uneven_light import uneven_lights

PHOTOGRAPH = Path(__file__).parent / "photographs" / "friends.jpg"
_WIDTH, _GAP, _LABEL = 320, 8, 22


def as_bytes(shown: Tensor) -> NDArray[np.uint8]:
    """Display values `[3, h, w]` in 0..1 as a picture."""
    return (shown.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def prior_maps(light: Tensor) -> dict[str, Tensor]:
    """H, C, O and W of linear light `[3, h, w]`, each spread over 0..1, `[3, h, w]`."""
    six = quadprior.prior(light[None].contiguous(), quadprior.default_matrix(), torch.ones(1))[0]

    def spread(plane: Tensor) -> Tensor:
        low, high = (
            torch.quantile(plane.flatten()[:: max(plane.numel() // 100_000, 1)], q) for q in (0.01, 0.99)
        )
        return ((plane - low) / (high - low).clamp(min=1e-6)).clamp(0, 1).expand(3, *plane.shape)

    return {
        "H: hue": spread(six[0]),
        "C: saturation": spread(six[1]),
        "O: order of the channels": (six[2:5] + 1) / 2,
        "W: edges": spread(six[5]),
    }


def lay_out(rows: list[dict[str, NDArray[np.uint8]]]) -> Image.Image:
    """Pictures of one size under their names, row by row."""
    height, width, _ = next(iter(rows[0].values())).shape
    columns = max(len(row) for row in rows)
    size = (columns * (width + _GAP) - _GAP, len(rows) * (height + _LABEL + _GAP) - _GAP)
    strip = Image.new("RGB", size, (255, 255, 255))
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(14)
    for number, row in enumerate(rows):
        for place, (name, pixels) in enumerate(row.items()):
            left, top = place * (width + _GAP), number * (height + _LABEL + _GAP)
            draw.text((left + 2, top + 2), name, (40, 40, 40), font=font)
            strip.paste(Image.fromarray(pixels), (left, top + _LABEL))
    return strip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photograph", nargs="?", type=Path, default=PHOTOGRAPH)
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(__file__).parent / "figures" / "enhance.jpg"
    )
    parser.add_argument("--light", choices=("even", "ramp", "pool", "lamps"), default="ramp")
    parser.add_argument("--recipe", default="mmse")
    chosen = parser.parse_args()
    whole = load_photograph(chosen.photograph)
    scene = even_crop(load_photograph(chosen.photograph, max(math.floor(whole.shape[2] / _WIDTH), 1)))
    lit = scene if chosen.light == "even" else scene * uneven_lights(*scene.shape[1:])[chosen.light]
    dark = shoot_dark(lit.clamp(0, 1), find_recipe(chosen.recipe))
    pictures = dark.pictures(choose_enhancers([]))
    amplified = pictures.pop(KNOWN_RATIO)
    first = {f"denoised, times {RATIO:g}": amplified, **pictures, "the photograph": scene}
    rows = [
        {name: as_bytes(encode_srgb(light)) for name, light in first.items()},
        {name: as_bytes(shown) for name, shown in prior_maps(amplified.float()).items()},
    ]
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    lay_out(rows).save(chosen.output, quality=88)
    print(f"wrote {chosen.output}")


if __name__ == "__main__":
    main()
