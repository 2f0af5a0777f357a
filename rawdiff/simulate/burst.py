"""Bursts with known truth: a photograph, a camera, a dark place; out come DNG files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rawdiff_calibration.noise import NoiseModel

from rawdiff import __version__
from rawdiff.errors import ConfigurationError
from rawdiff.raw.atomic import write_whole
from rawdiff.raw.dng import write_cfa_dng
from rawdiff.raw.frame import Array, Camera, CfaPhase, ColorTags, Exposure, FrameTags, Levels, plane_sites
from rawdiff.simulate.cameras import SimulatedCamera
from rawdiff.simulate.capture import capture
from rawdiff.simulate.motion import (
    MovingObject,
    Pose,
    draw_path,
    draw_poses,
    look,
    put_object,
    reach,
)
from rawdiff.simulate.scene import mosaic, to_camera_rgb

Motion = Literal["none", "object"]

REFERENCE_TIME_S = 4.0
"""Exposure time of the bright reference that `ratio` is counted from; only its quotient has a meaning."""
_FIRST_FRAME = datetime(2026, 1, 1, 22, 0, 0)
_D65 = 21


@dataclass(frozen=True)
class BurstPlan:
    """What to simulate.

    Attributes:
        camera: whose colours, levels and noise.
        iso: sensitivity, which sets the system gain K and with it the noise.
        ratio: exposure ratio, reference exposure over input exposure, at least 1.
        frames: how many.
        phase: CFA phase.
        shake_px: largest shift of a hand-held frame, in pixels down or across.
        rotation_deg: its largest rotation.
        motion: `object` lets a disc cross the scene.
        brackets: exposure of each frame relative to the plan's, cycled through the frames.
        defects: share of pixels that are stuck at a random level.
        seed: of everything that is drawn.
    """

    camera: SimulatedCamera
    iso: float
    ratio: float
    frames: int = 1
    phase: CfaPhase = "RGGB"
    shake_px: float = 0.0
    rotation_deg: float = 0.0
    motion: Motion = "none"
    brackets: tuple[float, ...] = (1.0,)
    defects: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ratio < 1:
            raise ConfigurationError(f"the exposure ratio is at least 1, not {self.ratio:g}")
        if self.frames < 1:
            raise ConfigurationError(f"a burst has at least 1 frame, not {self.frames}")
        if not self.brackets or min(self.brackets) <= 0:
            raise ConfigurationError("every bracket is an exposure above 0")
        if not 0 <= self.defects < 0.5:
            raise ConfigurationError(f"the share of defects is from 0 to 0.5, not {self.defects:g}")

    @property
    def truth_frame(self) -> int:
        """The frame that the truth belongs to: the middle one, which never shakes."""
        return self.frames // 2


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """One frame: `mosaic_dn` `[H, W]` with black level, `clean` in 0..1 at the reference exposure."""

    mosaic_dn: Array
    clean: torch.Tensor
    pose: Pose
    thing: MovingObject | None
    bracket: float


def simulate_frames(linear: torch.Tensor, plan: BurstPlan) -> Iterator[SimulatedFrame]:
    """Yield the frames of a burst of the scene `linear`, `[3, H, W]` linear sRGB in 0..1.

    Frames are cropped so that no shaken frame looks beyond the scene, and to whole Bayer cells.

    Raises:
        ConfigurationError: the photograph is too small for that much shake.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    scene = to_camera_rgb(linear, plan.camera)
    margin = reach(scene.shape[1], scene.shape[2], plan.shake_px, plan.rotation_deg)
    height, width = ((size - 2 * margin) // 2 * 2 for size in scene.shape[1:])
    if min(height, width) < 32:
        raise ConfigurationError(
            f"a photograph of {scene.shape[2]}x{scene.shape[1]} leaves nothing after {margin} pixels of shake"
        )
    scene = scene[:, : height + 2 * margin, : width + 2 * margin]
    poses = draw_poses(plan.frames, plan.truth_frame, plan.shake_px, plan.rotation_deg, generator)
    path = draw_path(height, width, plan.frames, plan.truth_frame, generator)
    stuck = _draw_defects((height, width), plan, generator)
    noise = plan.camera.noise_model(plan.iso)
    for index, pose in enumerate(poses):
        thing = path[index] if plan.motion == "object" else None
        seen = look(scene if thing is None else put_object(scene, thing, margin), pose, margin)
        clean = mosaic(seen.clamp(0, 1), plan.phase)
        bracket = plan.brackets[index % len(plan.brackets)]
        dn = capture(
            clean, noise, plan.camera.black_dn, plan.camera.white_dn, plan.ratio / bracket, generator,
            phase=plan.phase,
        ).numpy()  # fmt: skip
        dn[stuck[0]] = stuck[1]
        yield SimulatedFrame(dn, clean, pose, thing, bracket)


def _draw_defects(
    shape: tuple[int, int], plan: BurstPlan, generator: torch.Generator
) -> tuple[np.ndarray[Any, Any], Array]:
    """Places and values of stuck pixels, the same in every frame."""
    where = (torch.rand(shape, generator=generator) < plan.defects).numpy()
    span = plan.camera.white_dn - plan.camera.black_dn
    values = plan.camera.black_dn + span * torch.rand(int(where.sum()), generator=generator)
    return where, values.round().numpy().astype(np.float32)


def frame_tags(plan: BurstPlan, index: int, noise: NoiseModel) -> FrameTags:
    """Tags that the camera would have written into frame `index`."""
    bracket = plan.brackets[index % len(plan.brackets)]
    span = plan.camera.white_dn - plan.camera.black_dn
    captured = _FIRST_FRAME + timedelta(milliseconds=200 * index)
    neutral = plan.camera.from_srgb().sum(dim=1).numpy()
    return FrameTags(
        camera=Camera(plan.camera.make, plan.camera.model, plan.camera.model),
        exposure=Exposure(
            time_s=REFERENCE_TIME_S / plan.ratio * bracket,
            aperture=2.0,
            iso=plan.iso,
            captured_at=captured.isoformat(timespec="milliseconds"),
        ),
        color=ColorTags(
            color_matrices=(np.asarray(plan.camera.color_matrix, dtype=np.float64),),
            forward_matrices=(None,),
            camera_calibrations=(None,),
            illuminants=(_D65,),
            as_shot_neutral=neutral,
        ),
        noise_profile=noise.to_dng((span, span, span)),
    )


def write_burst(linear: torch.Tensor, folder: Path, plan: BurstPlan, *, overwrite: bool) -> Iterator[Path]:
    """Write `frame_000.dng`, ..., `truth.npz` and `simulation.json`, yielding each path when it stands whole.

    `truth.npz` holds `packed`, float32 `[4, H/2, W/2]`, the clean mosaic in 0..1 at the reference exposure,
    and `rgb`, `[3, H, W]`, the linear camera RGB it was taken from; both of the truth frame.
    """
    folder.mkdir(parents=True, exist_ok=True)
    noise = plan.camera.noise_model(plan.iso)
    levels = Levels(
        np.full((2, 2), float(plan.camera.black_dn)), np.full((2, 2), float(plan.camera.white_dn))
    )
    told: list[dict[str, Any]] = []
    truth: SimulatedFrame | None = None
    for index, frame in enumerate(simulate_frames(linear, plan)):
        path = folder / f"frame_{index:03d}.dng"
        tags = frame_tags(plan, index, noise)
        write_cfa_dng(
            path,
            frame.mosaic_dn,
            levels=levels,
            phase=plan.phase,
            tags=tags,
            noise=noise,
            overwrite=overwrite,
        )
        told.append(_tell_frame(path, frame))
        truth = frame if index == plan.truth_frame else truth
        yield path
    assert truth is not None
    yield _write_truth(linear, folder / "truth.npz", plan, truth, overwrite)
    path = folder / "simulation.json"
    with write_whole(path, overwrite=overwrite) as partial:
        partial.write_text(json.dumps(_tell_burst(plan, noise, told), indent=1) + "\n")
    yield path


def _tell_frame(path: Path, frame: SimulatedFrame) -> dict[str, Any]:
    thing = None if frame.thing is None else asdict(frame.thing)
    return {"file": path.name, "pose": asdict(frame.pose), "object": thing, "bracket": frame.bracket}


def _tell_burst(plan: BurstPlan, noise: NoiseModel, frames: list[dict[str, Any]]) -> dict[str, Any]:
    choices = {key: value for key, value in asdict(plan).items() if key != "camera"}
    return {
        "rawdiff": __version__,
        "camera": plan.camera.name,
        **choices,
        "truth_frame": plan.truth_frame,
        "black_dn": plan.camera.black_dn,
        "white_dn": plan.camera.white_dn,
        "noise": asdict(noise),
        "frames": frames,
    }


def _write_truth(
    linear: torch.Tensor, path: Path, plan: BurstPlan, truth: SimulatedFrame, overwrite: bool
) -> Path:
    packed = torch.stack([truth.clean[row::2, column::2] for row, column in plane_sites(plan.phase)])
    scene = to_camera_rgb(linear, plan.camera)
    margin = reach(scene.shape[1], scene.shape[2], plan.shake_px, plan.rotation_deg)
    height, width = truth.clean.shape
    scene = scene[:, : height + 2 * margin, : width + 2 * margin]
    seen = scene if truth.thing is None else put_object(scene, truth.thing, margin)
    rgb = look(seen, truth.pose, margin).clamp(0, 1)
    with write_whole(path, overwrite=overwrite) as partial, partial.open("wb") as file:
        np.savez_compressed(file, packed=packed.numpy(), rgb=rgb.numpy())
    return path
