"""Training of the quadruple-prior enhancer: exact resumption, hints that hide their light, ablations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rawdiff.errors import ConfigurationError
from rawdiff.simulate.uneven_light import uneven_lights
from rawdiff.train.loop import Run
from rawdiff.train.photographs import Library, Photograph
from rawdiff.train.prior import PriorPlan, build_prior, draw_priors, prior_loss
from rawdiff.train.tasks import find_task

TINY = replace(
    find_task("quadprior").plan, batch=4, side=32, warmup=2, widths=(6, 8), blocks=(1, 1), reductions=(1,)
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Photograph]:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(4)
    for name in ("one.png", "two.png", "kept.png"):
        coarse = generator.integers(0, 255, (12, 12, 3), np.uint8)
        Image.fromarray(coarse).resize((240, 170), Image.Resampling.BICUBIC).save(folder / name)
    return [
        Photograph(str(folder / "one.png")),
        Photograph(str(folder / "two.png"), recipes=("quadprior",)),
        Photograph(str(folder / "kept.png"), held_out=True),
    ]


@pytest.fixture(scope="module")
def library(photographs: list[Photograph], tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(photographs[:2], (1,), 0, 0.0, 1, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_ends_at_the_weights_of_an_uninterrupted_one(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    whole = Run(TINY, photographs, tmp_path / "whole")
    for _ in range(4):
        whole.step()
    killed = Run(TINY, photographs, tmp_path / "killed")
    killed.step()
    killed.step()
    killed.save()
    killed.step()  # lost with the process
    resumed = Run(TINY, photographs, tmp_path / "killed", resume=True)
    resumed.step()
    resumed.step()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name


def test_small_pictures_train_what_they_are_listed_for(photographs: list[Photograph], tmp_path: Path) -> None:
    run = Run(TINY, photographs, tmp_path / "prior")
    assert {p.name for p, _ in run.library.used} == {"one.png", "two.png"}
    assert photographs[1].trains("quadprior") and not photographs[1].trains("mmse")
    assert not photographs[2].trains("quadprior")
    capped = Library(photographs[:2], (1,), 0, 0.0, 1, tmp_path, largest=240)
    assert len(capped.scenes) == 2


def test_a_window_has_the_shape_asked_for_or_the_largest_of_it(library: Library) -> None:
    generator = torch.Generator().manual_seed(2)
    for _ in range(8):
        assert library.window((60, 90), generator).shape == (3, 60, 90)
        height, width = library.window((600, 900), generator).shape[1:]
        assert width / height == pytest.approx(1.5, abs=0.02)
        # The scene is 240x170: the window fills its width, or turned its height.
        assert width in (240, 170)


def test_what_is_to_be_drawn_is_the_photograph_and_the_hint_is_it_in_other_light(library: Library) -> None:
    generator = torch.Generator().manual_seed(3)
    noiseless = replace(TINY, options=(("hint_noise", False),))
    batch = draw_priors(library, noiseless, generator)
    assert batch.hint.shape == batch.normal.shape and max(batch.normal.shape[2:]) == 32
    light = (batch.hint / batch.normal.clamp(min=1e-3)).masked_fill(batch.normal < 0.05, float("nan"))
    steps = (light[..., 1:] / light[..., :-1]).log().abs()
    # Smooth: a ramp of 3.5 stops and a pool of sigma 0.12 change by less than 40 % from pixel to pixel.
    assert float(steps.nan_to_num(0).max()) < 0.35
    spread = light.nan_to_num(1).amax(dim=(1, 2, 3)) / light.nan_to_num(1).amin(dim=(1, 2, 3))
    assert float(spread.max()) > 1.3
    same = draw_priors(
        library, replace(TINY, options=(("hint_noise", False), ("hint_light", False))), generator
    )
    assert torch.equal(same.hint, same.normal)


@pytest.mark.parametrize("option", ["hue", "chroma", "order", "edges", "contrast", "z0_loss", "bypass"])
def test_ablations_are_options_of_the_network(option: str, library: Library) -> None:
    plan = replace(TINY, options=((option, False),))
    network = build_prior(plan)
    loss, error = prior_loss(
        network, draw_priors(library, plan, torch.Generator().manual_seed(1)), torch.Generator()
    )
    assert bool(torch.isfinite(loss)) and float(error) > 0
    assert network.config[option] is False
    with pytest.raises(ConfigurationError, match="does not have"):
        build_prior(replace(plan, options=(("magic", 1),)))


def test_the_loss_is_that_of_noise_and_of_the_clean_picture(library: Library) -> None:
    """L_z0 = sigma^2 L_noise: with the former in units of the spread they part as 1 / sigma^2 + 4."""
    plan = replace(TINY, batch=2, synthesis=PriorPlan(certain_share=0.0))
    batch = replace(
        draw_priors(library, plan, torch.Generator().manual_seed(1)), sigma=torch.full((2, 1, 1, 1), 0.5)
    )
    both, noise_alone = (build_prior(replace(plan, options=(("z0_loss", kept),))) for kept in (True, False))
    noise_alone.load_state_dict(both.state_dict())
    full, _ = prior_loss(both, batch, torch.Generator().manual_seed(1))
    part, _ = prior_loss(noise_alone, batch, torch.Generator().manual_seed(1))
    merges = (both.merges(_coded(batch.rough)) - _coded(batch.fine)).abs().mean()
    assert float(((full - merges) / (part - merges)).detach()) == pytest.approx(2.0, rel=1e-4)


def _coded(light: torch.Tensor) -> torch.Tensor:
    from rawdiff.enhance.carry import encode_light

    return encode_light(light)


def test_uneven_lights_are_those_of_the_statement() -> None:
    lights = uneven_lights(40, 80)
    assert float(lights["ramp"][0, 0, 0] / lights["ramp"][0, 0, -1]) == pytest.approx(
        8 ** (79 / 80), rel=1e-4
    )
    assert float(lights["pool"].max()) == pytest.approx(1.0, abs=0.01)
    assert float(lights["pool"].min()) == pytest.approx(1 / 8, rel=0.01)
    assert lights["lamps"][0, 0, 0] > lights["lamps"][2, 0, 0]
    assert lights["lamps"][0, -1, -1] < lights["lamps"][2, -1, -1]
