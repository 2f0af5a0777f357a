"""Counted light: the same random numbers on every route, Poisson counts, re-exposure, thinning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rawdiff_kernels import checks, launch, native, routes
from rawdiff_kernels.checks import FLOATS, KernelError
from rawdiff_kernels.launch import Cost
from rawdiff_kernels.photon import reference
from rawdiff_kernels.photon.numbering import Grid, Level, Map, lay_grid, lay_map
from rawdiff_kernels.routes import Chosen, Route


def random_bits(
    shape: Sequence[int], seed: int, stream: int = 0, *, origin: tuple[int, int] = (0, 0),
    device: torch.device | str = "cpu", route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Return 32 random bits per element: Philox-4x32-10 of (place, stream) under `seed`.

    An element is numbered by its plane (all leading dimensions), row and column, so that a tile which is told
    where it lies (`origin`) holds the numbers that the whole frame holds there.

    Args:
        shape: sizes of the result, the last two being rows and columns.
        seed: 0 to 2^64 - 1.
        stream: 0 to 2^24 - 1; streams of one seed are independent of each other.
        origin: row and column of the first element in the frame.
        device: where the result is made.
        route: the way to compute it.

    Returns:
        int32 of `shape`: the bit patterns.

    Raises:
        KernelError: a wrong shape, seed, stream or origin, or a forced route that cannot run.
    """
    out = torch.empty(tuple(shape), dtype=torch.int32, device=device)
    grid = lay_grid("shape", out, seed, stream, origin)
    chosen = routes.choose("photon", route, out)
    if chosen == "reference":
        return reference.random_bits(grid.draw(out.device)).reshape(out.shape)
    _run(chosen, "random_bits", out, *grid.scalars())
    return out


