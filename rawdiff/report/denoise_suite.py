"""The denoising table: photographs that never trained, made dark with published cameras, by every method.

PSNR and SSIM of packed raw, amplified and clipped to [0, 1], as it comes; beside them, labelled, after a
least-squares gain; the colour difference of what is seen; CPU seconds; bias per brightness.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from rawdiff.errors import ConfigurationError
from rawdiff.report.color_difference import ciede2000, render_lab
from rawdiff.report.denoise_cases import RATIOS, REFERENCE, Condition, DarkFrame, draw_cases
from rawdiff.report.flat_fields import FlatFigures
from rawdiff.report.metrics import BrightnessBias, align_brightness, psnr, ssim
from rawdiff.report.peers import Figures, KeptFigures, Peer
from rawdiff.train.photographs import Photograph

Denoise = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]

WINDOW_SIDE = 256
"""Of the windows in mosaic pixels: BM3D takes more than a minute for a megapixel."""


@dataclass(frozen=True)
class Row:
    """Figures of one method on one frame."""

    method: str
    photograph: str
    sharpness: str
    condition: str
    ratio: float
    megapixels: float
    figures: Figures


@dataclass
class SuiteResult:
    """All rows; bias per brightness and flat grey of the methods that ran here, not of peers."""

    rows: list[Row] = field(default_factory=list)
    bias: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    flats: list[FlatFigures] = field(default_factory=list)

    def methods(self) -> list[str]:
        """By mean PSNR, the worst first: the ladder's order."""
        values: dict[str, list[float]] = {}
        for row in self.rows:
            values.setdefault(row.method, []).append(row.figures.psnr_db)
        return sorted(values, key=lambda method: _mean(values[method]))

    def choose(self, method: str, ratio: float, sharpness: str, condition: str = "") -> list[Row]:
        """Rows of a cell; of all cameras, the reference point aside, unless a condition is given."""
        rows = [r for r in self.rows if (r.method, r.ratio, r.sharpness) == (method, ratio, sharpness)]
        if condition:
            return [row for row in rows if row.condition == condition]
        return [row for row in rows if row.condition != REFERENCE] or rows

    def mean(self, method: str, ratio: float, sharpness: str, figure: str = "psnr_db") -> float:
        """Mean of a figure over photographs and cameras."""
        return _mean([getattr(row.figures, figure) for row in self.choose(method, ratio, sharpness)])

    def gain(self, method: str, peer: str, ratio: float, sharpness: str) -> tuple[float, float]:
        """Mean difference in PSNR and its standard error over photographs, frame by frame [dB]."""
        by_photograph: dict[str, list[float]] = {}
        theirs = {(row.photograph, row.condition): row for row in self.choose(peer, ratio, sharpness)}
        for row in self.choose(method, ratio, sharpness):
            other = theirs[row.photograph, row.condition]
            gains = by_photograph.setdefault(row.photograph, [])
            gains.append(row.figures.psnr_db - other.figures.psnr_db)
        means = torch.tensor([_mean(gains) for gains in by_photograph.values()], dtype=torch.float64)
        error = float(means.std() / len(means) ** 0.5) if len(means) > 1 else float("nan")
        return float(means.mean()), error

    def cpu_s_per_mp(self, method: str) -> float:
        """CPU seconds per megapixel of mosaic, over all frames."""
        rows = [row for row in self.rows if row.method == method]
        return sum(row.figures.cpu_s for row in rows) / sum(row.megapixels for row in rows)

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "cpu_s_per_mp": {method: self.cpu_s_per_mp(method) for method in self.methods()},
            "bias": self.bias,
            "flats": [asdict(flat) for flat in self.flats],
        }


def run_suite(
    photographs: Sequence[Photograph],
    methods: dict[str, Denoise],
    where: Sequence[Condition],
    ratios: Sequence[float] = RATIOS,
    side: int = WINDOW_SIDE,
    on_case: Callable[[str], None] | None = None,
    peers: Sequence[Peer] = (),
    kept: KeptFigures | None = None,
) -> SuiteResult:
    """Run every method on every dark frame.

    Args:
        photographs: none of which any method was trained on.
        methods: by name, with the signature of a recipe.
        where: cameras and their noise.
        ratios: exposure ratios.
        side: of the windows in mosaic pixels.
        on_case: told what is being worked on.
        peers: programs outside the product.
        kept: figures of peers that ran before; those of `peers` are added.

    Raises:
        ConfigurationError: a peer of `kept` never ran on some of the frames and is not among `peers`.
    """
    found = SuiteResult()
    bias = {name: BrightnessBias() for name in methods}
    for frame in draw_cases(photographs, where, ratios, side):
        if on_case is not None:
            on_case(frame.title())
        for name, denoise in methods.items():
            began = time.process_time()
            estimate = denoise(frame.noisy, frame.gain, frame.sigma, 1.0, 1.0)
            seconds = time.process_time() - began
            found.rows.append(_row(name, frame, judge(frame, estimate, seconds)))
            gain = frame.gain.view(4, 1, 1)
            bias[name].add(estimate / gain, frame.clean / gain)
        found.rows += [_row(name, frame, figures) for name, figures in _ask_peers(frame, peers, kept)]
    found.bias = {name: table.table() for name, table in bias.items()}
    return found


def judge(frame: DarkFrame, estimate: Tensor, cpu_s: float) -> Figures:
    """Measure an estimate `[4, h, w]` at the input's exposure."""
    clean = (frame.clean * frame.ratio).clamp(0, 1)
    amplified = estimate * frame.ratio
    seen, aligned = amplified.clamp(0, 1), align_brightness(amplified, clean).clamp(0, 1)
    camera = frame.condition.camera
    return Figures(
        psnr_db=psnr(seen, clean),
        ssim=ssim(seen, clean),
        delta_e=float(ciede2000(render_lab(seen, camera), render_lab(clean, camera)).mean()),
        aligned_psnr_db=psnr(aligned, clean),
        aligned_ssim=ssim(aligned, clean),
        cpu_s=cpu_s,
    )


def _ask_peers(
    frame: DarkFrame, peers: Sequence[Peer], kept: KeptFigures | None
) -> Iterator[tuple[str, Figures]]:
    running = {peer.name: peer for peer in peers}
    for name in dict.fromkeys([*(kept.peers() if kept else []), *running]):
        figures = kept.find(name, frame) if kept else None
        if figures is None:
            if name not in running:
                raise ConfigurationError(
                    f"the peer '{name}' never ran on {frame.title()}",
                    hint=f"give it by --peer {name}=COMMAND, or other --figures",
                )
            figures = judge(frame, *running[name].denoise(frame))
            if kept is not None:
                kept.keep(name, frame, figures)
        yield name, figures


def _row(name: str, frame: DarkFrame, figures: Figures) -> Row:
    return Row(
        method=name,
        photograph=frame.photograph,
        sharpness=frame.sharpness,
        condition=frame.condition.name,
        ratio=frame.ratio,
        megapixels=frame.noisy.numel() / 1e6,
        figures=figures,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
