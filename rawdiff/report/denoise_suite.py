"""The denoising table: photographs that never trained, made dark with published cameras, by every recipe.

PSNR and SSIM of packed raw, amplified and clipped to [0, 1], as it comes; beside them, labelled, after a
least-squares gain. Photographs are taken as they are and enlarged twice before the mosaic, which is closer
to what a lens gives.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
from rawdiff_calibration.noise import NoiseModel
from torch import Tensor

from rawdiff.report.metrics import BrightnessBias, align_brightness, psnr, ssim
from rawdiff.simulate.cameras import SimulatedCamera, find
from rawdiff.simulate.capture import capture
from rawdiff.simulate.scene import even_crop, load_photograph, mosaic, pack, to_camera_rgb
from rawdiff.train.photographs import Photograph

Denoise = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]

RATIOS = (100.0, 250.0, 300.0)
REFERENCE = "reference K4 r4"


@dataclass(frozen=True)
class Condition:
    """A camera with its noise. The reference point has K 4 DN/e- and read noise 4 DN, Gaussian."""

    name: str
    camera: SimulatedCamera
    noise: NoiseModel


def conditions(cameras: Sequence[str], iso: float = 1600.0) -> list[Condition]:
    """The reference point and each camera at an ISO; colour bias is what calibration removes, so 0 here."""
    found = [Condition(REFERENCE, find("SonyA7S2"), NoiseModel.uniform(4.0, 4.0))]
    for name in cameras:
        camera = find(name)
        noise = replace(camera.noise_model(iso), bias_dn=(0.0, 0.0, 0.0, 0.0))
        found.append(Condition(f"{camera.name} ISO {iso:g}", camera, noise))
    return found


@dataclass
class Score:
    """Means over photographs of one method under one condition."""

    method: str
    condition: str
    ratio: float
    sharpness: str
    photographs: int
    psnr_db: float
    ssim: float
    aligned_psnr_db: float
    aligned_ssim: float


@dataclass
class SuiteResult:
    """The table, seconds per megapixel and bias per brightness by method."""

    scores: list[Score] = field(default_factory=list)
    seconds_per_mp: dict[str, float] = field(default_factory=dict)
    bias: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "scores": [asdict(score) for score in self.scores],
            "seconds_per_mp": self.seconds_per_mp,
            "bias": self.bias,
        }

    def mean(self, method: str, ratio: float, sharpness: str) -> float:
        """Mean PSNR over cameras, the reference point aside where there are cameras."""
        rows = [s for s in self.scores if (s.method, s.ratio, s.sharpness) == (method, ratio, sharpness)]
        cameras = [s.psnr_db for s in rows if s.condition != REFERENCE] or [s.psnr_db for s in rows]
        return sum(cameras) / len(cameras)


def run_suite(
    photographs: Sequence[Photograph],
    methods: dict[str, Denoise],
    where: Sequence[Condition],
    ratios: Sequence[float] = RATIOS,
    side: int = 512,
    on_case: Callable[[str], None] | None = None,
) -> SuiteResult:
    """Run every method on every dark frame.

    Args:
        photographs: none of which any method was trained on.
        methods: by name, with the signature of a recipe.
        where: cameras and their noise.
        ratios: exposure ratios.
        side: of the centre crop in mosaic pixels.
        on_case: told what is being worked on.
    """
    sums: dict[tuple[str, str, float, str], list[tuple[float, ...]]] = {}
    spent = {name: [0.0, 0.0] for name in methods}
    bias = {name: BrightnessBias() for name in methods}
    for number, photograph in enumerate(photographs):
        for sharpness, scene in _scenes(photograph, side):
            for place, condition in enumerate(where):
                truth = mosaic(even_crop(to_camera_rgb(scene, condition.camera), (side, side)))
                for ratio in ratios:
                    if on_case is not None:
                        on_case(f"{photograph.name} {sharpness} {condition.name} x{ratio:g}")
                    # Every frame has its own noise: errors of the table's rows are independent.
                    seed = 100_000 * number + 10_000 * place + 2 * int(ratio) + (sharpness == "soft")
                    frame = _Frame.expose(truth, condition, ratio, seed)
                    for name, denoise in methods.items():
                        began = time.perf_counter()
                        estimate = denoise(frame.noisy, frame.gain, frame.sigma, 1.0, 1.0)
                        spent[name][0] += time.perf_counter() - began
                        spent[name][1] += truth.numel() / 1e6
                        key = (name, condition.name, ratio, sharpness)
                        sums.setdefault(key, []).append(frame.judge(estimate))
                        gain = frame.gain.view(4, 1, 1)
                        bias[name].add(estimate / gain, frame.clean / gain)
    return SuiteResult(
        [_score(key, values) for key, values in sums.items()],
        {name: seconds / megapixels for name, (seconds, megapixels) in spent.items()},
        {name: table.table() for name, table in bias.items()},
    )


@dataclass(frozen=True)
class _Frame:
    noisy: Tensor
    clean: Tensor
    gain: Tensor
    sigma: Tensor
    ratio: float

    @classmethod
    def expose(cls, truth: Tensor, condition: Condition, ratio: float, seed: int) -> _Frame:
        camera, noise = condition.camera, condition.noise
        span = camera.white_dn - camera.black_dn
        generator = torch.Generator().manual_seed(seed)
        stored = capture(truth, noise, camera.black_dn, camera.white_dn, ratio, generator)
        planes = [0, 1, 1, 2]
        gain = torch.tensor(noise.gain_dn_per_e)[planes] / span
        sigma = torch.tensor(noise.floor_variance_dn2())[planes].sqrt() / span
        return cls(pack((stored - camera.black_dn) / span), pack(truth) / ratio, gain, sigma, ratio)

    def judge(self, estimate: Tensor) -> tuple[float, ...]:
        clean = (self.clean * self.ratio).clamp(0, 1)
        amplified = estimate * self.ratio
        seen = amplified.clamp(0, 1)
        aligned = align_brightness(amplified, clean).clamp(0, 1)
        return psnr(seen, clean), ssim(seen, clean), psnr(aligned, clean), ssim(aligned, clean)


def _scenes(photograph: Photograph, side: int) -> Iterator[tuple[str, Tensor]]:
    """Large photographs are reduced until the crop holds a good part of the frame."""
    whole = load_photograph(photograph.path)
    reduce = max(1, round(min(whole.shape[1:]) / (1.6 * side)))
    yield "sharp", load_photograph(photograph.path, reduce)
    yield "soft", load_photograph(photograph.path, reduce, enlarge=2)


def _score(key: tuple[str, str, float, str], values: list[tuple[float, ...]]) -> Score:
    means = torch.tensor(values, dtype=torch.float64).mean(dim=0).tolist()
    return Score(*key, len(values), *means)
