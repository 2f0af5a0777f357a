"""How a hand and a scene move between the frames of a burst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import map_coordinates


@dataclass(frozen=True)
class Pose:
    """Where a frame looked: the scene point seen at frame point p is `R(rotation) (p - c) + c + shift`.

    Shifts in pixels (down, right), rotation in degrees, c the centre of the frame.
    """

    shift_y: float = 0.0
    shift_x: float = 0.0
    rotation_deg: float = 0.0


@dataclass(frozen=True)
class MovingObject:
    """A disc that crosses the scene: centre and radius in pixels of the truth frame."""

    center_y: float
    center_x: float
    radius: float


def draw_poses(
    frames: int, still: int, shake_px: float, rotation_deg: float, generator: torch.Generator
) -> list[Pose]:
    """Draw uniform shifts up to `shake_px` and rotations up to `rotation_deg`; frame `still` has none."""
    draws = (2 * torch.rand((frames, 3), generator=generator, dtype=torch.float64) - 1).tolist()
    poses = [Pose(dy * shake_px, dx * shake_px, turn * rotation_deg) for dy, dx, turn in draws]
    poses[still] = Pose()
    return poses


def reach(height: int, width: int, shake_px: float, rotation_deg: float) -> int:
    """Pixels around a frame that its shaken companions may look at, the spline's support included."""
    half_diagonal = 0.5 * float(height**2 + width**2) ** 0.5
    return (
        int(shake_px + half_diagonal * abs(rotation_deg) * torch.pi / 180 + 4)
        if shake_px or rotation_deg
        else 0
    )


def look(scene: torch.Tensor, pose: Pose, margin: int) -> torch.Tensor:
    """Return the frame `[3, H, W]` that `pose` sees of a scene with `margin` more pixels on every side.

    Cubic B-spline interpolation, which moves a ramp by exactly the shift; the identity pose is a crop.
    """
    height, width = scene.shape[1] - 2 * margin, scene.shape[2] - 2 * margin
    if pose == Pose():
        return scene[:, margin : margin + height, margin : margin + width].clone()
    angle = np.deg2rad(pose.rotation_deg)
    y = np.arange(height)[:, None] - (height - 1) / 2
    x = np.arange(width)[None, :] - (width - 1) / 2
    seen_y = np.cos(angle) * y + np.sin(angle) * x + (scene.shape[1] - 1) / 2 + pose.shift_y
    seen_x = -np.sin(angle) * y + np.cos(angle) * x + (scene.shape[2] - 1) / 2 + pose.shift_x
    planes = [map_coordinates(plane, (seen_y, seen_x), order=3, mode="mirror") for plane in scene.numpy()]
    return torch.from_numpy(np.stack(planes)).to(scene.dtype).clamp_(min=0.0)


def draw_path(
    height: int, width: int, frames: int, still: int, generator: torch.Generator
) -> list[MovingObject]:
    """Draw the straight path of a disc, a sixth of the frame wide, half its width a frame."""
    radius = min(height, width) / 12
    angle = float(torch.rand((), generator=generator, dtype=torch.float64)) * 2 * np.pi
    step_y, step_x = np.sin(angle) * radius, np.cos(angle) * radius
    offsets = [index - still for index in range(frames)]
    return [MovingObject(height / 2 + step_y * o, width / 2 + step_x * o, radius) for o in offsets]


def put_object(scene: torch.Tensor, thing: MovingObject, margin: int) -> torch.Tensor:
    """Return the scene with the disc in it: the scene's own texture turned round and half as bright again."""
    height, width = scene.shape[1:]
    y = torch.arange(height).view(-1, 1) - (thing.center_y + margin)
    x = torch.arange(width).view(1, -1) - (thing.center_x + margin)
    cover = (thing.radius - (y**2 + x**2).sqrt() + 0.5).clamp(0, 1)
    texture = torch.roll(scene.flip(1, 2), (int(thing.center_y) // 2, int(thing.center_x) // 2), (1, 2))
    return scene * (1 - cover) + (1.5 * texture + 0.02).clamp(max=1.0) * cover
