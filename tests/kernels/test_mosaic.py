"""The laws of packing a mosaic, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from rawdiff_kernels import mosaic
from rawdiff_kernels.checks import DTypeError, KernelError, RouteError, ShapeError

PHASES = ("RGGB", "BGGR", "GRBG", "GBRG")
LEVELS = {
    "black": (512.0, 510.25, 511.0, 513.5),
    "white": (16383.0, 16300.0, 16383.0, 15000.0),
    "gain": (2.1, 1.0, 1.01, 1.63),
}


@pytest.mark.parametrize("phase", PHASES)
def test_every_plane_comes_from_its_colour(phase: str) -> None:
    """A mosaic whose value names its colour: R 1, green beside red 2, green beside blue 3, B 4."""
    red_row = phase.index("R") // 2
    names = {"R": 1.0, "B": 4.0}
    cell = [names.get(color, 2.0 if place // 2 == red_row else 3.0) for place, color in enumerate(phase)]
    shot = torch.tensor(cell).reshape(2, 2).repeat(3, 5)
    packed = mosaic.pack(shot, phase, (0.0,) * 4, (1.0,) * 4)
    assert packed.shape == (4, 3, 5)
    assert [plane.unique().tolist() for plane in packed] == [[1.0], [2.0], [3.0], [4.0]]


@pytest.mark.parametrize("phase", PHASES)
def test_pack_then_unpack_is_the_identity_for_every_stored_value(phase: str) -> None:
    shot = torch.arange(65536, dtype=torch.int32).reshape(256, 256).to(torch.uint16)
    restored = mosaic.unpack(mosaic.pack(shot, phase, **LEVELS), phase, **LEVELS)
    assert torch.equal(restored.round().to(torch.int32), shot.to(torch.int32))
    assert (restored - shot.to(torch.float32)).abs().max() < 0.02


@pytest.mark.parametrize("phase", PHASES)
def test_placing_without_levels_is_exact(phase: str) -> None:
    shot = torch.randn(14, 22, generator=torch.Generator().manual_seed(1))
    packed = mosaic.pack(shot, phase, (0.0,) * 4, (1.0,) * 4)
    assert torch.equal(mosaic.unpack(packed, phase), shot)


def test_the_law_and_negative_values() -> None:
    shot = torch.tensor([[100.0, 700.0], [512.0, 16383.0]], dtype=torch.float64)
    packed = mosaic.pack(shot, "RGGB", (512.0,) * 4, (16383.0,) * 4, (2.0, 1.0, 1.0, 3.0))
    expected = [(100 - 512) / 15871 * 2, (700 - 512) / 15871, 0.0, 3.0]
    assert packed.flatten().tolist() == pytest.approx(expected, rel=1e-12)
    assert packed[0] < 0


def test_levels_may_be_tensors() -> None:
    shot = torch.full((2, 2), 600.0)
    listed = mosaic.pack(shot, "BGGR", **LEVELS)
    given = {name: torch.tensor(values, dtype=torch.float64) for name, values in LEVELS.items()}
    assert torch.equal(mosaic.pack(shot, "BGGR", **given), listed)


def test_gradients() -> None:
    shot = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(lambda x: mosaic.pack(x, "GRBG", **LEVELS), shot.requires_grad_())
    planes = torch.randn(4, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(lambda x: mosaic.unpack(x, "GBRG", **LEVELS), planes.requires_grad_())


def test_what_is_refused() -> None:
    shot = torch.zeros(4, 6)
    with pytest.raises(DTypeError, match="mosaic has dtype int32, expected uint16 or float32 or float64"):
        mosaic.pack(shot.int(), "RGGB", **LEVELS)
    with pytest.raises(ShapeError, match=r"mosaic has shape \[3, 6\], expected \[H, W\] with both even"):
        mosaic.pack(shot[:3], "RGGB", **LEVELS)
    with pytest.raises(ShapeError, match=r"mosaic has shape \[1, 4, 6\]"):
        mosaic.pack(shot[None], "RGGB", **LEVELS)
    with pytest.raises(ShapeError, match=r"packed has shape \[3, 4, 6\], expected \[4, H/2, W/2\]"):
        mosaic.unpack(torch.zeros(3, 4, 6), "RGGB")
    with pytest.raises(KernelError, match="phase must be one of RGGB, BGGR, GRBG, GBRG, got 'RGB'"):
        mosaic.pack(shot, "RGB", **LEVELS)
    with pytest.raises(ShapeError, match=r"black has shape \[3\]"):
        mosaic.pack(shot, "RGGB", (0.0,) * 3, (1.0,) * 4)
    with pytest.raises(KernelError, match="white must be above black"):
        mosaic.pack(shot, "RGGB", (1.0,) * 4, (1.0,) * 4)
    with pytest.raises(KernelError, match="gain must not be 0"):
        mosaic.pack(shot, "RGGB", (0.0,) * 4, (1.0,) * 4, (1.0, 0.0, 1.0, 1.0))
    with pytest.raises(KernelError, match="white must be finite"):
        mosaic.pack(shot, "RGGB", (0.0,) * 4, (1.0, 1.0, 1.0, float("inf")))
    with pytest.raises(KernelError, match="gain requires a gradient"):
        mosaic.pack(shot, "RGGB", (0.0,) * 4, (1.0,) * 4, torch.ones(4, requires_grad=True))
    with pytest.raises(RouteError, match="the cpu route of mosaic cannot run: float64"):
        mosaic.pack(shot.double(), "RGGB", **LEVELS, route="cpu")
