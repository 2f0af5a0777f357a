"""The networks: shapes, tiles, weights on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rawdiff.errors import ConfigurationError, DamagedFileError
from rawdiff.networks import strips
from rawdiff.networks.condition import blur
from rawdiff.networks.exposure import ExposureNetwork
from rawdiff.networks.residual import AdaptiveResidual
from rawdiff.networks.stabilised import StabilisedDenoiser
from rawdiff.networks.unet import UNet, count_parameters, pad_to
from rawdiff.networks.weights import identity, load_network, save_weights
from rawdiff.tiles import plan_tiles

SMALL = {"widths": (8, 12, 16), "blocks": (1, 1, 1)}


def _shaken(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every weight a value, since a fresh network answers with zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
    return network.eval().requires_grad_(False)


def _state(height: int, width: int) -> torch.Tensor:
    return 5 + torch.randn(1, 4, height, width, generator=torch.Generator().manual_seed(3))


def test_the_answer_has_the_shape_of_any_input() -> None:
    network = _shaken(StabilisedDenoiser(**SMALL))
    for height, width in ((16, 16), (17, 23), (1, 2), (30, 8)):
        state = _state(height, width)
        assert network(state, torch.ones(1), torch.ones(1)).shape == state.shape
        assert network(state, torch.ones_like(state), torch.ones_like(state)).shape == state.shape


def test_nothing_beyond_the_halo_is_seen() -> None:
    network = _shaken(StabilisedDenoiser(**SMALL))
    halo = network.halo
    side = 2 * halo + 3 * network.align
    state = _state(side, side)
    changed = state.clone()
    row = side // 2
    changed[..., row, row] += 10.0
    moved = network(state, torch.ones(1), torch.ones(1)) != network(changed, torch.ones(1), torch.ones(1))
    rows = moved.any(dim=1)[0].any(dim=1).nonzero().flatten()
    assert row in rows
    assert row - int(rows.min()) <= halo
    assert int(rows.max()) - row <= halo


def test_tiled_equals_untiled() -> None:
    network = _shaken(StabilisedDenoiser(**SMALL))
    height, width = 150, 203
    state, sigma = _state(height, width), torch.rand(1, 4, height, width) + 0.5
    whole = network(state, sigma, torch.ones(1))
    pieced = torch.full_like(state, torch.nan)
    for tile in plan_tiles(height, width, 56, network.halo, network.align):
        window = (..., *tile.outer)
        part = network(state[window], sigma[window], torch.ones(1))
        pieced[(..., *tile.inner)] = part[(..., *tile.inner_in_outer)]
    # Convolution kernels may sum in another order for another size: a few units in the last place.
    assert torch.allclose(pieced, whole, rtol=0, atol=2e-5)


@pytest.mark.parametrize("size", [(1, 2), (17, 23), (150, 203)])
@pytest.mark.parametrize("kind", [StabilisedDenoiser, ExposureNetwork])
def test_strips_give_the_whole_frame(
    size: tuple[int, int], kind: type[StabilisedDenoiser | ExposureNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "_STRIP_CELLS", 1200)  # strips of 16 to 48 rows
    network = _shaken(kind(**SMALL))
    state, floor = _state(*size), torch.full((1, 4, 1, 1), 1.5)
    for sigma in (torch.ones(1), torch.rand(1, 4, *size) + 0.5, torch.rand(1, 1, *size) + 0.5):
        whole, pieced = _light(network(state, sigma, floor)), torch.full_like(state, torch.nan)
        written = []

        def write(rows: slice, estimate: object, into: torch.Tensor = pieced, seen: list = written) -> None:
            into[:, :, rows] = _light(estimate)
            seen.extend(range(rows.start, rows.stop))

        network.in_strips(state, sigma, floor, write)
        assert written == list(range(size[0]))
        assert torch.allclose(pieced, whole, rtol=0, atol=2e-5)


def _light(answer: object) -> torch.Tensor:
    return answer.mixed() if isinstance(answer, AdaptiveResidual) else answer


def test_a_fresh_network_starts_between_blur_and_measurement() -> None:
    network = StabilisedDenoiser(**SMALL)
    state = _state(16, 16)
    answer = network(state, torch.ones(1), torch.ones(1))
    gate = torch.sigmoid(torch.tensor(-2.0))
    assert torch.allclose(answer, blur(state) + gate * (state - blur(state)), atol=1e-6)


def test_blur_keeps_a_flat_field_and_padding_repeats_the_edge() -> None:
    flat = torch.full((1, 4, 9, 11), 2.5)
    assert torch.allclose(blur(flat), flat)
    padded = pad_to(_state(5, 6), 8)
    assert padded.shape == (1, 4, 8, 8)
    assert torch.equal(padded[..., 4, :6], padded[..., 7, :6])


def test_published_widths_have_the_stated_size() -> None:
    assert count_parameters(StabilisedDenoiser()) < 4_000_000  # 8 MB in half precision
    with pytest.raises(ValueError, match="widths"):
        UNet(4, 4, (8, 8), (1,))


def test_adaptive_residual_mixes_between_its_two_answers() -> None:
    state = _state(4, 4)
    base, sigma = state + 1, torch.full_like(state, 0.5)
    answer = torch.zeros(1, 9, 4, 4)
    answer[:, 0], answer[:, 1:5] = 100.0, 2.0
    assert torch.allclose(AdaptiveResidual.split(answer, base, state, sigma).mixed(), state + 2)
    answer[:, 0], answer[:, 5:] = -100.0, -4.0
    assert torch.allclose(AdaptiveResidual.split(answer, base, state, sigma).mixed(), state - 2)
    with pytest.raises(ValueError, match="channels"):
        AdaptiveResidual.split(answer[:, :8], base, state, sigma)


def test_weights_come_back_as_they_went(tmp_path: Path) -> None:
    network = _shaken(StabilisedDenoiser(**SMALL))
    path = tmp_path / "net.safetensors"
    save_weights(path, network.state_dict(), "stabilised-unet", network.config, half=False)
    assert len(identity(path)) == 64
    back = load_network(path)
    state = _state(16, 16)
    for name, tensor in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)
    save_weights(path, network.state_dict(), "stabilised-unet", network.config)
    coarse = load_network(path)(state, torch.ones(1), torch.ones(1))
    assert torch.allclose(coarse, network(state, torch.ones(1), torch.ones(1)), atol=0.02)
    assert list(tmp_path.iterdir()) == [path]


def test_unusable_weights_are_named(tmp_path: Path) -> None:
    network = StabilisedDenoiser(**SMALL)
    path = tmp_path / "net.safetensors"
    with pytest.raises(ConfigurationError, match="no such weights"):
        load_network(path)
    save_weights(path, network.state_dict(), "another", network.config)
    with pytest.raises(ConfigurationError, match="unknown architecture"):
        load_network(path)
    save_weights(path, network.state_dict(), "stabilised-unet", {"widths": [4, 4], "blocks": [1, 1]})
    with pytest.raises(DamagedFileError, match="fit"):
        load_network(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedFileError, match="cannot be read"):
        load_network(path)
    huge = {name: tensor + 1e6 for name, tensor in network.state_dict().items()}
    with pytest.raises(ConfigurationError, match="half precision"):
        save_weights(path, huge, "stabilised-unet", network.config)
