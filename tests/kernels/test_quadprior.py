"""The laws of the quadruple prior: published figures, invariance to light, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from rawdiff_kernels import checks, native, quadprior
from rawdiff_kernels.quadprior import reference
from rawdiff_kernels.routes import Route
from torch import Tensor

MATRIX = quadprior.default_matrix()


def _fixture() -> Tensor:
    """The 16x16 picture that the published module was run on: R of the column, G of the row, B of both."""
    place = torch.arange(16, dtype=torch.float32)
    row, column = place.view(-1, 1), place.view(1, -1)
    red = (0.5 + 0.4 * torch.sin(0.3 * column)).expand(16, 16)
    green = (0.5 + 0.3 * torch.cos(0.25 * row)).expand(16, 16)
    return torch.stack((red, green, 0.2 + 0.5 * (row + column) / 30))[None]


def _photograph(height: int = 48, width: int = 64) -> Tensor:
    """Colours and edges of a photograph's brightness: reflectances 0.02 to 1 under a falling light."""
    generator = torch.Generator().manual_seed(4)
    patches = torch.rand(1, 3, height // 8, width // 8, generator=generator) * 0.98 + 0.02
    light = torch.linspace(0.15, 1.0, width)
    return patches.repeat_interleave(8, 2).repeat_interleave(8, 3) * light


def _published(rgb: Tensor, scale: float, route: Route = "auto") -> Tensor:
    return quadprior.prior(rgb, MATRIX, torch.tensor([scale]), form="published", padding="zero", route=route)


@pytest.mark.parametrize("route", ["auto", "reference"])
@pytest.mark.parametrize(
    ("scale", "means", "at_8_8"),
    [
        (0.0, (-0.064907, -1.831425, 0.34375, -0.183594, -0.160156, 0.126846),
         (0.625335, -2.216586, 1.0, -1.0, 0.0, 0.015476)),
        (-1.0, (-0.078351, -1.793283, 0.34375, -0.183594, -0.160156, 0.077421),
         (0.620072, -2.12927, 1.0, -1.0, 0.0, 0.008722)),
        (1.0, (-0.095914, -1.995436, 0.34375, -0.183594, -0.160156, 0.235496),
         (0.648697, -2.553466, 1.0, -1.0, 0.0, 0.042418)),
    ],
)  # fmt: skip
def test_the_published_form_gives_the_published_modules_values(
    route: Route, scale: float, means: tuple[float, ...], at_8_8: tuple[float, ...]
) -> None:
    """Values of the released module on this picture, to the six digits that were recorded."""
    features = _published(_fixture(), scale, route)[0]
    torch.testing.assert_close(features.mean((1, 2)), torch.tensor(means), atol=1e-5, rtol=0)
    torch.testing.assert_close(features[:, 8, 8], torch.tensor(at_8_8), atol=1e-5, rtol=0)


def test_the_published_border_and_greys() -> None:
    corner = torch.tensor([-0.462369, -1.515303, 0.0, 1.0, -1.0, 0.800131])
    torch.testing.assert_close(_published(_fixture(), 0.0)[0, :, 0, 0], corner, atol=1e-5, rtol=0)
    for grey, hue, chroma in ((0.4, 0.110963, -4.711471), (0.01, 0.124355, -5.433615)):
        features = _published(torch.full((1, 3, 20, 20), grey), 0.0)[0]
        expected = torch.tensor([hue, chroma, 0.0, 0.0, 0.0, 0.0])
        torch.testing.assert_close(features[:, 10, 10], expected, atol=1e-5, rtol=0)
        # Zero padding makes an edge where there is none; the mirrored default does not.
        assert float(features[5, 0, 10]) == pytest.approx(0.472, abs=0.02)
        flat = quadprior.prior(torch.full((1, 3, 20, 20), grey), MATRIX, torch.zeros(1))
        assert float(flat[0, 5].abs().max()) < 1e-6


def test_the_filters_are_those_published() -> None:
    """Sides 5, 5, 9, 15, 37 at scales -2.5 to 2.5; centre .1591559; magnitudes sum to 1."""
    sides = [2 * reference.radius_of(scale) + 1 for scale in (-2.5, -1.0, 0.0, 1.0, 2.5)]
    assert sides == [5, 5, 9, 15, 37]
    bell, slope = reference.taps(torch.tensor(0.0, dtype=torch.float64), 4)
    assert float(bell[0] ** 2) == pytest.approx(0.1591559, abs=1e-6)
    assert float(2 * bell.sum() - bell[0]) == pytest.approx(1.0)
    assert float(2 * slope.abs().sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("color", "ranks"),
    [
        ((0.5, 0.2, 0.3), (1.0, -1.0, 0.0)),
        ((0.1, 0.2, 0.3), (-1.0, 0.0, 1.0)),
        ((0.5, 0.5, 0.2), (0.5, 0.5, -1.0)),
        ((0.5, 0.2, 0.2), (1.0, -0.5, -0.5)),
        ((0.2, 0.5, 0.2), (-0.5, 1.0, -0.5)),
        ((0.4, 0.4, 0.4), (0.0, 0.0, 0.0)),
    ],
)
@pytest.mark.parametrize("route", ["auto", "reference"])
def test_colours_that_tie_share_their_rank(
    color: tuple[float, ...], ranks: tuple[float, ...], route: Route
) -> None:
    picture = torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 2, 5)
    features = quadprior.prior(picture, MATRIX, torch.zeros(1), route=route)
    assert features[0, 2:5, 1, 3].tolist() == list(ranks)


