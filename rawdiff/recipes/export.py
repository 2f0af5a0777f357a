"""The mmse recipe as one graph, for programs that embed it: noisy planes and noise in, clean planes out.

The graph holds the stabilising transform, the network, the exact inverse and the agreement with the light
measured, so what runs it needs no mathematics of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rawdiff.errors import ConfigurationError, missing_extra
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.networks.weights import identity
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.raw.atomic import write_whole
from rawdiff.recipes import mmse
from rawdiff.recipes.border import inside, mirror_beyond, mirror_map

INPUTS = ("planes", "gain", "sigma", "exposures")
OUTPUT = "clean"
_SIDE = 2 * mmse.BLOCK
_OPSET = 18


class MmseGraph(nn.Module):
    """`mmse.denoise` at full strength on a frame whose sides are multiples of `mmse.BLOCK`, packed."""

    def __init__(self, network: StabilisedDenoiser) -> None:
        super().__init__()
        self.network = network

    def forward(self, planes: Tensor, gain: Tensor, sigma: Tensor, exposures: Tensor) -> Tensor:
        """Denoise.

        Args:
            planes: `[1, 4, h, w]` R, Gr, Gb, B; black 0, white 1, negatives kept.
            gain: what one electron adds in one frame, `[1, 4, 1, 1]`.
            sigma: standard deviation in the dark of one frame, `[1, 4, 1, 1]`.
            exposures: effective exposures, `[1, 1, h, w]`; 1 for a single frame.

        Returns:
            `[1, 4, h, w]`.
        """
        encoding, frames = VarianceStabilised(gain, sigma), mirror_map(exposures)
        state = encoding.encode(mirror_beyond(planes[0])[None], frames)
        estimate = self.network(state, 1 / torch.sqrt(frames), encoding.floor(frames))
        clean = inside(encoding.decode(estimate, frames))
        return mmse.agree_with_light(clean[0], planes[0], mmse.BLOCK)[None]


def example_inputs(height: int = _SIDE, width: int = _SIDE) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs of the graph: a dark frame of smooth light with its noise, seeded."""
    generator = torch.Generator().manual_seed(0)
    light = 20 + 20 * torch.sin(torch.linspace(0, 9, height))[:, None] * torch.cos(
        torch.linspace(0, 7, width)
    )
    counts = torch.poisson(light.clamp(min=0).expand(1, 4, height, width), generator=generator)
    gain, sigma = torch.full((1, 4, 1, 1), 1 / 4000), torch.full((1, 4, 1, 1), 1 / 2000)
    noisy = gain * counts + sigma * torch.randn(counts.shape, generator=generator)
    return noisy, gain, sigma, torch.ones(1, 1, height, width)


def export_onnx(path: Path, overwrite: bool = False) -> None:
    """Write the recipe as ONNX, height and width free.

    Raises:
        ConfigurationError: the packages are not installed, or the file exists.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  what torch translates by
    except ImportError as error:
        raise missing_extra(error.name or "onnx", "export") from None
    graph = MmseGraph(mmse.network()).eval()
    high, wide = (torch.export.Dim(name, min=1, max=512) * mmse.BLOCK for name in ("rows", "columns"))
    free = {2: high, 3: wide}
    with _unheard_warnings():
        program = torch.onnx.export(
            graph,
            example_inputs(_SIDE, _SIDE + mmse.BLOCK),
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_shapes={"planes": free, "gain": {}, "sigma": {}, "exposures": free},
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {"rawdiff": "mmse", "weights": identity(mmse.WEIGHTS)})
    with write_whole(path, overwrite) as part:
        part.write_bytes(model.SerializeToString())


def export_openvino(path: Path, overwrite: bool = False) -> None:
    """Write the recipe as OpenVINO IR, `.xml` and the `.bin` beside it, weights in half precision.

    Raises:
        ConfigurationError: the package is not installed, or a file exists.
    """
    try:
        import openvino
    except ImportError:
        raise missing_extra("openvino", "openvino") from None
    graph = MmseGraph(mmse.network()).eval()
    frame, figures = [1, 4, -1, -1], [1, 4, 1, 1]
    with torch.inference_mode(), _unheard_warnings():
        model = openvino.convert_model(
            graph, example_input=example_inputs(), input=[frame, figures, figures, [1, 1, -1, -1]]
        )
    for port, name in zip(model.inputs, INPUTS, strict=True):
        port.get_tensor().set_names({name})
    model.outputs[0].get_tensor().set_names({OUTPUT})
    weights = path.with_suffix(".bin")
    with write_whole(weights, overwrite) as part_bin, write_whole(path, overwrite) as part_xml:
        # OpenVINO insists on its own suffixes, so it writes beside and the files are taken from there.
        beside = part_xml.with_name(part_xml.name + ".xml")
        try:
            openvino.save_model(model, beside, compress_to_fp16=True)
            beside.replace(part_xml)
            beside.with_suffix(".bin").replace(part_bin)
        finally:
            beside.unlink(missing_ok=True)
            beside.with_suffix(".bin").unlink(missing_ok=True)


@contextmanager
def _unheard_warnings() -> Iterator[None]:
    """Translators warn of every shape that Python decides on; here each is a matter of the fixed grid."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


EXPORTERS: dict[str, Callable[[Path, bool], None]] = {"onnx": export_onnx, "openvino": export_openvino}
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}


def largest_difference(path: Path, inputs: tuple[Tensor, ...]) -> float | None:
    """Run an exported graph and torch on the same frame; the largest difference in noise standard deviations.

    Returns:
        None where the runtime that the format needs is not installed.

    Raises:
        ConfigurationError: not a suffix of an export.
    """
    if path.suffix not in SUFFIXES.values():
        raise ConfigurationError("not an exported graph", where=path)
    found = _run_onnx(path, inputs) if path.suffix == ".onnx" else _run_openvino(path, inputs)
    if found is None:
        return None
    with torch.inference_mode():
        expected = MmseGraph(mmse.network()).eval()(*inputs)
    _, gain, sigma, exposures = inputs
    noise = torch.sqrt((gain * expected.clamp(min=0) + sigma**2) / exposures)
    return float(((torch.from_numpy(found) - expected) / noise).abs().max())


def _run_onnx(path: Path, inputs: tuple[Tensor, ...]) -> Any:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    told = {name: tensor.numpy() for name, tensor in zip(INPUTS, inputs, strict=True)}
    return session.run([OUTPUT], told)[0]


def _run_openvino(path: Path, inputs: tuple[Tensor, ...]) -> Any:
    try:
        import openvino
    except ImportError:
        return None
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([tensor.numpy() for tensor in inputs])[0]
