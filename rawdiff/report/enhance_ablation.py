"""What each part of the quadruple-prior enhancer is for: networks trained without it, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rawdiff.errors import ConfigurationError, InputError
from rawdiff.networks.quadprior import QuadPriorNetwork
from rawdiff.networks.weights import load_network
from rawdiff.report.tables import Table
from rawdiff.train.photographs import Photograph
from rawdiff.train.prior import build_prior_cases, look_at_priors

Figures = dict[str, dict[str, float]]


def run_ablation(
    photographs: Sequence[Photograph], folder: Path, on_case: Callable[[str], None] | None = None
) -> Figures:
    """Measure every network in a folder; see `train.prior.DESCRIPTION` for what the figures are.

    Args:
        photographs: none of which any of them was trained on.
        folder: of `*.safetensors`, each named after what it lacks; `all.safetensors` comes first.
        on_case: told what is being worked on.

    Raises:
        InputError: there are none.
        ConfigurationError: one is not of the quadruple-prior enhancer.
    """
    found = sorted(folder.glob("*.safetensors"), key=lambda path: (path.stem != "all", path.stem))
    if not found:
        raise InputError("no weights", where=folder, hint="python -m benchmarks.ablate_quadprior -o DIR")
    cases = build_prior_cases(photographs)
    figures = {}
    for path in found:
        if on_case is not None:
            on_case(path.stem)
        network = load_network(path)
        if not isinstance(network, QuadPriorNetwork):
            raise ConfigurationError("not weights of quadprior", where=path)
        figures[path.stem] = look_at_priors(network, cases)
    return figures


def tabulate_ablation(figures: Figures, photographs: int) -> list[Table]:
    """The figures, and under them what each network lost against the first."""
    first, *others = figures
    lights = tuple(figures[first])
    table = Table(
        f"Without one part each, mean of {photographs} photographs",
        ("network", *lights),
        notes=[
            "PSNR of sRGB values in dB at a quarter of the light, nothing aligned; own: against the network's"
            f" own result under even light. The others are differences from {first}.",
        ],
    )
    table.rows.append({"network": first, **figures[first]})
    for name in others:
        lost = {light: figures[name][light] - figures[first][light] for light in lights}
        table.rows.append({"network": name, **lost})
    return [table]