@pytest.mark.parametrize("gain", [0.5, 0.1, 0.01, 1 / 300])
def test_the_invariant_form_does_not_see_the_light(gain: float) -> None:
    """Every pixel, borders included, within 1e-3; H as an angle modulo pi, which is where atan jumps."""
    picture = _photograph()
    bright, dark = (quadprior.prior(rgb, MATRIX, torch.zeros(1))[0] for rgb in (picture, picture * gain))
    assert torch.equal(bright[2:5], dark[2:5])
    assert float(torch.sin(bright[0] - dark[0]).abs().max()) < 1e-3
    assert float((bright[1] - dark[1]).abs().max()) < 1e-3
    assert float((bright[5] - dark[5]).abs().max()) < 1e-3


def test_the_published_form_loses_the_invariance_in_the_dark() -> None:
    """The trap that the default avoids: eps 1e-4 outweighs E^2, and C falls by about 4."""
    picture = _photograph()
    bright, dark = (_published(rgb, 0.0)[0] for rgb in (picture, picture * 0.003))
    assert float((bright[1] - dark[1]).mean()) > 2.0


@pytest.mark.parametrize("form", ["invariant", "published"])
def test_hue_and_chroma_err_no_more_than_twice_the_float32_reference(form: reference.Form) -> None:
    if native.obstacle("quadprior") is not None:
        pytest.skip("no compiled route")
    rgb = torch.rand(2, 3, 90, 110, generator=torch.Generator().manual_seed(8))
    scale = torch.tensor([0.0, 1.3])
    truth = quadprior.prior(rgb.double(), MATRIX.double(), scale.double(), form=form)
    ours, plain = (quadprior.prior(rgb, MATRIX, scale, form=form, route=r) for r in ("cpu", "reference"))
    for channel in (0, 1):
        error, allowed = ((found - truth)[:, channel].abs() for found in (ours, plain))
        assert error.max() <= 2 * allowed.max()
        assert error.mean() <= 2 * allowed.mean()


@pytest.mark.parametrize("form", ["invariant", "published"])
@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_the_gradients_are_those_of_the_function(form: reference.Form, padding: reference.Padding) -> None:
    """gradcheck (random directions) in float64 on the reference; ranks (O) have none."""
    generator = torch.Generator().manual_seed(3)
    rgb = torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64) + 0.2
    matrix = MATRIX.double() + 0.05 * torch.rand(3, 3, generator=generator, dtype=torch.float64)
    scale = torch.tensor([0.1, -1.2], dtype=torch.float64)

    def smooth(rgb: Tensor, matrix: Tensor, scale: Tensor) -> Tensor:
        return quadprior.prior(rgb, matrix, scale, form=form, padding=padding)[:, [0, 1, 5]]

    inputs = tuple(tensor.requires_grad_() for tensor in (rgb, matrix, scale))
    assert torch.autograd.gradcheck(smooth, inputs, fast_mode=True)


