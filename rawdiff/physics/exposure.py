"""The exposure process: a longer exposure is the same photograph with more photons added.

States are amplified to the reference brightness, Z_r = R/r X, where X is normalised raw (black 0, white 1),
r the exposure in units of one input frame and R the exposure ratio. A merged burst starts at r = N, its
effective exposures, which may differ from pixel to pixel. Only shot noise is added: read noise stays what
the input brought, diluted by 1/r. Wang et al., "ExposureDiffusion", ICCV 2023, sections 3.1-3.2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

PhotonSource = Callable[[Tensor], Tensor]


def seeded_photons(seed: int) -> PhotonSource:
    """A source of Poisson counts of the mean given, drawn on the CPU so that devices agree."""
    generator = torch.Generator().manual_seed(seed)

    def draw(mean: Tensor) -> Tensor:
        return torch.poisson(mean.cpu(), generator=generator).to(mean.device)

    return draw


def expected_photons(mean: Tensor) -> Tensor:
    """The source that draws nothing: as many photons as are expected."""
    return mean


def photon_map(state: Tensor, exposure: Tensor | float, ratio: Tensor | float, gain: Tensor) -> Tensor:
    """Electrons that the state stands for: P = Z r / (R g).

    Args:
        state: amplified, at exposure r.
        exposure: r, in units of one input frame; a number or a map.
        ratio: R.
        gain: g = K / (white - black), normalised units per electron, per plane or a number.
    """
    return state * exposure / (ratio * gain)


def extend_exposure(
    photograph: Tensor,
    estimate: Tensor,
    start: Tensor | float,
    target: Tensor | float,
    ratio: Tensor | float,
    gain: Tensor,
    photons: PhotonSource,
) -> Tensor:
    """The state at exposure `target`: the photograph's own light, and photons of the estimate.

    Z_s = (r_0 Z_0 + g R N) / r_s,  N ~ Poisson(clip(F, 0, 1) (r_s - r_0) / (R g)).

    The gradient passes through the mean of N (straight through). Always counted from the photograph, as in
    the published code: for a fixed estimate it has the law of the Markov chain. Nothing is clipped but the
    mean of the photons, and no reference is consulted.

    Args:
        photograph: Z_0, amplified, negatives kept.
        estimate: F, amplified, of the clean image.
        start: r_0; 1 for a single frame, the ExposureMap for a burst.
        target: r_s, at least r_0.
        ratio: R.
        gain: g, normalised units per electron.
        photons: source of Poisson counts.
    """
    added = (torch.as_tensor(target) - start).clamp(min=0) if isinstance(start, Tensor) else target - start
    mean = estimate.clamp(0, 1) * added / (ratio * gain)
    counts = mean + (photons(mean.detach()) - mean).detach()
    return (start * photograph + gain * ratio * counts) / target
