"""Small bursts with known truth: a scene drawn from overlapping leaves, softened as a lens does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from rawdiff.burst.align import CLIP, Alignment, align_frame, stabilised_grey
from rawdiff.burst.merge import Light, Merge
from rawdiff.raw.frame import CfaPhase
from rawdiff.simulate.burst import BurstPlan, SimulatedFrame, simulate_frames
from rawdiff.simulate.cameras import SimulatedCamera, find
from rawdiff.simulate.capture import capture
from rawdiff.simulate.dead_leaves import draw_scene
from rawdiff.simulate.scene import enlarge_scene, pack

CAMERA = find("SonyA7S2")
ISO = 3200.0
SPAN = CAMERA.white_dn - CAMERA.black_dn


@dataclass
class Shots:
    """The frames of a simulated burst as light, white 1, without the camera's constant offsets."""

    plan: BurstPlan
    frames: list[SimulatedFrame]
    lights: list[Light]

    @property
    def still(self) -> int:
        """Index of the frame that the truth belongs to."""
        return self.plan.truth_frame

    @property
    def truth(self) -> Tensor:
        """Clean packed planes of that frame at the exposure of the frames."""
        return pack(self.frames[self.still].clean, self.plan.phase) / self.plan.ratio

    def grey(self, index: int) -> object:
        """Stabilised grey of a frame."""
        light, brightest = self.lights[index], max(one.exposure for one in self.lights)
        return stabilised_grey(
            light.planes / light.exposure, light.gain, light.sigma, light.exposure, CLIP / brightest
        )

    def align(self, index: int) -> Alignment:
        """Lay a frame on the still one."""
        return align_frame(self.grey(self.still), self.grey(index))  # type: ignore[arg-type]

    def merge(self, fields: dict[int, Tensor] | None = None) -> Merge:
        """Merge all frames upon the still one, by its own alignment where no fields are given."""
        merge = Merge(self.lights[self.still])
        others = (i for i in range(len(self.lights)) if i != self.still)
        for index in sorted(others, key=lambda i: abs(i - self.still)):
            field = self.align(index).field if fields is None else fields[index]
            merge.add(self.lights[index], field)
        return merge

    def ideal(self, seed: int = 99) -> Tensor:
        """Mean of as many frames that did not move."""
        generator = torch.Generator().manual_seed(seed)
        plan = replace(self.plan, shake_px=0.0)
        clean = self.frames[self.still].clean
        noise = CAMERA.noise_model(ISO)
        shots = [
            capture(clean, noise, CAMERA.black_dn, CAMERA.white_dn, plan.ratio, generator, phase=plan.phase)
            for _ in self.frames
        ]
        return torch.stack([to_light(shot, plan.phase) for shot in shots]).mean(dim=0)


def to_light(mosaic_dn: Tensor, phase: CfaPhase) -> Tensor:
    """Packed planes, black 0, white 1, the profile's constant offsets taken away."""
    bias = torch.tensor(CAMERA.noise_model(ISO).bias_dn).view(4, 1, 1)
    return (pack(mosaic_dn - CAMERA.black_dn, phase) - bias) / SPAN


def shoot(scene: Tensor, white_e: float, **choices: object) -> Shots:
    """Simulate a burst with `white_e` electrons at white."""
    noise = CAMERA.noise_model(ISO)
    ratio = SPAN / noise.gain_dn_per_e[0] / white_e
    plan = BurstPlan(CAMERA, ISO, ratio, **choices)  # type: ignore[arg-type]
    frames = list(simulate_frames(scene, plan))
    gain = torch.full((4,), noise.gain_dn_per_e[0] / SPAN)
    sigma = torch.full((4,), noise.floor_variance_dn2()[0] ** 0.5 / SPAN)
    lights = [
        Light(to_light(torch.from_numpy(f.mosaic_dn), plan.phase), gain, sigma, f.bracket, plan.phase)
        for f in frames
    ]
    return Shots(plan, frames, lights)


def decibels(estimate: Tensor, shots: Shots, inside: Sequence[slice] = (slice(None), slice(None))) -> float:
    """PSNR of packed planes, amplified to the reference exposure and clipped to 0..1."""
    seen, clean = ((planes * shots.plan.ratio).clamp(0, 1) for planes in (estimate, shots.truth))
    return float(-10 * torch.log10(((seen - clean)[:, inside[0], inside[1]] ** 2).mean()))


@pytest.fixture(scope="session")
def camera() -> SimulatedCamera:
    """The camera of every burst here."""
    return CAMERA


@pytest.fixture(scope="session", name="shoot")
def shoot_fixture() -> Callable[..., Shots]:
    """`shoot(scene, white_e, **choices of BurstPlan)`."""
    return shoot


@pytest.fixture(scope="session", name="decibels")
def decibels_fixture() -> Callable[..., float]:
    """`decibels(planes, shots, (rows, columns))`."""
    return decibels


@pytest.fixture(scope="session")
def scene() -> Tensor:
    """`[3, 402, 441]`: leaves, enlarged so that the planes of a mosaic can hold their edges."""
    leaves = draw_scene(134, 147, torch.Generator().manual_seed(5), 300)
    return enlarge_scene(leaves, 3)
