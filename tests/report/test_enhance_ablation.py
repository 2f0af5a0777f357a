"""The ablation table: every network of a folder, the whole one first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rawdiff.cli.evaluate_enhance import EnhanceRequest, choose_part, evaluate_enhance
from rawdiff.errors import ConfigurationError, InputError
from rawdiff.networks.quadprior import QuadPriorNetwork
from rawdiff.networks.weights import save_weights


def test_networks_are_compared_with_the_whole_one(tmp_path: Path) -> None:
    coarse = np.random.default_rng(4).integers(0, 255, (8, 12, 3), np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(coarse).resize((96, 64), Image.Resampling.BICUBIC).save(tmp_path / "photos" / "one.png")
    request = EnhanceRequest(tmp_path / "photos", choose_part(ablate=True), (), 0, tmp_path)
    with pytest.raises(InputError, match="no weights"):
        evaluate_enhance(request)
    for seed, name in enumerate(("no-hue", "all")):
        torch.manual_seed(seed)
        network = QuadPriorNetwork((6, 8), (1, 1), hue=name == "all")
        torch.nn.init.normal_(network.unet.outlet.weight, std=0.05)
        path = tmp_path / f"{name}.safetensors"
        save_weights(path, network.state_dict(), "quadprior-unet", network.config)
    (table,), figures = evaluate_enhance(request)
    assert [row["network"] for row in table.rows] == ["all", "no-hue"]
    assert table.rows[1]["ramp"] == pytest.approx(figures["no-hue"]["ramp"] - figures["all"]["ramp"])
    assert set(figures["all"]) == {"even", "ramp", "own-ramp", "pool", "own-pool", "lamps", "own-lamps"}
    with pytest.raises(ConfigurationError, match="--ablate"):
        evaluate_enhance(EnhanceRequest(tmp_path / "photos", "ablate", (), 0))
