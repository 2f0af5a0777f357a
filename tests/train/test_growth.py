"""Starting from trained weights: the same answer at the start, whatever grew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from rawdiff.errors import ConfigurationError
from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.networks.weights import save_weights
from rawdiff.train.growth import start_from
from rawdiff.train.loop import Run
from rawdiff.train.photographs import Photograph
from rawdiff.train.plan import TrainingPlan

WIDTHS = (8, 12)


def _trained(path: Path, network: nn.Module, architecture: str = "stabilised-unet") -> nn.Module:
    """Weights that are not those of a fresh network, stored as they are."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    save_weights(path, network.state_dict(), architecture, network.config, half=False)  # type: ignore[arg-type]
    return network


def _ask(network: nn.Module) -> torch.Tensor:
    state = 5 + torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        answer = network(state, torch.ones(1, 1, 1, 1), torch.full((1, 4, 1, 1), 1.3))
        return answer if isinstance(answer, torch.Tensor) else answer.mixed()


def test_a_network_that_grew_by_blocks_answers_as_before(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    small = _trained(path, StabilisedDenoiser(WIDTHS, (1, 1)))
    grown = StabilisedDenoiser(WIDTHS, (3, 2))
    told = start_from(grown, path)
    assert told.startswith("small.safetensors sha256 ")
    assert torch.equal(_ask(grown), _ask(small))
    fresh = [parameter for name, parameter in grown.named_parameters() if ".2.second." in name]
    assert fresh and all(bool((parameter == 0).all()) for parameter in fresh)


def test_exposure_starts_with_the_answer_of_mmse(tmp_path: Path) -> None:
    """Exactly so where the gates of the planes agree: the adaptive residual has one map for all of them."""
    path = tmp_path / "mmse.safetensors"
    network = StabilisedDenoiser(WIDTHS, (1, 1))
    _trained(path, network)
    with torch.no_grad():
        for tensor in (network.unet.outlet.weight, network.unet.outlet.bias):
            gates = tensor[:16].reshape(4, 4, *tensor.shape[1:])
            gates.copy_(gates[:1].expand_as(gates).clone())
    save_weights(path, network.state_dict(), "stabilised-unet", network.config, half=False)
    exposure = ExposureNetwork(WIDTHS, (1, 1))
    start_from(exposure, path)
    assert torch.allclose(_ask(exposure), _ask(network), atol=1e-5)


def test_weights_without_a_place_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.safetensors"
    _trained(path, StabilisedDenoiser(WIDTHS, (2, 1)))
    for network in (StabilisedDenoiser(WIDTHS, (1, 1)), StabilisedDenoiser((8, 16), (2, 1))):
        with pytest.raises(ConfigurationError, match="no place"):
            start_from(network, path)
    _trained(path, ExposureNetwork(WIDTHS, (1, 1)), "exposure-unet")
    with pytest.raises(ConfigurationError, match="cannot start"):
        start_from(StabilisedDenoiser(WIDTHS, (1, 1)), path)


def test_a_run_starts_from_weights_and_remembers_them(tmp_path: Path) -> None:
    path = tmp_path / "mmse.safetensors"
    given = _trained(path, StabilisedDenoiser((6, 8), (1, 1)))
    coarse = np.random.default_rng(4).integers(0, 255, (12, 12, 3), np.uint8)
    Image.fromarray(coarse).resize((180, 170), Image.Resampling.BICUBIC).save(tmp_path / "one.png")
    plan = TrainingPlan(
        batch=2, side=16, warmup=2, widths=(6, 8), blocks=(2, 1), reductions=(1,), leaves=0, leaves_share=0.0
    )
    photographs = [Photograph(str(tmp_path / "one.png"))]
    run = Run(plan, photographs, tmp_path / "run", weights=path)
    # Training and its average both begin there.
    assert torch.allclose(_ask(run.averaged_network()), _ask(given), atol=1e-5)
    run.step()
    run.save()
    again = Run(plan, photographs, tmp_path / "run", resume=True)
    assert again.progress.started_from == run.progress.started_from != ""
    for name, tensor in run.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name]), name
    with pytest.raises(ConfigurationError, match="another plan"):
        Run(replace(plan, blocks=(1, 1)), photographs, tmp_path / "run", resume=True)
