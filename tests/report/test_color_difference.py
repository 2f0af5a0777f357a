"""CIEDE2000 against the authors' test data and a peer."""

from __future__ import annotations

import pytest
import torch

from rawdiff.report.color_difference import ciede2000, lab_of, render_lab
from rawdiff.simulate.cameras import NAMES, find

# Sharma, Wu and Dalal (2005), table 1, pairs 1, 4, 7, 9, 13, 17, 20, 25, 31, 34: L, a, b twice, difference.
PAIRS = (
    (50.0, 2.6772, -79.7751, 50.0, 0.0, -82.7485, 2.0425),
    (50.0, -1.3802, -84.2814, 50.0, 0.0, -82.7485, 1.0),
    (50.0, 0.0, 0.0, 50.0, -1.0, 2.0, 2.3669),
    (50.0, 2.4900, -0.0010, 50.0, -2.4900, 0.0009, 7.1792),
    (50.0, -0.0010, 2.4900, 50.0, 0.0009, -2.4900, 4.8045),
    (50.0, 2.5, 0.0, 73.0, 25.0, -18.0, 27.1492),
    (50.0, 2.5, 0.0, 58.0, 24.0, 15.0, 19.4535),
    (60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644),
    (22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373),
    (2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082),
)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_authors_pairs_come_out_to_their_last_digit(pair: tuple[float, ...]) -> None:
    first = torch.tensor(pair[:3], dtype=torch.float64)
    second = torch.tensor(pair[3:6], dtype=torch.float64)
    assert float(ciede2000(first, second)) == pytest.approx(pair[6], abs=5e-5)
    assert float(ciede2000(second, first)) == pytest.approx(pair[6], abs=5e-5)


def test_random_colours_agree_with_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([[100.0], [200.0], [200.0]], dtype=torch.float64)
    first, second = (
        torch.rand(3, 500, generator=generator, dtype=torch.float64) * scale
        - torch.tensor([[0.0], [100.0], [100.0]])
        for _ in range(2)
    )
    peer = color.deltaE_ciede2000(first.T.numpy(), second.T.numpy())
    assert ciede2000(first, second).numpy() == pytest.approx(peer, abs=1e-9)


def test_white_has_no_colour_and_equal_pictures_no_difference() -> None:
    assert lab_of(torch.ones(3, 1)).flatten().tolist() == pytest.approx([100.0, 0.0, 0.0], abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_camera_makes_of_white_is_shown_white(name: str) -> None:
    """White under D65, as the camera records it, not white-balanced."""
    camera = find(name)
    red, green, blue = camera.from_srgb().sum(dim=1).tolist()
    planes = torch.tensor([red, green, green, blue]).view(4, 1, 1).expand(4, 2, 2)
    lab = render_lab(planes, camera)
    assert lab[:, 0, 0].tolist() == pytest.approx([100.0, 0.0, 0.0], abs=0.02)
    assert float(ciede2000(lab, lab).max()) == 0.0
