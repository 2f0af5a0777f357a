"""Posterior samples that start at the photograph: the sigma-map process with the camera-independent network.

Every pixel waits at its own noise until the level of the process falls below it, so no noise is added to
what was measured, and each walk ends at one picture that the photograph may have come from (Kawar et al.,
"Stochastic image denoising by sampling from the posterior distribution", 2021; Pearl et al., "SVNR", 2023).
The mean of several walks approaches the `mmse` estimate; one alone keeps the texture that a mean averages
away.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from rawdiff.diffusion.process import SigmaMap
from rawdiff.diffusion.sampler import sample, sample_mean, seeded_noise
from rawdiff.diffusion.schedule import geometric_sigmas
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.recipes import mmse
from rawdiff.recipes.walk import Walk, as_denoiser

STEPS, SAMPLES = 6, 4
_LAST_SHARE = 0.1
"""Of the photograph's noise: the lowest level asked for; below it the network changes a state by less."""


def denoise(
    planes: Tensor,
    gain: Tensor,
    sigma: Tensor,
    exposure: float | Tensor,
    strength: float,
    walk: Walk = Walk(),  # noqa: B008  frozen
) -> Tensor:
    """Denoise packed raw by the mean of posterior samples; arguments as `mmse.denoise`.

    The whole frame is one state: give it whole, and cut the evaluations by `walk.tile`.
    """
    if strength == 0:
        return planes.clone()
    samples = SAMPLES if walk.samples is None else walk.samples
    drawn = (planes, gain, sigma, exposure, walk)
    if samples == 1:
        clean = draw_sample(mmse.network(), *drawn)
    else:
        clean, _ = sample_mean(lambda number: draw_sample(mmse.network(), *drawn, number), samples)
    return clean if strength == 1 else planes + strength * (clean - planes)


def draw_sample(
    network: StabilisedDenoiser,
    planes: Tensor,
    gain: Tensor,
    sigma: Tensor,
    exposure: float | Tensor,
    walk: Walk,
    number: int = 0,
) -> Tensor:
    """One picture that the photograph may have come from, its light that of the measurement.

    Args:
        network: the denoiser.
        planes: `[4, h, w]`, black 0, white 1, R, Gr, Gb, B; negatives kept.
        gain: what one electron adds in one frame, `[4]`.
        sigma: standard deviation in the dark of one frame, `[4]`.
        exposure: effective exposures, a number or `[h, w]`.
        walk: steps, seed and cut.
        number: which of the walks of this seed.

    Returns:
        `[4, h, w]`.
    """
    frames = torch.as_tensor(exposure, dtype=planes.dtype)
    encoding = VarianceStabilised(gain.view(4, 1, 1), sigma.view(4, 1, 1))
    noise = 1 / torch.sqrt(frames)
    top = float(noise.max())
    times = geometric_sigmas(STEPS if walk.steps is None else walk.steps, _LAST_SHARE * top, top)
    told = as_denoiser(network, encoding.floor(frames), walk.tile)
    walks, done = walk.samples or SAMPLES, itertools.count(1)

    def counted(x: Tensor, sigma: Tensor) -> Tensor:
        estimate = told(x, sigma)
        walk.tell((number + next(done) / (len(times) - 1)) / walks)
        return estimate

    state = sample(
        encoding.encode(planes, frames),
        times,
        SigmaMap(noise),
        counted,
        seeded_noise(walk.seed * 65_537 + number),
    )
    return mmse.agree_with_light(encoding.decode(state, frames), planes)
