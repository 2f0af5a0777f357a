from __future__ import annotations

import hashlib
import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from rawdiff.color.icc import make_icc_profile
from rawdiff.color.spaces import SPACES, Matrix, OutputSpace

SPACE_NAMES: tuple[OutputSpace, ...] = ("srgb", "display-p3", "rec2020")


def convert(source: bytes, target: bytes | None, pixels: np.ndarray) -> np.ndarray:
    """Map 8-bit RGB pixels by lcms, relative colorimetric; None is lcms's own sRGB."""
    first = ImageCms.ImageCmsProfile(io.BytesIO(source))
    second = (
        ImageCms.createProfile("sRGB") if target is None else ImageCms.ImageCmsProfile(io.BytesIO(target))
    )
    transform = ImageCms.buildTransform(
        first, second, "RGB", "RGB", renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    mapped = ImageCms.applyTransform(Image.fromarray(pixels), transform)
    assert mapped is not None
    return np.asarray(mapped)


def through_xyz(source: OutputSpace, target: OutputSpace, pixels: np.ndarray) -> Matrix:
    linear = SPACES[source].transfer.decode(pixels / 255.0) @ SPACES[source].to_xyz().T
    return SPACES[target].transfer.encode(linear @ np.linalg.inv(SPACES[target].to_xyz()).T) * 255


@pytest.mark.parametrize("space", SPACE_NAMES)
def test_the_profile_is_whole_and_names_itself(space: OutputSpace) -> None:
    data = make_icc_profile(space)
    assert data == make_icc_profile(space)
    assert struct.unpack(">I", data[:4])[0] == len(data)
    assert data[8:12] == b"\x04\x40\0\0" and data[36:40] == b"acsp"
    unsigned = data[:84] + b"\0" * 16 + data[100:]
    assert data[84:100] == hashlib.md5(unsigned, usedforsecurity=False).digest()
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    assert ImageCms.getProfileDescription(profile).strip() == SPACES[space].name
    primaries = [profile.profile.red_primary, profile.profile.green_primary, profile.profile.blue_primary]
    assert all(primary is not None for primary in primaries)


@pytest.mark.parametrize("space", SPACE_NAMES)
def test_greys_stay_grey(space: OutputSpace) -> None:
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    mapped = convert(make_icc_profile(space), None, greys).astype(int)
    assert (mapped.max(axis=2) - mapped.min(axis=2)).max() <= 1
    if SPACES[space].transfer == SPACES["srgb"].transfer:
        assert np.abs(mapped - greys).max() <= 1


@pytest.mark.parametrize(("source", "target"), [("srgb", "display-p3"), ("srgb", "rec2020")])
def test_lcms_maps_colours_as_the_matrices_do(source: OutputSpace, target: OutputSpace) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    mapped = convert(make_icc_profile(source), make_icc_profile(target), pixels)
    # Both whites are D65, so the adaptation cancels; lcms rounds its 8-bit path by about one count.
    assert np.abs(mapped - through_xyz(source, target, pixels)).max() < 1.6


def test_our_srgb_is_everyones_srgb() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    mapped = convert(make_icc_profile("srgb"), None, pixels).astype(int)
    assert np.abs(mapped - pixels).max() <= 1