def test_each_image_has_its_own_scale_and_only_asked_gradients_come() -> None:
    rgb = _photograph(16, 24).expand(2, 3, 16, 24).clone().requires_grad_()
    both = quadprior.prior(rgb, MATRIX, torch.tensor([-1.0, 2.0]))
    alone = quadprior.prior(rgb[1:], MATRIX, torch.tensor([2.0]))
    assert torch.equal(both[1], alone[0])
    both.sum().backward()
    assert rgb.grad is not None and bool(rgb.grad.isfinite().all())


def test_black_pixels_have_a_value() -> None:
    features = quadprior.prior(torch.zeros(1, 3, 5, 5), MATRIX, torch.zeros(1))
    assert features[0, 0].abs().max() == 0 and features[0, 5].abs().max() == 0
    assert float(features[0, 1, 2, 2]) == pytest.approx(math.log(1e-4), rel=1e-6)


@pytest.mark.parametrize("route", ["auto", "reference"])
def test_what_has_no_value_is_not_given_one(route: Route) -> None:
    """A NaN spreads over H, C and W as far as the filters reach; ranks compare what can be compared."""
    picture = _photograph(16, 40)
    spoiled = picture.clone()
    spoiled[0, 2, 8, 20] = float("nan")
    scale = torch.zeros(1)
    clean, found = (quadprior.prior(rgb, MATRIX, scale, route=route)[0] for rgb in (picture, spoiled))
    seen = torch.zeros(16, 40, dtype=torch.bool)
    seen[4:13, 16:25] = True
    for channel in (0, 1, 5):
        assert torch.equal(found[channel].isnan(), seen)
        assert torch.equal(found[channel][~seen], clean[channel][~seen])
    away = torch.ones(16, 40, dtype=torch.bool)
    away[8, 20] = False
    assert torch.equal(found[2:5, away], clean[2:5, away])
    red, green = (float(spoiled[0, plane, 8, 20]) for plane in (0, 1))
    half = 0.5 * ((red > green) - (red < green))
    assert found[2:5, 8, 20].tolist() == [half, -half, 0.0]


RGB = torch.rand(1, 3, 4, 4)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((RGB[0], MATRIX, torch.zeros(1)), {}, r"rgb has shape \[3, 4, 4\]"),
        ((RGB[:, :2], MATRIX, torch.zeros(1)), {}, "rgb"),
        ((RGB.half(), MATRIX, torch.zeros(1)), {}, "float16"),
        ((RGB, MATRIX[:2], torch.zeros(1)), {}, "matrix"),
        ((RGB, MATRIX.double(), torch.zeros(1)), {}, "matrix has dtype float64"),
        ((RGB, MATRIX, torch.zeros(2)), {}, "scale"),
        ((RGB, MATRIX, torch.full((1,), 5.0)), {}, "log2"),
        ((RGB, MATRIX, torch.zeros(1, device="meta")), {}, "meta"),
        ((RGB, MATRIX, torch.zeros(1)), {"eps": 0.0}, "eps"),
        ((RGB, MATRIX, torch.zeros(1)), {"eps": 1e-40}, "eps must be at least 1e-37"),
        ((RGB, MATRIX, torch.zeros(1)), {"form": "paper"}, "form"),
        ((RGB, MATRIX, torch.zeros(1)), {"padding": "edge"}, "padding"),
        ((RGB, MATRIX, torch.zeros(1)), {"route": "gpu"}, "gpu route of quadprior"),
        ((RGB.double(), MATRIX.double(), torch.zeros(1).double()), {"route": "cpu"}, "float64"),
    ],
)
def test_wrong_arguments_are_refused_by_name(
    arguments: tuple[Tensor, ...], options: dict[str, object], words: str
) -> None:
    with pytest.raises(checks.KernelError, match=words):
        quadprior.prior(*arguments, **options)  # type: ignore[arg-type]
