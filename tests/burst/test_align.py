"""Where frames are laid: known shifts, rotations, phases and things that move, under noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rawdiff.burst.align import STRIDE, TILE, Alignment, align_frame, stabilised_grey
from rawdiff.burst.merge import Light
from rawdiff.burst.motion import GlobalMotion
from rawdiff.simulate.motion import Pose

Shoot = Callable[..., Any]
EDGE = 1
"""Tiles at the border see less of the other frame."""


def tile_centres(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    y = (torch.arange(rows) * STRIDE + (TILE - 1) / 2)[:, None].expand(rows, columns)
    x = (torch.arange(columns) * STRIDE + (TILE - 1) / 2).expand(rows, columns)
    return y, x


def true_vectors(pose: Pose, size: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Packed vectors to where a frame of that pose shows what the still frame shows at each tile's centre.

    A cell's centre lies half a raw pixel beyond its first pixel; the pose turns about the raw centre.
    """
    y, x = (2 * at + 0.5 for at in tile_centres(*grid))
    middle_y, middle_x = ((2 * extent - 1) / 2 for extent in size)
    away_y, away_x = y - middle_y - pose.shift_y, x - middle_x - pose.shift_x
    angle = torch.deg2rad(torch.tensor(pose.rotation_deg))
    seen_y = torch.cos(angle) * away_y - torch.sin(angle) * away_x + middle_y
    seen_x = torch.sin(angle) * away_y + torch.cos(angle) * away_x + middle_x
    return torch.stack([(seen_y - y) / 2, (seen_x - x) / 2], dim=-1)


def error_px(alignment: Alignment, pose: Pose, size: tuple[int, int]) -> Tensor:
    """Raw pixels between found and true vectors, inner tiles."""
    grid = (alignment.field.shape[0], alignment.field.shape[1])
    distance = 2 * (alignment.field - true_vectors(pose, size, grid)).norm(dim=-1)
    return distance[EDGE:-EDGE, EDGE:-EDGE]


def crop_pair(scene: Tensor, down: int, right: int, shoot: Shoot, **choices: Any) -> tuple[Light, Light]:
    """Two noisy frames cut out of one scene so many whole pixels apart."""
    height, width = 320, 360
    views = (
        scene[:, 24 : 24 + height, 24 : 24 + width],
        scene[:, 24 + down : 24 + down + height, 24 + right : 24 + right + width],
    )
    first, second = (
        shoot(view.contiguous(), 200.0, seed=n, **choices).lights[0] for n, view in enumerate(views)
    )
    return first, second


def lay(first: Light, second: Light) -> Alignment:
    greys = [stabilised_grey(light.planes, first.gain, first.sigma, 1.0, 0.95) for light in (first, second)]
    return align_frame(greys[0], greys[1])


@pytest.mark.parametrize("phase", ["RGGB", "BGGR", "GRBG", "GBRG"])
@pytest.mark.parametrize(("down", "right"), [(8, -12), (5, -17)], ids=["even", "odd"])
def test_whole_shifts_are_found_in_every_phase(
    scene: Tensor, shoot: Shoot, phase: str, down: int, right: int
) -> None:
    """Content that moved by (d, r) between views is found d and r lower in the second's own pixels."""
    found = lay(*crop_pair(scene, down, right, shoot, phase=phase))
    error = error_px(found, Pose(down, right), (160, 180))
    # A tile of 32 cells at 200 electrons tells its place to a few hundredths of a pixel where it has
    # texture; where it has none it stays with the frame, whose own place is known better still.
    # Twice what `merge` allows for (0.08): the frames here are small.
    assert float(error.mean()) < 0.16
    assert float(error.max()) < 0.5
    assert found.unexplained < 0.1


def test_shake_and_rotation_are_found(scene: Tensor, shoot: Shoot) -> None:
    shots = shoot(scene, 200.0, frames=4, shake_px=12.0, rotation_deg=0.5, seed=3)
    size = (shots.truth.shape[1], shots.truth.shape[2])
    for index in (0, 1, 3):
        found, pose = shots.align(index), shots.frames[index].pose
        # 6e-4 radians move the edge of these frames, 190 raw pixels from the middle, by a tenth of a pixel.
        assert found.motion.rotation == pytest.approx(-torch.pi * pose.rotation_deg / 180, abs=6e-4)
        assert float(error_px(found, pose, size).mean()) < 0.16


def test_a_flat_scene_does_not_wander(shoot: Shoot) -> None:
    """Nothing can be found on flat fields; no tile may leave by more than the frame's own noise allows."""
    shots = shoot(torch.full((3, 256, 256), 0.4), 200.0, frames=2)
    found = shots.align(0)
    spread = (found.field - found.field.mean(dim=(0, 1))).abs()
    assert float(spread.max()) < 0.5
    assert found.unexplained < 0.5


def test_other_scenes_are_told_from_the_same_at_any_light(scene: Tensor, shoot: Shoot) -> None:
    """Also where detail finer than the pixels differs from frame to frame by many times the noise."""
    sharp = scene[:, ::2, ::2].contiguous()
    for white_e in (30.0, 3000.0):
        shots = shoot(sharp, white_e, frames=2, shake_px=7.0, seed=1)
        other = shoot(sharp.flip(1, 2).contiguous(), white_e, frames=2, shake_px=7.0, seed=1)
        dark = Light(torch.zeros_like(shots.lights[0].planes), shots.lights[0].gain, shots.lights[0].sigma)
        assert shots.align(0).unexplained < 0.25
        for stranger in (other.lights[0], dark):
            shots.lights[0] = stranger
            assert shots.align(0).unexplained > 0.6


def test_the_number_of_threads_changes_no_bit(scene: Tensor, shoot: Shoot) -> None:
    shots = shoot(scene, 100.0, frames=2, shake_px=9.0, rotation_deg=0.4, motion="object", seed=2)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(shots.align(0))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert torch.equal(found[0].field, other.field)
        assert (found[0].motion, found[0].residual, found[0].unexplained) == (
            other.motion, other.residual, other.unexplained,
        )  # fmt: skip


def test_motion_turns_about_the_middle() -> None:
    motion = GlobalMotion(1.0, -2.0, 0.01)
    y, x = torch.tensor([49.5, 59.5]), torch.tensor([99.5, 99.5])
    down, right = motion.vectors(y, x, (100, 200))
    assert down.tolist() == pytest.approx([1.0, 1.0]) and right.tolist() == pytest.approx([-2.0, -2.1])
    doubled = motion.scaled(2.0)
    assert (doubled.down, doubled.right, doubled.rotation) == (2.0, -4.0, 0.01)
