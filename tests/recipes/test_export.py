"""The exported graphs: the same figures as torch, at sizes they were not traced with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from rawdiff.cli.main import app
from rawdiff.errors import ConfigurationError
from rawdiff.recipes import mmse
from rawdiff.recipes.export import (
    EXPORTERS,
    SUFFIXES,
    MmseGraph,
    example_inputs,
    export_onnx,
    largest_difference,
)


def test_the_graph_is_the_recipe() -> None:
    planes, gain, sigma, exposures = example_inputs(64, 128)
    exposures[..., 64:] = 4.0
    with torch.inference_mode():
        graph = MmseGraph(mmse.network()).eval()(planes, gain, sigma, exposures)[0]
    told = gain.flatten(), sigma.flatten(), exposures[0, 0]
    assert torch.allclose(graph, mmse.denoise(planes[0], *told, 1.0), atol=1e-7)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # translators announce their own deprecations
@pytest.mark.parametrize("kind", sorted(EXPORTERS))
def test_exported_graphs_agree_with_torch(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime" if kind == "onnx" else "openvino")
    pytest.importorskip("onnxscript" if kind == "onnx" else "openvino")
    path = tmp_path / f"graph{SUFFIXES[kind]}"
    result = CliRunner().invoke(app, ["export", "mmse", "-o", str(path)])
    assert result.exit_code == 0, result.output
    for size in ((64, 64), (192, 64), (64, 320)):
        apart = largest_difference(path, example_inputs(*size))
        # Sums in another order: single precision, nothing more.
        assert apart is not None and apart < 1e-4
    assert CliRunner().invoke(app, ["export", "mmse", "-o", str(path)]).exit_code == 2


def test_what_cannot_be_exported_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["wavelet-shrink", "-o", "a.onnx"], ["mmse", "-o", "a.pb"]):
        assert CliRunner().invoke(app, ["export", *arguments]).exit_code == 2
    wrong = ["mmse", "-o", "a.onnx", "--format", "openvino"]
    assert CliRunner().invoke(app, ["export", *wrong]).exit_code == 2
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigurationError, match=r"not installed.*rawdiff\[export\]"):
        export_onnx(tmp_path / "a.onnx")
    with pytest.raises(ConfigurationError, match="not an exported graph"):
        largest_difference(tmp_path / "a.pt", example_inputs())
