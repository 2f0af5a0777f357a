from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rawdiff_calibration.published import load_builtin

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.noise_model import ChosenNoise
from rawdiff.pipeline.profile_maps import apply_profile_maps
from rawdiff.raw.frame import Exposure, FrameTags, Levels, RawFrame, Source

SHAPE = (20, 30)


def make_frame(iso: float = 800.0) -> RawFrame:
    levels = Levels(np.full((2, 2), 512.0), np.full((2, 2), 16383.0))
    tags = FrameTags(exposure=Exposure(time_s=2.0, iso=iso))
    source = Source(Path("a.dng"), "0" * 64, "test")
    return RawFrame(np.full(SHAPE, 600.0, np.float32), "RGGB", levels, tags, source)


def make_chosen(folder: Path, **arrays: np.ndarray) -> ChosenNoise:
    """A profile of the user's with these arrays beside it, black level as the frame's, bias 1 DN on red."""
    np.savez(folder / "p.npz", **arrays)  # type: ignore[arg-type]
    digest = hashlib.sha256((folder / "p.npz").read_bytes()).hexdigest()
    profile = load_builtin("SonyA7S2")
    levels = replace(profile.levels, black_dn=(512.0, 512.0, 512.0, 512.0))
    profile = replace(profile, levels=levels, maps={"file": "p.npz", "sha256": digest})
    model = replace(profile.noise_model(800.0, 16383.0), bias_dn=(1.0, 0.0, 0.0, 0.0))
    return ChosenNoise(model, "test", (), profile, folder / "p.json")


def test_shading_bias_and_defects_reach_the_frame(tmp_path: Path) -> None:
    shading, codes = np.zeros(SHAPE, np.float16), np.zeros(SHAPE, np.uint8)
    shading[2, 4], codes[5, 6] = 8.0, 1
    rate = np.full(SHAPE, 0.5, np.float16)
    chosen = make_chosen(
        tmp_path, dark_shading_dn_iso_800=shading, dark_rate_dn_per_s_iso_800=rate, defects=codes
    )
    frame, applied = apply_profile_maps(make_frame(), chosen)
    assert applied.dark_shading == "of ISO 800" and applied.defects == 1
    assert frame.defects is not None and frame.defects[5, 6] and frame.defects.sum() == 1
    assert frame.mosaic_dn[2, 4] == 600 - 8 - 0.5 * 2 - 1  # a red site: shading, two seconds, bias
    assert frame.mosaic_dn[2, 5] == 600 - 0.5 * 2


def test_shading_between_two_measured_isos_is_their_line(tmp_path: Path) -> None:
    """1 DN at ISO 400, at ISO 1200 5 DN and 0.5 DN/s: at ISO 800 the mean of both, after 2 s."""
    maps = {f"dark_shading_dn_iso_{iso}": np.full(SHAPE, dn, np.float16) for iso, dn in ((400, 1), (1200, 5))}
    chosen = make_chosen(tmp_path, **maps, dark_rate_dn_per_s_iso_1200=np.full(SHAPE, 0.5, np.float16))
    frame, applied = apply_profile_maps(make_frame(), chosen)
    assert applied.dark_shading == "between ISO 400 and 1200"
    assert frame.mosaic_dn[0, 1] == 600 - 0.5 * 1 - 0.5 * (5 + 0.5 * 2)


@pytest.mark.parametrize(("iso", "size"), [(3200.0, SHAPE), (800.0, (10, 10))])
def test_maps_that_do_not_fit_are_left_aside(tmp_path: Path, iso: float, size: tuple[int, int]) -> None:
    chosen = make_chosen(
        tmp_path, dark_shading_dn_iso_800=np.ones(size, np.float16), defects=np.ones((4, 4), np.uint8)
    )
    frame, applied = apply_profile_maps(make_frame(iso), chosen)
    assert applied.dark_shading.startswith("none: ") and applied.defects == 0
    assert frame.mosaic_dn[1, 1] == 600


def test_other_maps_under_the_name_are_refused(tmp_path: Path) -> None:
    chosen = make_chosen(tmp_path, defects=np.zeros(SHAPE, np.uint8))
    np.savez(tmp_path / "p.npz", defects=np.ones(SHAPE, np.uint8))
    with pytest.raises(ConfigurationError, match="not the maps of this profile"):
        apply_profile_maps(make_frame(), chosen)
    (tmp_path / "p.npz").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        apply_profile_maps(make_frame(), chosen)


def test_without_a_profile_of_the_user_nothing_changes() -> None:
    frame = make_frame()
    chosen = ChosenNoise(load_builtin("SonyA7S2").noise_model(800.0, 16383.0), "built in")
    assert apply_profile_maps(frame, chosen)[0] is frame
