"""How sure a denoiser is of each pixel: the standard deviation of its error, learned from its errors.

The error of a denoised pixel depends on what was there to see. The model looks at the denoised picture and
at what was taken out of it, in units of the photograph's own noise, and answers with the standard deviation
that errors had on training photographs where it looked like this: log variance is a quadratic form of five
features. Errors have heavier tails than a normal law, so the widths of intervals are learned with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from rawdiff.errors import ConfigurationError, DamagedFileError
from rawdiff.networks.condition import blur
from rawdiff.physics.encoding import VarianceStabilised

REACH = 32
"""Packed pixels around a pixel that the features see: six cells of the texture and its own, rounded up."""

COVERAGES = (0.68, 0.90, 0.95)
FEATURES = ("detail", "texture", "removed", "level", "read noise")
_CELL = 4
_EPSILON = 1e-3


def measurement_variance(clean: Tensor, gain: Tensor, sigma: Tensor, exposure: float | Tensor) -> Tensor:
    """Variance of the photograph's noise where the light is `clean`, in electrons^2.

    Args:
        clean: `[4, h, w]` estimate of the light, white 1.
        gain: what one electron adds, `[4]`.
        sigma: standard deviation in the dark, `[4]`.
        exposure: effective exposures, a number or `[h, w]`.
    """
    read = (sigma / gain).view(4, 1, 1) ** 2
    return ((clean / gain.view(4, 1, 1)).clamp(min=0) + read + 0.375) / exposure


def look(planes: Tensor, clean: Tensor, gain: Tensor, sigma: Tensor, exposure: float | Tensor) -> Tensor:
    """The five `FEATURES` of every pixel, `[5, 4, h, w]`.

    Logarithms of: the local power of fine detail in the estimate and of its coarser texture, the local power
    of what was removed (1 where it was the noise alone), the light and the read noise in electrons; powers
    in units of the noise's variance, in the stabilised domain.

    Args:
        planes: `[4, h, w]` noisy, black 0, white 1; edges on multiples of 4 packed pixels of the frame.
        clean: the estimate.
        gain: `[4]`.
        sigma: `[4]`.
        exposure: a number or `[h, w]`.
    """
    frames = torch.as_tensor(exposure, dtype=planes.dtype)
    encoding = VarianceStabilised(gain.view(4, 1, 1), sigma.view(4, 1, 1))
    state, seen = encoding.encode(planes, frames), encoding.encode(clean, frames)
    detail = blur((seen - blur(seen)).square() * frames)
    removed = blur((state - seen).square() * frames)
    read = (sigma / gain).view(4, 1, 1).expand_as(planes)
    level = (clean / gain.view(4, 1, 1)).clamp(min=0) * frames
    powers = [torch.log(power + _EPSILON) for power in (detail, _texture(seen) * frames, removed)]
    return torch.stack([*powers, torch.log1p(level), torch.log1p(read)])


def _texture(seen: Tensor) -> Tensor:
    """Local power of what varies over cells of `_CELL` pixels, spread over the pixels again."""
    height, width = seen.shape[-2:]
    padded = F.pad(seen, (0, -width % _CELL, 0, -height % _CELL), mode="replicate")
    cells = F.avg_pool2d(padded, _CELL)
    power = blur((cells - blur(cells)).square())
    return power.repeat_interleave(_CELL, -2).repeat_interleave(_CELL, -1)[..., :height, :width]


def quadratic(features: Tensor) -> Tensor:
    """1, the features, and their products: `[k, ...]` to `[(k + 1)(k + 2) / 2, ...]`."""
    one = torch.ones_like(features[:1])
    with_one = torch.cat([one, features])
    terms = [with_one[i] * with_one[j] for i in range(len(with_one)) for j in range(i, len(with_one))]
    return torch.stack(terms)


@dataclass(frozen=True)
class SpreadModel:
    """What `rawdiff.train.spread` has learned of one network's errors.

    Attributes:
        recipe: whose errors.
        weights: SHA-256 of the network they were made with.
        center: mean of each feature in training.
        scale: its standard deviation.
        range: smallest and largest value of each in training, standardised; beyond it is taken as at it.
        form: coefficients of `quadratic` for the log variance in units of the measurement's.
        knots: log variances at which the widths are given.
        widths: for each of `COVERAGES` the half width of the interval at each knot, in standard deviations.
    """

    recipe: str
    weights: str
    center: list[float]
    scale: list[float]
    range: list[tuple[float, float]]
    form: list[float]
    knots: list[float]
    widths: list[list[float]]

    def log_variance(self, features: Tensor) -> Tensor:
        """Logarithm of the variance of the error over that of the photograph's noise, `[...]`."""
        shape = (-1, *(1,) * (features.ndim - 1))
        standard = (features - torch.tensor(self.center).view(shape)) / torch.tensor(self.scale).view(shape)
        low, high = torch.tensor(self.range).unbind(1)
        standard = torch.maximum(torch.minimum(standard, high.view(shape)), low.view(shape))
        return torch.einsum("k,k...->...", torch.tensor(self.form), quadratic(standard))

    def deviation_e(
        self, planes: Tensor, clean: Tensor, gain: Tensor, sigma: Tensor, exposure: float | Tensor
    ) -> Tensor:
        """Standard deviation of the error of `clean`, in electrons of one input frame, `[4, h, w]`."""
        log_variance = self.log_variance(look(planes, clean, gain, sigma, exposure))
        return torch.sqrt(measurement_variance(clean, gain, sigma, exposure)) * torch.exp(0.5 * log_variance)

    def width(self, coverage: float, log_variance: Tensor) -> Tensor:
        """Half width, in standard deviations, of the interval that covers so much of the truth.

        Raises:
            ValueError: a coverage that is not one of `COVERAGES`.
        """
        if coverage not in COVERAGES:
            raise ValueError(f"widths are known for {COVERAGES}, not {coverage}")
        widths, knots = torch.tensor(self.widths[COVERAGES.index(coverage)]), torch.tensor(self.knots)
        above = torch.searchsorted(knots, log_variance.contiguous()).clamp(1, len(knots) - 1)
        left, right = knots[above - 1], knots[above]
        share = ((log_variance - left) / (right - left)).clamp(0, 1)
        return widths[above - 1] + share * (widths[above] - widths[above - 1])

    def save(self, path: Path) -> None:
        """Write the model as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def load_spread(path: Path) -> SpreadModel:
    """Read a model.

    Raises:
        ConfigurationError: no such file.
        DamagedFileError: not such a model.
    """
    if not path.is_file():
        raise ConfigurationError(
            "the recipe's errors were never learned", where=path, hint="leave out --uncertainty"
        )
    try:
        return SpreadModel(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise DamagedFileError(f"the model of errors cannot be read: {error}", where=path) from error
