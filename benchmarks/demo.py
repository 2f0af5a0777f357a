"""The demo: a dark burst of a photograph, processed from DNG files, measured against its truth.

python -m benchmarks.demo [FOLDER]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rawdiff.raw.frame import RawFrame, plane_sites
from rawdiff.raw.ingest import read_raw

PHOTOGRAPH = Path(__file__).parent / "photographs" / "friends.jpg"
RATIO, FRAMES = 100.0, 8


def run_command(*arguments: str) -> None:
    """Run the installed command as a person would, showing it first."""
    command = ["rawdiff", *arguments]
    print("$", " ".join(command), flush=True)
    program = shutil.which("rawdiff", path=str(Path(sys.executable).parent)) or "rawdiff"
    subprocess.run([program, *arguments], check=True)


def amplified_planes(path: Path) -> NDArray[np.float64]:
    """Packed raw `[4, h, w]` of a DNG, black 0, brought to the reference exposure."""
    frame = read_raw(path)
    assert isinstance(frame, RawFrame)
    black, white = frame.levels.per_plane(frame.phase)
    planes = [frame.mosaic_dn[row::2, column::2] for row, column in plane_sites(frame.phase)]
    scaled = [(p - b) / (w - b) * RATIO for p, b, w in zip(planes, black, white, strict=True)]
    return np.stack(scaled).astype(np.float64)


def psnr(planes: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Peak signal-to-noise ratio of packed raw clipped to 0..1, no alignment [dB]."""
    error = np.clip(planes, 0, 1) - np.clip(truth, 0, 1)
    return float(-10 * np.log10(np.mean(error**2)))


def draw_strip(pictures: list[Path], path: Path, side: int = 560) -> None:
    """Put the middle of pictures of one scene side by side, at 100 %."""
    strip = Image.new("RGB", (side * len(pictures), side))
    for number, name in enumerate(pictures):
        with Image.open(name) as picture:
            left, top = (picture.width - side) // 2, (picture.height - side) // 2
            strip.paste(picture.crop((left, top, left + side, top + side)), (number * side, 0))
    strip.save(path, quality=90)


def main(folder: Path) -> None:
    """Simulate, process, measure, and say where everything is."""
    burst, out = folder / "burst", folder / "out"
    reference = f"frame_{FRAMES // 2:03d}"
    run_command(
        "simulate", str(PHOTOGRAPH), "-o", str(burst), "--camera", "SonyA7S2", "--iso", "3200",
        "--ratio", f"{RATIO:g}", "--frames", str(FRAMES), "--shake", "6", "--rotation", "0.1", "--overwrite",
    )  # fmt: skip
    run_command(
        "process", str(burst), "-o", str(out), "--format", "jpeg,dng,linear-dng",
        "--reference", f"{reference}.dng", "--overwrite",
    )  # fmt: skip
    middle = burst / f"{reference}.dng"
    run_command("process", str(middle), "-o", str(folder / "noisy"), "--strength", "0", "--overwrite")
    run_command("process", str(middle), "-o", str(folder / "single"), "--overwrite")
    rendered = [folder / name / f"{reference}.jpg" for name in ("noisy", "single", "out")]
    draw_strip(rendered, folder / "before-after.jpg")
    truth = np.load(burst / "truth.npz")["packed"].astype(np.float64)
    before = psnr(amplified_planes(burst / f"{reference}.dng"), truth)
    after = psnr(amplified_planes(out / f"{reference}.dng"), truth)
    print(f"\npacked raw at ratio {RATIO:g}, against the truth, no alignment:")
    print(f"  PSNR of {reference}.dng as captured   {before:6.2f} dB")
    print(f"  PSNR of {reference}.dng as processed  {after:6.2f} dB   ({after - before:+.2f} dB)")
    print("files:")
    for path in (*sorted(out.glob(f"{reference}*")), folder / "before-after.jpg"):
        print(f"  {path}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo"))
