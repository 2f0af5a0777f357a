"""How a whole frame moved: a shift and a small rotation, found on stabilised grey from coarse to fine.

In the variance-stabilised domain the noise of every pixel is 1, so the sum of squared differences is a
chi-square statistic, and Gauss-Newton on it is maximum likelihood (Lucas & Kanade 1981; Baker & Matthews
2004). Vectors follow one convention: reference[p] shows what alternate[p + v] shows; (down, right), in
packed pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

_STEPS = 12
_STILL = 0.005
_ROBUST = 3.0
_SLOPE_OF_NOISE = 1 / 27
"""Variance of a slope of `gradients` where pixels are independent and of variance 1: 12 / 81 / 4."""
_SIGNIFICANT = 6.0


@dataclass(frozen=True)
class GlobalMotion:
    """v(p) = shift + rotation x (p - centre), the rotation in radians (small angles)."""

    down: float = 0.0
    right: float = 0.0
    rotation: float = 0.0

    def scaled(self, factor: float) -> GlobalMotion:
        """The same motion on a grid `factor` times finer."""
        return GlobalMotion(self.down * factor, self.right * factor, self.rotation)

    def vectors(self, y: Tensor, x: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Displacement (down, right) at the points (y, x) of a frame of that size."""
        from_middle_y, from_middle_x = y - (size[0] - 1) / 2, x - (size[1] - 1) / 2
        return self.down + self.rotation * from_middle_x, self.right - self.rotation * from_middle_y


def pixel_grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, each `[H, W]` float32."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return y.float(), x.float()


def look_up(image: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Values of `image` `[H, W]` at (y, x) by bilinear interpolation, and where they lie inside it."""
    height, width = image.shape
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    value = grid_sample(
        image[None, None], grid[None], mode="bilinear", padding_mode="border", align_corners=True
    )
    inside = (y >= 0) & (y <= height - 1) & (x >= 0) & (x <= width - 1)
    return value[0, 0], inside


def correlate_phase(reference: Tensor, alternate: Tensor) -> GlobalMotion:
    """Whole-pixel shift by phase correlation of two windowed images of one size (Kuglin & Hines 1975)."""
    height, width = reference.shape
    window = torch.hann_window(height, periodic=False)[:, None] * torch.hann_window(width, periodic=False)
    pair = (reference, alternate)
    spectra = [torch.fft.rfft2((image - fixed_sum(image) / image.numel()) * window) for image in pair]
    cross = spectra[1] * spectra[0].conj()
    # The root keeps strong frequencies somewhat above those that hold noise alone.
    peak = int(torch.fft.irfft2(cross / (cross.abs().sqrt() + 1e-9), s=(height, width)).argmax())
    down, right = peak // width, peak % width
    return GlobalMotion(
        float(down - height if down > height // 2 else down),
        float(right - width if right > width // 2 else right),
    )


def tells_motion(image: Tensor, noise: float) -> bool:
    """Whether an image has slopes beyond those of its noise: without any, matching follows the noise.

    Squares of slopes have a variance of 2; each is correlated with about nine neighbours.
    """
    slopes = torch.stack(gradients(image))[:, 1:-1, 1:-1]
    if slopes.numel() == 0:
        return False
    count = slopes.numel()
    excess = fixed_sum((slopes**2).flatten(0, 1)) / (count * noise**2 * _SLOPE_OF_NOISE) - 1
    return excess > _SIGNIFICANT * math.sqrt(18 / count)


def refine_global(reference: Tensor, alternate: Tensor, motion: GlobalMotion, noise: float) -> GlobalMotion:
    """Gauss-Newton on shift and rotation; differences beyond three deviations count less and less.

    Args:
        reference: stabilised grey `[H, W]`.
        alternate: the same of the frame to be aligned.
        motion: where to start.
        noise: standard deviation of a difference of the two.
    """
    height, width = reference.shape
    y, x = pixel_grid(height, width)
    slope_y, slope_x = gradients(reference)
    from_middle_y, from_middle_x = y - (height - 1) / 2, x - (width - 1) / 2
    turn = slope_y * from_middle_x - slope_x * from_middle_y
    columns = (slope_y, slope_x, turn)
    normal = torch.zeros(3, 3, dtype=torch.float64)
    for _ in range(_STEPS):
        down, right = motion.vectors(y, x, (height, width))
        seen, inside = look_up(alternate, y + down, x + right)
        error = reference - seen
        weight = inside / (1 + (error / (_ROBUST * noise)) ** 2)
        weighted = [weight * column for column in columns]
        for i in range(3):
            for j in range(i + 1):
                normal[i, j] = normal[j, i] = fixed_sum(weighted[i] * columns[j])
        side = torch.tensor([fixed_sum(column * error) for column in weighted], dtype=torch.float64)
        if not float(torch.linalg.det(normal)) > 0:
            return motion
        step = torch.linalg.solve(normal, side).tolist()
        motion = GlobalMotion(motion.down + step[0], motion.right + step[1], motion.rotation + step[2])
        if max(abs(step[0]), abs(step[1]), abs(step[2]) * max(height, width) / 2) < _STILL:
            break
    return motion


def fixed_sum(image: Tensor) -> float:
    """Sum of `[H, W]` in float64, row by row: the same bits with any number of threads."""
    return float(image.sum(dim=1, dtype=torch.float64).sum())


def gradients(image: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences of a lightly smoothed image, down and right, 0 at the border."""
    smooth = avg_pool2d(image[None, None], 3, stride=1, padding=1, count_include_pad=False)[0, 0]
    down, right = torch.zeros_like(image), torch.zeros_like(image)
    down[1:-1] = (smooth[2:] - smooth[:-2]) / 2
    right[:, 1:-1] = (smooth[:, 2:] - smooth[:, :-2]) / 2
    return down, right


def reduce_by(image: Tensor, factor: int) -> Tensor:
    """Means over `factor` x `factor` blocks; pixels that fill no block are dropped."""
    return image if factor == 1 else avg_pool2d(image[None, None], factor)[0, 0]
