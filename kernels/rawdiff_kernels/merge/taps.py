"""How a mosaic is read between its samples: the best linear unbiased estimate of each colour at each place.

A plane of a mosaic alone cannot hold fine detail: it aliases, differently in every frame. But colours rise
and fall together, so the samples of all colours around a place tell what one does there. The light is taken
as a random field whose increments grow with distance h,

    1/2 E[(x_c(p) / m_c - x_d(p + h) / m_d)^2] = |h|^SMOOTHNESS (1 + [c = d] COLOR),    m_c mean light,

and a colour's weights are those of least expected error that keep every uniform colour exactly: their own
colour's sum to 1, every other's to 0 (kriging: G. Matheron, "Principles of geostatistics", Economic Geology
58, 1963; N. Cressie, "Statistics for Spatial Data", 1993). The noise takes no part in the choice: smoothing
is the denoiser's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

STEPS = 16
"""Places per raw pixel along each axis for which weights are kept: what lies between goes to the nearest."""
PERIOD = 2 * STEPS
COLORS = (0, 1, 1, 2)
"""Of the planes R, Gr, Gb, B."""
SAMPLES = 2
SMOOTHNESS = 1.8
"""Exponent of the variogram: 2 would be a surface with slopes, 1 a random walk."""
COLOR = 0.3
"""Part of the increments that each colour has for itself, over the part that all share."""
_CFA = torch.tensor([[0, 1], [1, 2]])
_NOTHING = 1e-9


class Taps(NamedTuple):
    """Weights by colour and place, and what they leave of the noise.

    Attributes:
        weights: [3, PERIOD, PERIOD, 4, s, s] float32: of R, G, B at (row, column) / STEPS raw pixels from a
            red sample, the s x s nearest samples of the planes R, Gr, Gb, B around it.
        shares: [3, PERIOD, PERIOD] float32: the sum of squared weights, each times its own plane's noise
            variance over that of the colour that is sought.
    """

    weights: Tensor
    shares: Tensor


def mosaic_taps(light: Sequence[float], noise: Sequence[float], samples: int = SAMPLES) -> Taps:
    """Weights for scenes of a mean light, and the share of the noise variance that they leave.

    Args:
        light: mean of R, G, B, above 0; only its ratios matter.
        noise: its variance in R, G, B at that light, above 0; only ratios matter, and to the shares alone.
        samples: along each axis and of each plane, at least 1.
    """
    side = 2 * samples
    weights = torch.zeros(3, PERIOD, PERIOD, side * side, dtype=torch.float64)
    shares = torch.zeros(3, PERIOD, PERIOD, dtype=torch.float64)
    variance = torch.tensor(noise, dtype=torch.float64)
    reach = torch.arange(side) - samples + 1
    y, x = (part.ravel() for part in torch.meshgrid(reach, reach, indexing="ij"))
    steps = torch.arange(STEPS, dtype=torch.float64) / STEPS
    at = torch.stack([part.ravel() for part in torch.meshgrid(steps, steps, indexing="ij")], dim=-1)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        color = _CFA[(y + row) % 2, (x + column) % 2]
        found = _solve(torch.stack((y, x), dim=-1).double(), color, at, torch.tensor(light).double())
        found = torch.where(found.abs() < _NOTHING, 0.0, found)
        place = (slice(row * STEPS, (row + 1) * STEPS), slice(column * STEPS, (column + 1) * STEPS))
        left = (found**2 * variance[color]).sum(dim=-1) / variance[:, None]
        shares[:, place[0], place[1]] = left.view(3, STEPS, STEPS)
        # By plane, then row, then column: the samples of a plane lie two pixels apart.
        plane = 2 * ((y + row) % 2) + (x + column) % 2
        order = torch.argsort(plane, stable=True)
        weights[:, place[0], place[1]] = found[..., order].view(3, STEPS, STEPS, -1)
    shape = (3, PERIOD, PERIOD, 4, samples, samples)
    return Taps(weights.float().view(shape), shares.float())


def _solve(samples: Tensor, color: Tensor, at: Tensor, light: Tensor) -> Tensor:
    """Weights [3, n, k] of k samples, [k, 2] and their colours, for three colours at n places [n, 2]."""
    count = len(samples)
    own = torch.cdist(samples, samples) ** SMOOTHNESS
    same = (color[:, None] == color).double()
    system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
    system[:count, :count] = light[color, None] * light[color] * own * (1 + COLOR * same)
    system[:count, count:] = one_hot(color, 3).double()
    system[count:, :count] = system[:count, count:].T
    distance = torch.cdist(samples, at) ** SMOOTHNESS
    sides = []
    for sought in range(3):
        together = (1 + COLOR * (color == sought).double())[:, None]
        unbiased = torch.zeros(3, len(at), dtype=torch.float64)
        unbiased[sought] = 1.0
        sides.append(torch.cat((light[color, None] * light[sought] * distance * together, unbiased)))
    weights: Tensor = torch.linalg.solve(system, torch.cat(sides, dim=1))[:count]
    return weights.view(count, 3, len(at)).permute(1, 2, 0)
