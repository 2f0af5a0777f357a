"""Starting a run from trained weights: of the same network, of one with fewer blocks, or of a simpler recipe.

A new residual block begins as the identity, so a network that grows by blocks begins as the one it grew from
(Chen, Goodfellow and Shlens, "Net2Net: accelerating learning via knowledge transfer", ICLR 2016).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from rawdiff.errors import ConfigurationError
from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.networks.weights import identity, load_network

_INLET = "unet.inlet.weight"
_OUTLET = ("unet.outlet.weight", "unet.outlet.bias")


def start_from(network: nn.Module, path: Path) -> str:
    """Give a fresh network the weights of a file, and return what to remember: its name and hash.

    Args:
        network: freshly built; blocks that the file does not have stay as they are, the identity.
        path: weights of the same architecture; an exposure network also starts from those of `mmse`, whose
            answer it then gives at every step; what it is shown beyond that begins unseen.

    Raises:
        ConfigurationError: weights of another architecture, of other widths, or of more blocks.
    """
    source = load_network(path)
    given: dict[str, Tensor] = dict(source.state_dict())
    if isinstance(network, ExposureNetwork) and isinstance(source, StabilisedDenoiser):
        given |= {name: _as_exposure_outlet(given[name]) for name in _OUTLET}
    elif type(network) is not type(source):
        raise ConfigurationError(
            f"a {type(network).__name__} cannot start from a {type(source).__name__}", where=path
        )
    own = network.state_dict()
    if isinstance(network, ExposureNetwork):
        given[_INLET] = _widen(given[_INLET], own[_INLET].shape[1])
    unknown = [name for name, tensor in given.items() if name not in own or own[name].shape != tensor.shape]
    if unknown:
        raise ConfigurationError(
            f"the network has no place for '{unknown[0]}' of these weights",
            where=path,
            hint="the same widths, and at least as many blocks",
        )
    network.load_state_dict({**own, **given})
    return f"{path.name} sha256 {identity(path)}"


def _as_exposure_outlet(outlet: Tensor) -> Tensor:
    """Turn the outlet of `mmse` into that of the exposure network.

    base + gate (state - base) + sigma r = (1 - gate) (base + sigma r) + gate (state + sigma r): both branches
    get the residual r, and the mixing map, which is one for all planes, the opposite of the mean gate.
    """
    gate, residual = outlet.chunk(2)
    planes = 4
    mixing = -gate.reshape(planes, -1, *outlet.shape[1:]).mean(dim=0)
    return torch.cat([mixing, residual, residual])


def _widen(inlet: Tensor, channels: int) -> Tensor:
    """Let an inlet see more channels, which begin as though they were not there."""
    more = max(channels - inlet.shape[1], 0)
    return torch.cat([inlet, inlet.new_zeros(inlet.shape[0], more, *inlet.shape[2:])], dim=1)
