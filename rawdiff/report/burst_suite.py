"""The burst tables: photographs that never trained, shaken, dark and noisy, merged and then denoised.

Beside the merge stand the single frame and the ideal: the mean of as many frames of a scene and a camera that
did not move. PSNR of packed raw, amplified and clipped to [0, 1], without alignment of brightness, over the
part that every frame sees. `sharp` photographs hold detail finer than a colour plane of a mosaic can, which
aliases differently in every frame; `soft` ones are enlarged twice, which is closer to what a lens gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from rawdiff.burst.align import CLIP, Grey, align_frame, stabilised_grey
from rawdiff.burst.merge import Light, Merge
from rawdiff.report.burst_cases import Shots, highlight_error, shoot
from rawdiff.report.metrics import psnr
from rawdiff.simulate.scene import load_photograph
from rawdiff.train.photographs import Photograph

Denoise = Callable[[Tensor, Tensor, Tensor, "float | Tensor", float], Tensor]

FRAMES = (2, 4, 8, 16)
WHITES_E = (400.0, 60.0)
SHAKE_PX, ROTATION_DEG = 20.0, 0.5
BRACKETS = (1.0, 4.0, 16.0)
_BRACKET_WHITE_E = 1000.0


@dataclass(frozen=True)
class Row:
    """One figure: of a photograph, of how many frames, of a quantity by its name."""

    case: str
    photograph: str
    sharpness: str
    white_e: float
    frames: int
    figures: dict[str, float]


@dataclass
class BurstResult:
    """All rows, and CPU seconds per megapixel and alternate frame."""

    rows: list[Row] = field(default_factory=list)
    seconds_per_mp: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """For `--json`: every row, and the means over photographs."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "means": [asdict(row) for row in self.means()],
            "cpu_seconds_per_mp_and_frame": self.seconds_per_mp,
        }

    def means(self) -> list[Row]:
        """Rows averaged over photographs, in the order they were measured."""
        groups: dict[tuple[str, str, float, int], list[dict[str, float]]] = {}
        for row in self.rows:
            groups.setdefault((row.case, row.sharpness, row.white_e, row.frames), []).append(row.figures)
        return [
            Row(case, "mean", sharpness, white_e, frames, _mean(found))
            for (case, sharpness, white_e, frames), found in groups.items()
        ]


@dataclass
class _Clock:
    """CPU seconds and megapixels of each work."""

    seconds: dict[str, float] = field(default_factory=lambda: {"align": 0.0, "merge": 0.0})
    megapixels: float = 0.0


def run_suite(
    photographs: Sequence[Photograph],
    methods: dict[str, Denoise],
    *,
    camera: str = "SonyA7S2",
    iso: float = 3200.0,
    side: int = 512,
    seed: int = 0,
    on_case: Callable[[str], None] | None = None,
) -> BurstResult:
    """Measure still, moving and bracketed bursts of every photograph.

    Args:
        photographs: none of which any method was trained on.
        methods: recipes by name, run on the reference frame, on the merge with its ExposureMap, and on the
            ideal mean.
        camera: whose noise.
        iso: its sensitivity.
        side: of the scene in mosaic pixels; frames are smaller by the shake.
        seed: of shake and noise.
        on_case: told what is being worked on.
    """
    found, clock = BurstResult(), _Clock()

    def tell(*words: object) -> None:
        if on_case is not None:
            on_case(" ".join(str(word) for word in words))

    for number, photograph in enumerate(photographs):
        for sharpness, scene in _scenes(photograph, side):
            draw = seed + 1000 * number
            for white_e in WHITES_E:
                tell(photograph.name, sharpness, f"{white_e:g} e-", "still")
                shake = {"shake_px": SHAKE_PX, "rotation_deg": ROTATION_DEG, "seed": draw}
                still = shoot(scene, white_e, camera, iso, frames=max(FRAMES), **shake)
                for count, figures in _measure_still(still, methods, clock):
                    found.rows.append(Row("still", photograph.name, sharpness, white_e, count, figures))
                tell(photograph.name, sharpness, f"{white_e:g} e-", "moving")
                moving = shoot(scene, white_e, camera, iso, frames=8, motion="object", **shake)
                plain = shoot(scene, white_e, camera, iso, frames=8, **shake)
                figures = _measure_moving(moving, plain, clock)
                found.rows.append(Row("moving", photograph.name, sharpness, white_e, 8, figures))
            for case, shake_px in (("brackets", SHAKE_PX), ("brackets, tripod", 0.0)):
                tell(photograph.name, sharpness, case)
                choices = {"frames": 3, "brackets": BRACKETS, "shake_px": shake_px, "seed": draw}
                bracketed = shoot(scene, _BRACKET_WHITE_E, camera, iso, **choices)
                figures = _measure_brackets(bracketed, clock)
                found.rows.append(Row(case, photograph.name, sharpness, _BRACKET_WHITE_E, 3, figures))
    found.seconds_per_mp = {
        work: seconds / max(clock.megapixels, 1e-9) for work, seconds in clock.seconds.items()
    }
    return found


