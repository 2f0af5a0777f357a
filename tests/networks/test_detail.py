"""The detail restoration of the wavelet enhancer: its published size, its attention, how far it sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rawdiff.networks.detail import CrossAttention, DetailRestoration
from rawdiff.networks.relight import LightLevel, WaveletRelight
from rawdiff.networks.unet import count_parameters


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_published_module_has_its_published_size() -> None:
    # Jiang et al. 2023, width 64: 22,078,917 parameters, two of these and 20,763,651 of the U-Net.
    assert count_parameters(DetailRestoration(3, 64, published=True)) == 657_633


def test_the_shipped_size_is_small() -> None:
    assert 1_000_000 <= count_parameters(WaveletRelight()) <= 3_000_000


def test_an_untrained_module_changes_nothing() -> None:
    bands = draw(2, 3, 3, 10, 14)
    assert torch.equal(DetailRestoration()(bands), bands)


def test_attention_is_a_map_of_channels_for_every_row() -> None:
    torch.manual_seed(1)
    attention = CrossAttention(12)
    maps = attention.weights(draw(2, 12, 7, 20), draw(2, 12, 7, 20, seed=1))
    assert maps.shape == (2, 7, 12, 12)
    assert torch.allclose(maps.sum(-1), torch.ones(2, 7, 12), atol=1e-6)


def keep_centre(attention: CrossAttention) -> None:
    """Let the depthwise kernels see their own pixel only, so that no border distinguishes sizes."""
    for layer in attention.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            with torch.no_grad():
                centre = layer.weight[:, :, 1:2, 1:2].clone()
                layer.weight.zero_()
                layer.weight[:, :, 1:2, 1:2] = centre


@pytest.mark.parametrize("published", [False, True])
def test_normalised_attention_does_not_know_how_wide_the_picture_is(published: bool) -> None:
    torch.manual_seed(2)
    attention = CrossAttention(16, published)
    keep_centre(attention)
    asking, told = draw(1, 16, 3, 32), draw(1, 16, 3, 32, seed=1)
    with torch.no_grad():
        narrow = attention.weights(asking, told)
        wide = attention.weights(asking.repeat(1, 1, 1, 8), told.repeat(1, 1, 1, 8))
    if published:
        assert float((wide - narrow).abs().max()) > 0.05
        assert float(wide.amax(-1).mean()) > float(narrow.amax(-1).mean())
    else:
        assert torch.allclose(wide, narrow, atol=1e-5)


def test_forms_agree_where_a_row_has_64_pixels() -> None:
    asking, told = draw(1, 8, 3, 64), draw(1, 8, 3, 64, seed=1)
    maps = []
    for published in (False, True):
        torch.manual_seed(3)
        maps.append(CrossAttention(8, published).weights(asking, told))
    assert torch.allclose(maps[0], maps[1], atol=1e-6)


def test_a_row_depends_on_rows_within_reach_and_no_further() -> None:
    torch.manual_seed(4)
    module = DetailRestoration(3, 8)
    nn.init.normal_(module.outlet.point.weight)
    bands = draw(1, 3, 3, 48, 12).double()
    module = module.double()
    changed = bands.clone()
    changed[..., 20, :] += 1.0
    moved = (module(changed) - module(bands)).detach().abs().amax(dim=(0, 1, 2, 4))
    rows = moved.nonzero()[:, 0]
    assert (int(rows.min()), int(rows.max())) == (20 - module.reach(), 20 + module.reach())


def test_the_level_of_light_does_not_depend_on_the_gain() -> None:
    level = LightLevel()
    nn.init.normal_(level.law.weight)
    light = draw(2, 20, 30).exp()
    for gain in (1 / 64, 1 / 3, 5.0):
        set_light = (gain * light) * level(gain * light).exp()[:, None, None]
        assert torch.allclose(set_light, light * level(light).exp()[:, None, None], rtol=1e-4)
