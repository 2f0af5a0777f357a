"""Dark frames with known light: photographs that never trained, seen by published cameras.

A large photograph is reduced to about `FRAME_SIDE` by area averaging in linear light; each camera then sees
one of the four quarters of its centre, in turn, so that the table's content is four times that of one window.
Photographs are taken as they are ("sharp") and enlarged twice before the mosaic ("soft"), which is closer
to what a lens gives.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from rawdiff_calibration.noise import NoiseModel
from torch import Tensor

from rawdiff.simulate.cameras import SimulatedCamera, find
from rawdiff.simulate.capture import capture
from rawdiff.simulate.scene import enlarge_scene, even_crop, load_photograph, mosaic, pack, to_camera_rgb
from rawdiff.train.photographs import Photograph

RATIOS = (100.0, 250.0, 300.0)
REFERENCE = "reference K4 r4"
FRAME_SIDE = 512
SHARPNESSES = ("sharp", "soft")


@dataclass(frozen=True)
class Condition:
    """A camera with its noise. The reference point has K 4 DN/e- and read noise 4 DN, Gaussian."""

    name: str
    camera: SimulatedCamera
    noise: NoiseModel


def conditions(cameras: Sequence[str], iso: float = 1600.0) -> list[Condition]:
    """Each camera at an ISO, or the reference point where there are none.

    The colour bias is what calibration removes, so it is 0 here.
    """
    if not cameras:
        return [Condition(REFERENCE, find("SonyA7S2"), NoiseModel.uniform(4.0, 4.0))]
    found = []
    for name in cameras:
        camera = find(name)
        noise = replace(camera.noise_model(iso), bias_dn=(0.0, 0.0, 0.0, 0.0))
        found.append(Condition(f"{camera.name} ISO {iso:g}", camera, noise))
    return found


@dataclass(frozen=True, eq=False)
class DarkFrame:
    """A frame and its truth.

    Attributes:
        photograph: file name of the scene.
        sharpness: "sharp" or "soft".
        condition: camera and noise.
        ratio: exposure ratio.
        noisy: planes R, Gr, Gb, B `[4, h, w]`, black 0, white 1, negatives kept.
        clean: their truth at the same exposure.
        gain: what one electron adds, `[4]`.
        sigma: standard deviation in the dark, `[4]`.
    """

    photograph: str
    sharpness: str
    condition: Condition
    ratio: float
    noisy: Tensor
    clean: Tensor
    gain: Tensor
    sigma: Tensor

    def title(self) -> str:
        """What is being worked on, in a line."""
        return f"{self.photograph} {self.sharpness} {self.condition.name} x{self.ratio:g}"

    def digest(self) -> str:
        """Name of this frame: a hash of its case, which settles its noise, of the figures and the light.

        Not of its values: processors round a few of them otherwise, by one DN in a hundred thousand pixels.
        """
        figures = [round(float(value), 12) for value in (*self.gain, *self.sigma, self.ratio)]
        seen = (self.title(), tuple(self.noisy.shape), figures, f"{float(self.clean.double().mean()):.3g}")
        return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def expose(truth: Tensor, photograph: str, sharpness: str, condition: Condition, ratio: float) -> DarkFrame:
    """Photograph a mosaic `[H, W]`; the noise's seed is made of the case's name, so no table changes it."""
    camera, noise = condition.camera, condition.noise
    span = camera.white_dn - camera.black_dn
    name = f"{photograph}|{sharpness}|{condition.name}|{ratio:g}"
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    stored = capture(truth, noise, camera.black_dn, camera.white_dn, ratio, generator)
    planes = [0, 1, 1, 2]
    gain = torch.tensor(noise.gain_dn_per_e)[planes] / span
    sigma = torch.tensor(noise.floor_variance_dn2())[planes].sqrt() / span
    noisy = pack((stored - camera.black_dn) / span)
    return DarkFrame(photograph, sharpness, condition, ratio, noisy, pack(truth) / ratio, gain, sigma)


def draw_cases(
    photographs: Sequence[Photograph], where: Sequence[Condition], ratios: Sequence[float], side: int
) -> Iterator[DarkFrame]:
    """Yield every photograph at both sharpnesses, under every condition, at every ratio.

    Args:
        photographs: scenes.
        where: cameras and their noise.
        ratios: exposure ratios.
        side: of the window in mosaic pixels, at most `FRAME_SIDE`.
    """
    for photograph in photographs:
        for sharpness, scene in _scenes(photograph):
            for number, condition in enumerate(where):
                quarter = (zlib.crc32(photograph.name.encode()) + number) % 4
                light = cut_quarter(scene, quarter, side)
                truth = mosaic(to_camera_rgb(light, condition.camera))
                for ratio in ratios:
                    yield expose(truth, photograph.name, sharpness, condition, ratio)


def cut_quarter(scene: Tensor, quarter: int, side: int) -> Tensor:
    """Cut a window out of a corner of the centre of `[3, H, W]`; the windows overlap in a small scene."""
    centre = even_crop(scene, (FRAME_SIDE, FRAME_SIDE))
    height, width = centre.shape[-2:]
    rows, columns = min(side, height) // 2 * 2, min(side, width) // 2 * 2
    top = (height - rows) // 2 * 2 if quarter in (2, 3) else 0
    left = (width - columns) // 2 * 2 if quarter in (1, 3) else 0
    return centre[..., top : top + rows, left : left + columns]


def _scenes(photograph: Photograph) -> Iterator[tuple[str, Tensor]]:
    """Large photographs are reduced until the centre holds a good part of the frame."""
    linear = load_photograph(photograph.path)
    reduce = max(1, round(min(linear.shape[1:]) / (1.6 * FRAME_SIDE)))
    sharp = F.avg_pool2d(linear[None], reduce)[0] if reduce > 1 else linear
    yield SHARPNESSES[0], sharp
    yield SHARPNESSES[1], enlarge_scene(sharp, 2)
