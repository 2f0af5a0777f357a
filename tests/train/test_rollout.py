"""Training by trajectories: exposures, gradients, the tasks' common contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rawdiff.errors import ConfigurationError
from rawdiff.networks.weights import load_network, save_weights
from rawdiff.train.photographs import Library, Photograph
from rawdiff.train.plan import TrainingPlan
from rawdiff.train.rollout import draw_schedule
from rawdiff.train.synthesis import SynthesisPlan, draw_batch
from rawdiff.train.tasks import TASKS


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("photos")
    coarse = np.random.default_rng(4).integers(0, 255, (12, 12, 3), np.uint8)
    Image.fromarray(coarse).resize((180, 170), Image.Resampling.BICUBIC).save(folder / "one.png")
    return Library([Photograph(str(folder / "one.png"))], (1,), 0, 0.0, 1, folder / "cache")


def test_training_exposures_ascend_from_one_to_the_ratio() -> None:
    ratio = torch.tensor([1.0, 100.0, 300.0])
    first, second, third = draw_schedule(3, ratio, torch.Generator().manual_seed(0))
    assert first == 1.0
    assert isinstance(second, torch.Tensor) and isinstance(third, torch.Tensor)
    assert bool((second >= 2).all()) and bool((third >= second).all())
    assert bool((third.flatten() <= torch.tensor([4.0, 100.0, 300.0])).all())
    assert draw_schedule(1, ratio, torch.Generator()) == [1.0]


@pytest.mark.parametrize("recipe", sorted(TASKS))
def test_every_task_learns(recipe: str, library: Library) -> None:
    """Twenty steps on one fixed batch: every weight gets a gradient and the error falls."""
    task = TASKS[recipe]
    torch.manual_seed(0)
    plan = replace(task.plan, widths=(8, 12), blocks=(1, 1), batch=4, side=16)
    network = task.build(plan)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    batch = task.draw(library, plan, torch.Generator().manual_seed(1))
    errors = []
    for _ in range(20):
        loss, error = task.loss(network, batch, torch.Generator().manual_seed(2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(error))
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in network.parameters())
    assert errors[-1] < 0.9 * errors[0]


@pytest.mark.parametrize(
    "option", [("steps", 1), ("steps", 5), ("photon_map", False), ("adaptive_residual", False)]
)
def test_ablations_are_options_of_the_network(option: tuple[str, bool | int], library: Library) -> None:
    task = TASKS["exposure"]
    plan = TrainingPlan(recipe="exposure", widths=(8, 12), blocks=(1, 1), options=(option,))
    network = task.build(plan)
    batch = draw_batch(library, SynthesisPlan(), 2, 16, torch.Generator().manual_seed(1))
    loss, _ = task.loss(network, batch, torch.Generator().manual_seed(2))
    assert bool(torch.isfinite(loss))
    assert network.config[option[0]] == option[1]  # type: ignore[index]
    with pytest.raises(ConfigurationError, match="does not have"):
        task.build(replace(plan, options=(("magic", 1),)))
    with pytest.raises(ConfigurationError, match="no options"):
        TASKS["mmse"].build(plan)


@pytest.mark.parametrize("recipe", sorted(TASKS))
def test_every_task_stores_loads_and_watches_its_network(
    recipe: str, library: Library, tmp_path: Path
) -> None:
    task = TASKS[recipe]
    network = task.build(replace(task.plan, widths=(8, 12), blocks=(1, 1)))
    path = tmp_path / "net.safetensors"
    save_weights(path, network.state_dict(), task.architecture, network.config)  # type: ignore[arg-type]
    back = load_network(path)
    cases = task.cases([library.used[0][0]], 64)
    assert {case.name for case in cases} == {"one.png"}
    figures = task.look(back, cases)
    # Half precision: 11 bits of mantissa, a thousandth of a decibel at these errors.
    assert figures == pytest.approx(task.look(network.eval(), cases), abs=0.05)
    assert figures and all(np.isfinite(value) for value in figures.values())
