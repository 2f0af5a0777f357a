"""Weights on disk: safetensors with their own description, named by the hash of their content."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rawdiff.errors import ConfigurationError, DamagedFileError
from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.quadprior import QuadPriorNetwork
from rawdiff.networks.relight import WaveletRelight
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.networks.unet import to_fast_layout

Network = StabilisedDenoiser | ExposureNetwork | WaveletRelight | QuadPriorNetwork

ARCHITECTURES: dict[str, type[Network]] = {
    "stabilised-unet": StabilisedDenoiser,
    "exposure-unet": ExposureNetwork,
    "wavelet-relight": WaveletRelight,
    "quadprior-unet": QuadPriorNetwork,
}


def identity(path: Path) -> str:
    """SHA-256 of the file, the name of these weights in every output's provenance."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_weights(
    path: Path, tensors: dict[str, Tensor], architecture: str, config: dict[str, Any], half: bool = True
) -> None:
    """Write weights, as fp16 unless told otherwise, whole or not at all.

    Raises:
        ConfigurationError: a value that half precision cannot hold.
    """
    from safetensors.torch import save

    dtype = torch.float16 if half else torch.float32
    stored = {name: tensor.detach().cpu().to(dtype).contiguous() for name, tensor in tensors.items()}
    if not all(torch.isfinite(tensor).all() for tensor in stored.values()):
        raise ConfigurationError("weights beyond the range of half precision", hint="store them as fp32")
    described = {"architecture": architecture, "config": json.dumps(config, sort_keys=True)}
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        file.write(save(stored, metadata=described))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load_network(path: Path) -> Network:
    """Build the network a weights file describes, in fp32, ready for inference.

    Raises:
        ConfigurationError: no such file, or an architecture this version does not have.
        DamagedFileError: not a weights file, or it does not fit its description.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ConfigurationError("no such weights", where=path, hint="train them with 'rawdiff train'")
    try:
        with safe_open(path, framework="pt") as file:
            described = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(f"the weights cannot be read: {error}", where=path) from error
    build = ARCHITECTURES.get(described.get("architecture", ""))
    if build is None:
        known = ", ".join(ARCHITECTURES)
        raise ConfigurationError("weights of an unknown architecture", where=path, hint=f"known: {known}")
    network = build(**json.loads(described["config"]))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise DamagedFileError("the weights do not fit their description", where=path) from error
    to_fast_layout(network)
    return network.eval().requires_grad_(False)
