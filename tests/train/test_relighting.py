"""Training the wavelet enhancer: its pairs of light, its losses, its resumption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rawdiff_kernels import haar

from rawdiff.enhance.wavelet import Relit, luminance
from rawdiff.networks.relight import WaveletRelight
from rawdiff.networks.weights import load_network
from rawdiff.report.metrics import ssim
from rawdiff.simulate.scene import srgb_to_linear
from rawdiff.train.card import write_card
from rawdiff.train.loop import Run
from rawdiff.train.photographs import Photograph
from rawdiff.train.relight_loss import (
    content_loss,
    detail_loss,
    level_loss,
    relight_loss,
    total_variation,
)
from rawdiff.train.relight_validation import fixed_lights
from rawdiff.train.relighting import LightPair, LightPlan, darken, draw_light, leave_noise, quantise
from rawdiff.train.tasks import find_task

TINY = replace(
    find_task("wavelet").plan, batch=2, side=32, warmup=2, widths=(4, 6), blocks=(1, 1), reductions=(1,),
    options=(("detail_width", 4), ("steps", 2)),
)  # fmt: skip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=seeded(seed))


def test_a_darkened_picture_has_the_light_asked_for() -> None:
    normal = 0.1 + 0.5 * draw(4, 3, 24, 24)
    plan = LightPlan(darkening=(8.0, 8.0), noise=(1e-9, 1e-9), quantised_share=0.0)
    dark = darken(normal, plan, seeded())
    # Softening repeats the edge, which moves the mean of random pixels by well under a percent.
    assert torch.allclose(dark.mean(dim=(1, 2, 3)), normal.mean(dim=(1, 2, 3)) / 8, rtol=0.01)


def test_lights_are_what_the_plan_says() -> None:
    plan = LightPlan()
    fields = draw_light(plan, 200, (20, 30), seeded(1))
    assert bool((fields > 0).all())
    even = (fields == 1).all(dim=(1, 2, 3)).float().mean()
    # A share p of n draws: five standard deviations.
    assert abs(float(even) - plan.even_share) < 5 * (plan.even_share * (1 - plan.even_share) / 200) ** 0.5
    coloured = (fields.amax(dim=1) > 1.01 * fields.amin(dim=1)).any(dim=1).any(dim=1)
    assert 0.1 < float(coloured.float().mean()) < 0.4


def test_the_fixed_lights_fall_by_three_stops() -> None:
    lights = fixed_lights(64, 96)
    assert float(lights["even"].amin()) == 1
    assert float(lights["ramp"].amax() / lights["ramp"].amin()) == pytest.approx(8, rel=0.05)
    assert float(lights["pool"].amax() / lights["pool"].amin()) == pytest.approx(8, rel=0.05)
    assert lights["lamps"][0, 0, 0] > 1.5 * lights["lamps"][2, 0, 0]


def test_the_noise_left_has_the_strength_asked_for_at_mid_grey() -> None:
    plan = LightPlan(noise=(0.02, 0.02))
    left = leave_noise(torch.full((16, 3, 64, 64), 0.18), plan, seeded(2))
    spread = float((left - 0.18).std())
    # Variance 0.02^2 (0.18^2 + 0.001); the grain is correlated over 5 pixels: about n / 8 independent ones.
    expected = 0.02 * (0.18**2 + 0.001) ** 0.5
    assert abs(spread / expected - 1) < 5 / (2 * 16 * 3 * 64**2 / 8) ** 0.5 + 0.03


def test_eight_bit_files_keep_their_values() -> None:
    values = srgb_to_linear(torch.arange(256) / 255)
    assert torch.allclose(quantise(values), values, atol=1e-6)


def test_variation_is_counted_as_published() -> None:
    planes = draw(6, 3, 5, 8)
    down = (planes[..., 1:, :] - planes[..., :-1, :]).square().sum() / (3 * 4 * 8)
    across = (planes[..., 1:] - planes[..., :-1]).square().sum() / (3 * 5 * 7)
    assert float(total_variation([planes])) == pytest.approx(float(2 * (down + across) / 6), rel=1e-5)


def test_detail_is_judged_by_bands_and_first_average() -> None:
    light = haar.forward(draw(2, 3, 16, 16), 2)
    found = haar.forward(draw(2, 3, 16, 16, seed=1), 2)
    relit = Relit(found.average, found.details, haar.inverse(found))
    first, wanted = (haar.forward(draw(2, 3, 16, 16, seed=seed), 1).average for seed in (1, 0))
    pairs = [*zip(found.details, light.details, strict=True), (first, wanted)]
    squared = sum(float((a - b).square().mean()) for a, b in pairs)
    # Published: the three bands stand in the batch, so the divisor of each is 3 x batch.
    variation = sum(float(total_variation([a.reshape(-1, 3, *a.shape[-2:])])) for a, _ in pairs)
    assert float(detail_loss(relit, light)) == pytest.approx(0.1 * squared + 0.01 * variation, rel=1e-4)


def test_content_is_judged_as_the_metric_does() -> None:
    picture, target = draw(1, 3, 24, 30), draw(1, 3, 24, 30, seed=1)
    expected = float((picture - target).abs().mean()) + 1 - ssim(picture[0], target[0])
    assert float(content_loss(picture, target)) == pytest.approx(expected, abs=1e-4)
    assert float(content_loss(target, target)) == pytest.approx(0, abs=1e-5)


def test_an_error_of_level_moves_the_level_alone() -> None:
    normal = 0.05 + 0.4 * draw(2, 3, 32, 32)
    network = WaveletRelight((4, 6), (1, 1), detail_width=4, steps=2)
    losses = []
    for gain in (0.5, 0.01):
        pair = LightPair(normal * gain, normal)
        with torch.no_grad():
            loss, error = relight_loss(network, pair, seeded(3))
        wanted = network.level(luminance(pair.dark)) - network.level(luminance(normal))
        assert torch.allclose(wanted.exp(), torch.full((2,), 1 / gain), rtol=1e-4)
        losses.append(float(loss))
        assert float(error) == pytest.approx(0, abs=1e-9)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_dark_photographs_do_not_tell_how_bright_light_is() -> None:
    off = torch.tensor([0.5, -3.0])
    normal = torch.tensor([0.3, 0.02]).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    assert float(level_loss(off, normal)) == pytest.approx(0.5)
    assert float(level_loss(off, normal / 10)) == 0


def test_gradients_pass_through_every_step_of_the_walk() -> None:
    torch.manual_seed(1)
    network = WaveletRelight((4, 6), (1, 1), detail_width=4, steps=3)
    torch.nn.init.normal_(network.unet.outlet.weight, std=0.1)
    seen: list[torch.Tensor] = []
    estimate = network.estimate

    def watched(scaled: torch.Tensor, level: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        answer = estimate(scaled, level, condition)
        answer.retain_grad()
        seen.append(answer)
        return answer

    network.estimate = watched  # type: ignore[method-assign]
    normal = 0.05 + 0.4 * draw(2, 3, 32, 32)
    relight_loss(network, LightPair(normal * 0.1, normal), seeded(4))[0].backward()  # type: ignore[no-untyped-call]
    assert len(seen) == 3 + 1
    assert all(answer.grad is not None and bool(answer.grad.abs().sum() > 0) for answer in seen)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Photograph]:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(4)
    for name in ("one.png", "kept.png"):
        coarse = generator.integers(0, 255, (12, 12, 3), np.uint8)
        Image.fromarray(coarse).resize((180, 170), Image.Resampling.BICUBIC).save(folder / name)
    return [
        Photograph(str(folder / "one.png"), "CC0-1.0", "nobody"),
        Photograph(str(folder / "kept.png"), "CC0-1.0", "nobody", held_out=True),
    ]


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_ends_at_the_same_weights(photographs: list[Photograph], tmp_path: Path) -> None:
    whole = Run(TINY, photographs, tmp_path / "whole", side=64)
    for _ in range(4):
        whole.step()
    killed = Run(TINY, photographs, tmp_path / "killed", side=64)
    for _ in range(2):
        killed.step()
    killed.save()
    killed.step()  # lost with the process
    resumed = Run(TINY, photographs, tmp_path / "killed", resume=True, side=64)
    for _ in range(2):
        resumed.step()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name
    assert isinstance(whole.network, WaveletRelight)
    assert not torch.equal(whole.network.level.law.bias, torch.tensor([-0.49]))


def test_a_run_leaves_weights_and_a_card(photographs: list[Photograph], tmp_path: Path) -> None:
    run = Run(TINY, photographs, tmp_path, side=64)
    heard: list[dict[str, Any]] = []
    run.go(1.0, steps=1, report=heard.append)
    network = load_network(tmp_path / "wavelet.safetensors")
    assert isinstance(network, WaveletRelight)
    assert network.config["steps"] == 2
    assert sorted(heard[-1]["psnr_db"]) == ["even", "lamps", "pool", "ramp", "unaligned"]
    card = write_card(run, photographs, "rawdiff train wavelet").read_text()
    for fact in ("wavelet-relight", "patches of 32x32 pixels", "ramp", "kept.png | CC0-1.0 | nobody"):
        assert fact in card