def uniform(
    shape: Sequence[int], seed: int, stream: int = 0, *, origin: tuple[int, int] = (0, 0),
    device: torch.device | str = "cpu", route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Return float32 numbers uniform in [0, 1), multiples of 2^-24; arguments as `random_bits`."""
    bits = random_bits(shape, seed, stream, origin=origin, device=device, route=route)
    return reference.to_unit(bits)


def poisson(
    mean: Tensor, seed: int, stream: int = 0, *, origin: tuple[int, int] = (0, 0), route: Route = "auto"
) -> Tensor:
    """Draw Poisson counts, exactly distributed and the same on every route; without a gradient.

    Below a mean of 10 by inversion, above by transformed rejection (W. Hörmann, "The transformed rejection
    method for generating Poisson random variables", Insurance: Mathematics and Economics 12, 1993).

    Args:
        mean: [...] float32 or float64, at least 0 [counts]; accurate up to 1e9.
        seed: 0 to 2^64 - 1.
        stream: 0 to 2^24 - 1.
        origin: row and column of the first element in the frame.
        route: the way to compute it.

    Returns:
        Counts in the shape and dtype of `mean`; NaN where the mean is negative or not finite.

    Raises:
        KernelError: a wrong shape, dtype, seed, stream or origin, or a forced route that cannot run.
    """
    checks.require_dtype("mean", mean, FLOATS)
    grid = lay_grid("mean", mean, seed, stream, origin)
    chosen = routes.choose("photon", route, mean, unsupported=_unsupported(mean))
    source = mean.detach().contiguous()
    if chosen == "reference":
        counts = reference.poisson(source.reshape(-1).double(), grid.draw(mean.device))
        return counts.to(mean.dtype).reshape(mean.shape)
    out = torch.empty_like(source)
    _run(chosen, "poisson", source, out, *grid.scalars())
    return out


def thin(
    counts: Tensor, probability: Level, seed: int, stream: int = 0, *, origin: tuple[int, int] = (0, 0),
    route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Keep each counted photon with `probability`: Binomial(counts, probability), without a gradient.

    A thinned Poisson(m) is a Poisson(probability m), independent of the photons left out: counts - thinned.
    Below ten expected photons by inversion, above by transformed rejection (W. Hörmann, "The generation of
    binomial random variates", Journal of Statistical Computation and Simulation 46, 1993).

    Args:
        counts: [...] float32 or float64, whole numbers of at least 0.
        probability: 0 to 1, a number or a tensor that broadcasts to `counts`; taken in its dtype.
        seed: 0 to 2^64 - 1.
        stream: 0 to 2^24 - 1.
        origin: row and column of the first element in the frame.
        route: the way to compute it.

    Returns:
        Counts in the shape and dtype of `counts`; NaN where `counts` is negative or not whole, or where
        `probability` is outside [0, 1].

    Raises:
        KernelError: a wrong shape, dtype, seed, stream or origin, or a forced route that cannot run.
    """
    checks.require_dtype("counts", counts, FLOATS)
    grid = lay_grid("counts", counts, seed, stream, origin)
    chance = lay_map("probability", probability, counts)
    chosen = routes.choose("photon", route, counts, chance.data, unsupported=_unsupported(counts))
    source = counts.detach().contiguous()
    if chosen == "reference":
        kept = reference.binomial(source.reshape(-1).double(), chance.spread(grid), grid.draw(counts.device))
        return kept.to(counts.dtype).reshape(counts.shape)
    out = torch.empty_like(source)
    _run(chosen, "thin", source, chance.data, *chance.steps, out, *grid.scalars())
    return out


def reexpose(
    state: Tensor, prediction: Tensor, exposure: Level, electrons_at_white: Level, seed: int, stream: int = 0,
    *, start: Level = 1.0, ceiling: float = 1.0, origin: tuple[int, int] = (0, 0), route: Route = "auto",
) -> Tensor:  # fmt: skip
    """Expose on: add to `state` the photons that `prediction` sends while the exposure grows.

    Z' = (start Z + N / w) / exposure, N ~ Poisson(M), M = clip(F, 0, ceiling) (exposure - start) w,
    with Z the state, F the prediction and w = saturation / (K R) the electrons that a value of 1 stands for
    at exposure 1. Negative values of the state are kept: clipping them would brighten the dark.
    The gradient is that of the mean (straight-through): (1 - start / exposure) to the prediction where it
    is within [0, ceiling], start / exposure to the state; none to the maps.
    Wang et al., "ExposureDiffusion", ICCV 2023, which restarts each step from the photograph (`start` 1).

    Args:
        state: [..., H, W] float32 or float64, an image amplified to the target brightness, 1 at white.
        prediction: the clean image in the same scale, same shape and dtype.
        exposure: the exposure to reach, in units of the input exposure, at least `start`.
        electrons_at_white: w above, above 0; with amplification R and gain K, saturation_dn / (K R).
        seed: 0 to 2^64 - 1.
        stream: 0 to 2^24 - 1; the number of the step, so that steps are independent.
        start: the exposure that `state` has (an exposure map after a merge).
        ceiling: values of the prediction above it count as it; math.inf for none.
        origin: row and column of the first element in the frame.
        route: the way to compute it.

    Returns:
        The state at `exposure`, in the shape and dtype of `state`; NaN where a map is out of its range.

    Raises:
        KernelError: a wrong shape, dtype, level, seed, stream or origin, or a forced route that cannot run.
    """
    checks.require_dtype("state", state, FLOATS)
    checks.require_dtype("prediction", prediction, (state.dtype,))
    checks.require_shape("prediction", prediction, tuple(state.shape))
    ceiling = float(torch.tensor(ceiling, dtype=state.dtype))
    if not ceiling > 0:
        raise KernelError(f"ceiling must be above 0, got {ceiling}")
    grid = lay_grid("state", state, seed, stream, origin)
    levels = {"start": start, "exposure": exposure, "electrons_at_white": electrons_at_white}
    _require_order(levels)
    maps = tuple(lay_map(name, level, state) for name, level in levels.items())
    others = (prediction, *(level.data for level in maps))
    chosen = routes.choose("photon", route, state, *others, unsupported=_unsupported(state))
    exposed: Tensor = _Reexpose.apply(state, prediction, maps, ceiling, grid, chosen)  # type: ignore[no-untyped-call]
    return exposed


def cost(state: Tensor) -> Cost:
    """Bytes and operations of `reexpose` in the light regime: Philox, one exponential, three steps up."""
    return Cost(state.numel() * state.element_size() * 3, state.numel() * 160)


class _Reexpose(torch.autograd.Function):
    """The straight-through estimator: the sample forward, the gradient of its mean backward."""

    @staticmethod
    def forward(
        ctx: Any,
        state: Tensor,
        prediction: Tensor,
        maps: tuple[Map, ...],
        ceiling: float,
        grid: Grid,
        chosen: Chosen,
    ) -> Tensor:
        ctx.maps, ctx.grid, ctx.ceiling = maps[:2], grid, ceiling
        ctx.save_for_backward(prediction)
        if chosen == "reference":
            from_state, light = (tensor.reshape(-1).double() for tensor in (state, prediction))
            start, exposure, white_e = (level.spread(grid) for level in maps)
            draw = grid.draw(state.device)
            exposed = reference.reexpose(from_state, light, start, exposure, white_e, ceiling, draw)
            return exposed.to(state.dtype).reshape(state.shape)
        out = torch.empty(state.shape, dtype=state.dtype, device=state.device)
        steps = (part for level in maps for part in (level.data, *level.steps))
        _run(
            chosen,
            "reexpose",
            state.contiguous(),
            prediction.contiguous(),
            out,
            *steps,
            float(ceiling),
            *grid.scalars(),
        )
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (prediction,) = ctx.saved_tensors
        start, exposure = (level.spread(ctx.grid).reshape(prediction.shape) for level in ctx.maps)
        share = (start / exposure).to(prediction.dtype)
        lit = (prediction >= 0.0) & (prediction <= ctx.ceiling)
        to_prediction = torch.where(lit, gradients[0] * (1.0 - share), 0.0)
        return gradients[0] * share, to_prediction, None, None, None, None


def _run(chosen: Chosen, name: str, *arguments: Any) -> None:
    """Run a function of the GPU or the CPU route: both take the same arguments."""
    if chosen == "gpu":
        getattr(launch.load("photon"), name)(*arguments)
    else:
        native.call("photon", f"photon_{name}", *arguments)


def _require_order(levels: dict[str, Level]) -> None:
    """Refuse numbers that no exposure can have; maps are checked element by element, by NaN."""
    for name, level in levels.items():
        if not isinstance(level, Tensor) and not 0 < level < math.inf:
            raise KernelError(f"{name} must be finite and above 0, got {level}")
    start, exposure = levels["start"], levels["exposure"]
    if not isinstance(start, Tensor) and not isinstance(exposure, Tensor) and exposure < start:
        raise KernelError(f"exposure must be at least start, got {exposure} from {start}")


def _unsupported(tensor: Tensor) -> dict[str, str]:
    if tensor.dtype != torch.float64:
        return {}
    reason = "float64 is computed by the reference only"
    return {"gpu": reason, "cpu": reason}