def _scenes(photograph: Photograph, side: int) -> Iterator[tuple[str, Tensor]]:
    """The middle of the photograph, reduced until it holds a good part of the frame."""
    whole = load_photograph(photograph.path)
    for sharpness, enlarge in (("soft", 2), ("sharp", 1)):
        reduce = max(1, round(min(whole.shape[1:]) * enlarge / (1.3 * side)))
        scene = load_photograph(photograph.path, reduce, enlarge)
        top, left = (max(extent - side, 0) // 2 for extent in scene.shape[1:])
        yield sharpness, scene[:, top : top + side, left : left + side].contiguous()


def merge_shots(
    shots: Shots, reference: int, clock: _Clock, base: int | None = None
) -> Iterator[tuple[int, Merge]]:
    """Merge nearest frames first; yield after each, with how many there are.

    Args:
        shots: the burst.
        reference: in whose light everything is counted.
        clock: told of the time.
        base: on which the others are laid, the reference unless given.
    """
    lights, base = shots.lights, reference if base is None else base
    ceiling = CLIP / max(light.exposure for light in lights)

    def grey(light: Light) -> Grey:
        own = lights[reference]
        return stabilised_grey(light.planes / light.exposure, own.gain, own.sigma, light.exposure, ceiling)

    merge, ours = Merge(lights[reference], base=lights[base]), grey(lights[base])
    others = sorted((i for i in range(len(lights)) if i != base), key=lambda i: abs(i - base))
    for count, index in enumerate(others, 2):
        began = time.process_time()
        alignment = align_frame(ours, grey(lights[index]))
        aligned = time.process_time()
        merge.add(lights[index], alignment.field)
        clock.seconds["align"] += aligned - began
        clock.seconds["merge"] += time.process_time() - aligned
        clock.megapixels += lights[index].planes.numel() / 1e6
        yield count, merge


def _measure_still(
    shots: Shots, methods: dict[str, Denoise], clock: _Clock
) -> Iterator[tuple[int, dict[str, float]]]:
    inside, reference = shots.seen_by_all(), shots.lights[shots.still]
    noise = reference.gain, reference.sigma

    def judge(planes: Tensor) -> float:
        return shots.psnr_db(planes, inside)

    single = {name: judge(denoise(reference.planes, *noise, 1.0, 1.0)) for name, denoise in methods.items()}
    for count, merge in merge_shots(shots, shots.still, clock):
        if count not in FRAMES:
            continue
        planes, exposure = merge.result()
        ideal = shots.ideal(count)
        figures = {"single": judge(reference.planes), "merge": judge(planes), "ideal": judge(ideal)}
        figures["effective_exposures"] = float(exposure[inside].mean())
        for name, denoise in methods.items():
            figures[f"{name} on single"] = single[name]
            figures[f"{name} on merge"] = judge(denoise(planes, *noise, exposure, 1.0))
            figures[f"{name} on ideal"] = judge(denoise(ideal, *noise, float(count), 1.0))
        yield count, figures


def _measure_moving(shots: Shots, plain: Shots, clock: _Clock) -> dict[str, float]:
    merge = [merge for _, merge in merge_shots(shots, shots.still, clock)][-1]
    planes, exposure = merge.result()
    box = shots.object_box()
    return {
        "single in box": shots.psnr_db(shots.lights[shots.still].planes, box),
        "merge in box": shots.psnr_db(planes, box),
        "effective_exposures in box": float(exposure[box].mean()),
        "ghost correlation": shots.ghost(planes, plain),
    }


def _measure_brackets(shots: Shots, clock: _Clock) -> dict[str, float]:
    """Shadows are the darkest quarter that no frame clips; their gain is held against the photon count.

    The longest frame is the base, as in `process`; the single frame is judged where it was taken from.
    """
    base = max(range(len(shots.lights)), key=lambda index: shots.lights[index].exposure)
    merge = [merge for _, merge in merge_shots(shots, 0, clock, base)][-1]
    planes, exposure = merge.result()
    rows, columns = shots.seen_by_all()
    truth, reference = shots.seen_from(base), shots.lights[0]
    light = truth.mean(dim=0)[rows, columns]
    darkest = torch.quantile(light.flatten()[::7], 0.25)
    shadows, errors = light < darkest, []
    for kept, right in ((reference.planes, shots.seen_from(0)), (planes, truth)):
        squares = (kept - right)[:, rows, columns].square()
        errors.append(squares[:, right.mean(dim=0)[rows, columns] < darkest].mean())
    gain, floor = reference.gain.mean(), (reference.sigma**2).mean()
    photons, total = gain * light[shadows].mean(), sum(BRACKETS)
    promised = (photons + floor) / (photons / total + len(BRACKETS) * floor / total**2)
    return {
        "shadow gain dB": 10 * math.log10(float(errors[0] / errors[1])),
        "promised by photons dB": 10 * math.log10(float(promised)),
        "effective_exposures in shadows": float(exposure[rows, columns][shadows].mean()),
        "highlight Delta E": highlight_error(planes, truth, shots),
        "psnr": psnr((planes * shots.plan.ratio).clamp(0, 1), (truth * shots.plan.ratio).clamp(0, 1)),
    }


def _mean(found: Sequence[dict[str, float]]) -> dict[str, float]:
    return {
        name: sum(figures[name] for figures in found if not math.isnan(figures[name]))
        / max(sum(not math.isnan(figures[name]) for figures in found), 1)
        for name in found[0]
    }
