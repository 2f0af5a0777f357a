"""Bursts in memory with everything known about them: the light, the truth, where things moved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from rawdiff_calibration.noise import NoiseModel
from torch import Tensor
from torch.nn.functional import avg_pool2d

from rawdiff.burst.align import CLIP
from rawdiff.burst.merge import Light
from rawdiff.report.metrics import psnr
from rawdiff.simulate.burst import BurstPlan, SimulatedFrame, simulate_frames
from rawdiff.simulate.cameras import SimulatedCamera, find
from rawdiff.simulate.capture import capture
from rawdiff.simulate.motion import MovingObject
from rawdiff.simulate.scene import pack

Window = tuple[slice, slice]

_MARGIN = 2
_BLOCK = 8
_TO_XYZ = torch.tensor(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    dtype=torch.float64,
)


@dataclass(frozen=True, eq=False)
class Shots:
    """Frames as light in units of white, the camera's constant offsets taken away as calibration does."""

    plan: BurstPlan
    noise: NoiseModel
    frames: list[SimulatedFrame]
    lights: list[Light]

    @property
    def still(self) -> int:
        """Index of the frame that does not shake."""
        return self.plan.truth_frame

    def seen_from(self, index: int) -> Tensor:
        """Clean packed planes of a frame at relative exposure 1, `[4, h, w]`."""
        return pack(self.frames[index].clean, self.plan.phase) / self.plan.ratio

    def seen_by_all(self) -> Window:
        """Rows and columns that no frame's shake leaves unseen."""
        height, width = self.lights[0].planes.shape[1:]
        turned = math.radians(self.plan.rotation_deg) * max(height, width) / 2
        margin = math.ceil(self.plan.shake_px / 2 + turned) + _MARGIN
        return slice(margin, height - margin), slice(margin, width - margin)

    def psnr_db(self, planes: Tensor, inside: Window) -> float:
        """PSNR against the still frame's truth at the reference exposure, clipped to [0, 1]."""
        seen, clean = (
            (p * self.plan.ratio).clamp(0, 1)[:, inside[0], inside[1]]
            for p in (planes, self.seen_from(self.still))
        )
        return psnr(seen, clean)

    def ideal(self, count: int) -> Tensor:
        """Mean of `count` frames of the still view with noise of their own."""
        generator = torch.Generator().manual_seed(self.plan.seed + 7919)
        total, body = torch.zeros_like(self.lights[0].planes), self.plan.camera
        for _ in range(count):
            shot = capture(
                self.frames[self.still].clean, self.noise, body.black_dn, body.white_dn,
                self.plan.ratio, generator, phase=self.plan.phase,
            )  # fmt: skip
            total += _to_light(shot, self.plan, self.noise)
        return total / count

    def _thing(self) -> MovingObject:
        thing = self.frames[self.still].thing
        if thing is None:
            raise ValueError("nothing moves in this burst")
        return thing

    def object_box(self) -> Window:
        """The square around the object in the still frame."""
        thing = self._thing()
        radius = int(thing.radius / 2) + 1
        top, left = int(thing.center_y / 2) - radius, int(thing.center_x / 2) - radius
        return slice(top, top + 2 * radius), slice(left, left + 2 * radius)

    def ghost(self, planes: Tensor, plain: Shots) -> float:
        """Correlation of the merge's error with what the object changes where it stands in other frames.

        Taken over all other positions at once, away from where the object stands in the still frame; not
        centred, since a ghost has the sign of the change. `plain` are the same frames without the object.
        """
        thing = self._thing()
        error = (planes - self.seen_from(self.still)).mean(dim=0)
        y, x = (torch.arange(extent) * 2 + 0.5 for extent in error.shape)
        away = (y[:, None] - thing.center_y) ** 2 + (x - thing.center_x) ** 2 > (thing.radius + 4) ** 2
        pairs = []
        for index in range(len(self.frames)):
            if index != self.still:
                change = (self.seen_from(index) - plain.seen_from(index)).mean(dim=0) * self.plan.ratio
                where = away & (change.abs() > 0.01)
                pairs.append(torch.stack([error[where], change[where]]))
        both = torch.cat(pairs, dim=1).double()
        size = float((both[0].square().sum() * both[1].square().sum()).sqrt())
        return float((both[0] * both[1]).sum()) / size if size > 0 else math.nan


def shoot(scene: Tensor, white_e: float, camera: str, iso: float, **choices: Any) -> Shots:
    """Simulate a burst of `[3, H, W]` linear sRGB with `white_e` green electrons at white.

    Args:
        scene: in 0..1.
        white_e: electrons of a frame of relative exposure 1 where the scene is 1.
        camera: name of a published one.
        iso: its sensitivity.
        choices: of `BurstPlan`.
    """
    body: SimulatedCamera = find(camera)
    noise = body.noise_model(iso)
    span = body.white_dn - body.black_dn
    plan = BurstPlan(body, iso, max(span / noise.gain_dn_per_e[1] / white_e, 1.0), **choices)
    frames = list(simulate_frames(scene, plan))
    planes = [0, 1, 1, 2]
    gain = torch.tensor(noise.gain_dn_per_e)[planes] / span
    sigma = torch.tensor(noise.floor_variance_dn2())[planes].sqrt() / span
    lights = [
        Light(
            _to_light(torch.from_numpy(frame.mosaic_dn), plan, noise), gain, sigma, frame.bracket, plan.phase
        )
        for frame in frames
    ]
    return Shots(plan, noise, frames, lights)


def _to_light(mosaic_dn: Tensor, plan: BurstPlan, noise: NoiseModel) -> Tensor:
    offsets = torch.tensor(noise.bias_dn).view(4, 1, 1)
    planes = pack(mosaic_dn - plan.camera.black_dn, plan.phase) - offsets
    return planes / (plan.camera.white_dn - plan.camera.black_dn)


def highlight_error(planes: Tensor, truth: Tensor, shots: Shots) -> float:
    """Mean CIE 1976 colour difference of blocks that a longer frame clips and the shortest does not.

    NaN where the scene has no such block.
    """
    longest = max(light.exposure for light in shots.lights)
    small, clean = (avg_pool2d(p, _BLOCK) for p in (planes, truth))
    bright = avg_pool2d(truth.amax(dim=0, keepdim=True), _BLOCK)[0]
    inside = torch.zeros(truth.shape[1:])
    inside[shots.seen_by_all()] = 1.0
    where = (bright * longest > CLIP) & (bright < CLIP) & (avg_pool2d(inside[None], _BLOCK)[0] == 1)
    if not bool(where.any()):
        return math.nan
    labs = [_to_lab(p[:, where] * shots.plan.ratio, shots.plan.camera) for p in (small, clean)]
    return float((labs[0] - labs[1]).norm(dim=0).mean())


def _to_lab(packed: Tensor, camera: SimulatedCamera) -> Tensor:
    """Packed camera values `[4, n]` as CIE Lab under D65, `[3, n]`."""
    rgb = torch.stack([packed[0], (packed[1] + packed[2]) / 2, packed[3]]).double()
    xyz = _TO_XYZ @ torch.linalg.inv(camera.from_srgb()) @ rgb
    share = xyz / (_TO_XYZ @ torch.ones(3, 1, dtype=torch.float64))
    bent = torch.where(
        share > (6 / 29) ** 3, share.clamp(min=0) ** (1 / 3), share * (29 / 6) ** 2 / 3 + 4 / 29
    )
    return torch.stack([116 * bent[1] - 16, 500 * (bent[0] - bent[1]), 200 * (bent[1] - bent[2])])
