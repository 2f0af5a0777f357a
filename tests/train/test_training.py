"""Training: exact resumption, honest losses, a card that says what was done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rawdiff.errors import ConfigurationError, DamagedFileError, InputError
from rawdiff.networks.weights import load_network
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.train.card import write_card
from rawdiff.train.checkpoint import export_state
from rawdiff.train.curves import read_log, write_curves
from rawdiff.train.loop import LOG_NAME, Run
from rawdiff.train.loss import light_loss, relative, stabilised_states
from rawdiff.train.photographs import Library, Photograph, list_photographs, prepare
from rawdiff.train.plan import TrainingPlan
from rawdiff.train.synthesis import SynthesisPlan, draw_batch, draw_noise
from rawdiff.train.tasks import find_task

TINY = TrainingPlan(
    batch=2, side=16, warmup=2, widths=(6, 8), blocks=(1, 1), reductions=(1, 2), leaves=0, leaves_share=0.0
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Photograph]:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(4)
    for name in ("one.png", "two.png", "kept.png"):
        coarse = generator.integers(0, 255, (12, 12, 3), np.uint8)
        Image.fromarray(coarse).resize((180, 170), Image.Resampling.BICUBIC).save(folder / name)
    return [
        Photograph(str(folder / "one.png"), "CC0-1.0", "nobody"),
        Photograph(str(folder / "two.png"), "CC-BY-4.0", "somebody"),
        Photograph(str(folder / "kept.png"), "CC0-1.0", "nobody", held_out=True),
    ]


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
    whole = Run(TINY, photographs, tmp_path / "whole", side=32)
    for _ in range(6):
        whole.step()
    killed = Run(TINY, photographs, tmp_path / "killed", side=32)
    for _ in range(3):
        killed.step()
    killed.save()
    killed.step()  # lost with the process
    resumed = Run(TINY, photographs, tmp_path / "killed", resume=True, side=32)
    assert resumed.progress.step == 3
    for _ in range(3):
        resumed.step()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name


def test_an_exported_state_goes_on_from_nearly_the_same_place(
    photographs: list[Photograph], tmp_path: Path
) -> None:
    run = Run(TINY, photographs, tmp_path / "here", side=32)
    for _ in range(3):
        run.step()
    run.save()
    (tmp_path / "there").mkdir()
    export_state(tmp_path / "here" / "state.pt", tmp_path / "there" / "state.pt")
    sizes = [(tmp_path / place / "state.pt").stat().st_size for place in ("there", "here")]
    assert sizes[0] < sizes[1]
    carried = Run(TINY, photographs, tmp_path / "there", resume=True, side=32)
    for name, tensor in run.network.state_dict().items():
        # Half precision: 11 bits of mantissa.
        assert torch.allclose(carried.network.state_dict()[name], tensor, rtol=2**-11, atol=1e-7), name
    assert carried.average["unet.inlet.weight"].dtype == torch.float32
    assert carried.step() == pytest.approx(run.step(), rel=0.05)


def test_a_run_leaves_weights_curves_and_a_card(photographs: list[Photograph], tmp_path: Path) -> None:
    run = Run(TINY, photographs, tmp_path, side=32)
    run.begin_cooldown(4)
    heard: list[dict[str, object]] = []
    run.go(1.0, report=heard.append, log_every=2, look_every=2, save_every=0.0)
    assert run.finished()
    assert run.learning_rate() == 0.0
    assert [event["step"] for event in heard if "psnr_db" in event] == [2, 4, 4]
    assert load_network(tmp_path / "mmse.safetensors").config["widths"] == [6, 8]
    write_curves(tmp_path / LOG_NAME, tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").read_text().count(
        "<polyline"
    ) == 1 + 4  # error; 2 sharpnesses x 2 ratios
    again = Run(TINY, photographs, tmp_path, resume=True, side=32)
    again.reopen()
    assert again.learning_rate() == TINY.learning_rate
    card = write_card(run, photographs, "rawdiff train mmse").read_text()
    for fact in ("CC-BY-4.0", "somebody", "kept.png | CC0-1.0 | nobody | validation", "4 steps", "sharp-100"):
        assert fact in card


def test_a_run_is_not_mistaken_for_another(photographs: list[Photograph], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to resume"):
        Run(TINY, photographs, tmp_path / "a", resume=True, side=32)
    Run(TINY, photographs, tmp_path / "a", side=32).save()
    with pytest.raises(ConfigurationError, match="--resume"):
        Run(TINY, photographs, tmp_path / "a", side=32)
    with pytest.raises(ConfigurationError, match="another plan"):
        Run(replace(TINY, seed=2), photographs, tmp_path / "a", resume=True, side=32)
    larger = Run(replace(TINY, batch=1, side=24), photographs, tmp_path / "a", resume=True, side=32)
    assert larger.step() > 0
    assert larger.progress.phases == [[0, 2, 16], [0, 1, 24]]
    (tmp_path / "a" / "state.pt").write_bytes(b"short")
    with pytest.raises(DamagedFileError):
        Run(TINY, photographs, tmp_path / "a", resume=True, side=32)
    with pytest.raises(ConfigurationError, match="mmse"):
        find_task("magic")


def test_steps_lost_with_a_killed_process_are_not_drawn_twice(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    steps = (2, 4, 6, 4, 6, 8)
    log.write_text("".join(json.dumps({"step": s, "seconds": s, "error": 1.0}) + "\n" for s in steps))
    assert [event["step"] for event in read_log(log)] == [2, 4, 4, 6, 8]


def test_held_out_photographs_never_train(photographs: list[Photograph], tmp_path: Path) -> None:
    run = Run(TINY, photographs, tmp_path, side=32)
    assert {p.name for p, _ in run.library.used} == {"one.png", "two.png"}
    assert {case.name for case in run.cases} == {"kept.png"}


def test_photographs_are_listed_prepared_and_refused(photographs: list[Photograph], tmp_path: Path) -> None:
    folder = Path(photographs[0].path).parent
    assert [p.name for p in list_photographs(folder)] == ["kept.png", "one.png", "two.png"]
    listing = tmp_path / "photographs.json"
    listing.write_text(json.dumps([{"path": photographs[0].path, "licence": "CC0-1.0", "held_out": True}]))
    assert list_photographs(listing)[0].held_out
    assert prepare(photographs[0], 4, tmp_path) is None
    with pytest.raises(InputError, match="large enough"):
        Library(photographs, (4,), 0, 0.0, 1, tmp_path)
    with pytest.raises(InputError, match="1 of 4 photographs are missing"):
        Library([*photographs, Photograph("gone.png")], (1,), 0, 0.0, 1, tmp_path)
    with pytest.raises(InputError, match="no photographs"):
        list_photographs(tmp_path / "empty")
    listing.write_text('[{"file": "x"}]')
    with pytest.raises(InputError, match="list of photographs"):
        list_photographs(listing)


def test_prepared_light_is_that_of_the_photograph(photographs: list[Photograph], tmp_path: Path) -> None:
    from rawdiff.simulate.scene import load_photograph

    stored = prepare(photographs[0], 1, tmp_path)
    assert stored is not None
    light = (torch.from_numpy(np.array(stored, np.float32)) / 65535) ** 2
    # Half a step of the root is at most 1/65535 of light near white.
    assert torch.allclose(light, load_photograph(photographs[0].path), atol=1.6e-5)


@pytest.fixture(scope="module")
def library(photographs: list[Photograph], tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(photographs[:2], (1,), 1, 0.2, 1, tmp_path_factory.mktemp("cache"))


def test_captured_states_scatter_around_the_truth_as_announced(library: Library) -> None:
    plan = SynthesisPlan(
        gain_dn_per_e=(1.0, 4.0),
        ratio=(20.0, 60.0),
        gaussian_share=0.5,
        misjudged_share=0.0,
        merged_share=0.5,
    )
    generator = torch.Generator().manual_seed(2)
    batch = draw_batch(library, plan, 48, 32, generator)
    state, sigma, encoding = stabilised_states(batch, generator)
    clean = encoding.expect(batch.clean, batch.exposures)
    # Where enough electrons are and the transform's end at 0 is far, for captures and Gaussian states alike.
    inside = (clean > 5) & (clean > 4 * sigma)
    spread = ((state - clean) / sigma)[inside]
    assert spread.numel() > 20_000
    # Shared row offsets make neighbours alike, which the bound allows for: 1.5 % of mean, 5 % of variance.
    assert abs(float(spread.mean())) < 0.03
    assert float(spread.var()) == pytest.approx(1.0, abs=0.07)


def test_the_loss_is_least_at_the_truth_and_one_for_the_measurement(library: Library) -> None:
    plan = SynthesisPlan(
        gain_dn_per_e=(1.0, 4.0), ratio=(5.0, 20.0), gaussian_share=0.0, misjudged_share=0.0, merged_share=0.0
    )
    generator = torch.Generator().manual_seed(2)
    batch = draw_batch(library, plan, 16, 32, generator)
    state, sigma, encoding = stabilised_states(batch, generator)
    truth = encoding.expect(batch.clean, batch.exposures)
    assert float(light_loss(truth, batch, encoding, batch.exposures).mean()) < 1e-4
    errors = light_loss(state, batch, encoding, batch.exposures, sigma=sigma)
    assert float(errors.mean()) == pytest.approx(1.0, abs=0.1)


def test_the_posterior_mean_of_light_minimises_the_loss() -> None:
    """The weight may not pull the estimate towards the dark: it depends on the estimate, held constant."""
    generator = torch.Generator().manual_seed(0)
    electrons = torch.where(torch.rand(1, 4, 200, 200, generator=generator) < 0.5, 2.0, 10.0)
    one = torch.ones(1, 4, 1, 1)
    encoding = VarianceStabilised(one, one)
    from rawdiff.train.synthesis import Batch

    frames = torch.ones(1, 1, 200, 200)
    batch = Batch(electrons, electrons, one, one, frames, torch.zeros(1, dtype=torch.bool), electrons, one)
    level = torch.tensor(6.0, requires_grad=True)
    estimate = encoding.expect(level.expand(1, 4, 200, 200))
    relative(light_loss(estimate, batch, encoding, frames)).backward()
    offset = float(electrons.mean()) - 6.0
    # d/dm of (m - x)^2 / (m + 1 + 3/8) over its own size and 0.05: zero where m is the mean of x.
    slope = float(level.grad) if level.grad is not None else float("nan")
    assert abs(slope + 2 * offset / 7.375 / (0.05 + 16 / 7.375)) < 1e-3


def test_cameras_are_drawn_over_the_whole_range() -> None:
    noise = draw_noise(SynthesisPlan(), 4000, torch.Generator().manual_seed(1))
    gain = noise.gain_dn_per_e[:, 1]
    assert float(gain.min()) < 0.07
    assert float(gain.max()) > 20
    assert torch.equal(noise.gain_dn_per_e[:, 1], noise.gain_dn_per_e[:, 2])
    electrons = (noise.read_noise_dn / noise.gain_dn_per_e)[:, 0]
    # The published laws span about half an electron at high gain to dozens at low gain.
    assert 0.1 < float(electrons.quantile(0.01)) < 1.0 < 10 < float(electrons.quantile(0.99)) < 500
