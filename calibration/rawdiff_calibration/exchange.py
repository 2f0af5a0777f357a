"""Noise figures to and from other programs: DNG NoiseProfile, darktable's noiseprofiles.json.

Both write the variance of data scaled to 0..1 (black 0, white 1) as a straight line: DNG's S x + O per
colour, darktable's a x + b for R, G, B. So K = a (white - black) and floor = b (white - black)^2. Neither
holds row noise, tails or errors; what they lack stays unknown here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from rawdiff_calibration.errors import CalibrationError
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.noise import NoiseModel, ThreeColors
from rawdiff_calibration.profile import (
    IsoFigures,
    ProfileCamera,
    ProfileLevels,
    SensorProfile,
    ThreeFigures,
)

_UNKNOWN = math.nan


class ExchangeError(CalibrationError):
    """A table of another program cannot be read; `where` names the camera or the entry."""


def to_noise_profile(profile: SensorProfile, iso: float, range_dn: ThreeColors) -> tuple[float, ...]:
    """The DNG NoiseProfile tag (51041): S and O of R, G, B in turn, for data scaled by white minus black.

    Raises:
        ValueError: the profile has no noise model at this ISO.
    """
    pairs = profile.noise_model(iso).to_dng(range_dn)
    return tuple(figure for pair in pairs for figure in pair)


def from_noise_profiles(
    tags: Mapping[float, Sequence[tuple[float, float]]], camera: ProfileCamera, range_dn: ThreeColors
) -> SensorProfile:
    """A profile from the NoiseProfile tags of files at several ISOs.

    Args:
        tags: ISO to its (S, O) pairs, one for all colours or one each of R, G, B.
        camera: whose files they are.
        range_dn: white minus black of R, G, B [DN].

    Raises:
        ExchangeError: no tag, or one that cannot be.
    """
    entries = []
    for iso, pairs in tags.items():
        try:
            model = NoiseModel.from_dng(pairs, range_dn)
        except ValueError as error:
            raise ExchangeError(str(error), where=f"NoiseProfile at ISO {iso:g}") from None
        entries.append(_entry(iso, model.gain_dn_per_e, model.read_noise_dn))
    return _assemble(camera, entries, range_dn, {"method": "DNG NoiseProfile tags of the camera's files"})


def from_darktable(text: str, make: str, model: str, range_dn: ThreeColors) -> SensorProfile:
    """A profile from darktable's noiseprofiles.json (of the user's own installation).

    darktable fits demosaiced data, and its floor `b` may come out below zero: such a floor is read as none.

    Args:
        text: the file's contents.
        make, model: as the raw files or darktable spell them ("NIKON CORPORATION", "NIKON D850").
        range_dn: white minus black of R, G, B of this camera's raw files [DN].

    Raises:
        ExchangeError: not such a file, or the camera is not in it.
    """
    try:
        cameras = [
            (str(maker["maker"]), str(camera["model"]), camera["profiles"])
            for maker in json.loads(text)["noiseprofiles"]
            for camera in maker["models"]
        ]
        found = [
            entry for m, name, entries in cameras if _is_camera(m, name, make, model) for entry in entries
        ]
        figures = {float(entry["iso"]): _darktable_entry(entry, range_dn) for entry in found}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExchangeError(f"not darktable's noiseprofiles.json: {error}") from None
    if not figures:
        names = [f"{maker} {name}" for maker, name, _ in cameras]
        near = get_close_matches(f"{make} {model}", names, 3, 0.5)
        hint = f"it has {', '.join(near)}" if near else "--make and --model as darktable spells them"
        raise ExchangeError(
            "the camera is not in this noiseprofiles.json", where=f"{make} {model}", hint=hint
        )
    source = {"method": "imported from darktable's noiseprofiles.json, fitted there to demosaiced data"}
    return _assemble(ProfileCamera(make, model), list(figures.values()), range_dn, source)


def to_darktable(profile: SensorProfile, range_dn: ThreeColors) -> str:
    """The profile's measured ISOs as a noiseprofiles.json that darktable reads."""
    entries = []
    for entry in profile.iso:
        pairs = profile.noise_model(entry.iso).to_dng(range_dn)
        entries.append(
            {
                "name": f"{profile.camera.model} iso {entry.iso:g}",
                "iso": round(entry.iso),
                "a": [slope for slope, _ in pairs],
                "b": [floor for _, floor in pairs],
            }
        )
    models = [{"model": profile.camera.model, "profiles": entries}]
    record = {"version": 0, "noiseprofiles": [{"maker": profile.camera.make, "models": models}]}
    return json.dumps(record, indent=1) + "\n"


def _is_camera(maker: str, name: str, make: str, model: str) -> bool:
    """True where darktable's maker and model are those of a file; files often repeat the maker."""
    theirs, ours = _plain(maker), _plain(make)
    if not ours or not (ours.startswith(theirs) or theirs.startswith(ours)):
        return False
    return _plain(name).removeprefix(theirs) in (_plain(model), _plain(model).removeprefix(theirs))


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _darktable_entry(entry: Mapping[str, Any], range_dn: ThreeColors) -> IsoFigures:
    slopes, floors = [float(a) for a in entry["a"]], [float(b) for b in entry["b"]]
    if len(slopes) != 3 or len(floors) != 3 or not all(slope > 0 for slope in slopes):
        raise ValueError(f"entry {entry.get('name')!r} needs three slopes above 0 and three floors")
    gains = [slope * span for slope, span in zip(slopes, range_dn, strict=True)]
    reads = [
        math.sqrt(max(floor * span**2 - 1 / 12, 0.0)) for floor, span in zip(floors, range_dn, strict=True)
    ]
    return _entry(float(entry["iso"]), (gains[0], gains[1], gains[2]), (reads[0], reads[1], reads[2]))


def _entry(iso: float, gains: ThreeColors, reads: ThreeColors) -> IsoFigures:
    """Figures of one ISO whose errors nobody stated."""
    return IsoFigures(
        iso,
        Measured(gains[1], _UNKNOWN),
        Measured(reads[1], _UNKNOWN),
        gain_rgb_dn_per_e=_three(gains),
        read_noise_rgb_dn=_three(reads),
    )


def _three(values: ThreeColors) -> ThreeFigures:
    red, green, blue = (Measured(value, _UNKNOWN) for value in values)
    return red, green, blue


def _assemble(
    camera: ProfileCamera, entries: list[IsoFigures], range_dn: ThreeColors, provenance: Mapping[str, str]
) -> SensorProfile:
    if not entries:
        raise ExchangeError("there is nothing to import", where=f"{camera.make} {camera.model}")
    note = {**provenance, "remarks": [f"white minus black taken as {range_dn[1]:g} DN"]}
    return SensorProfile.assemble(camera, ProfileLevels(None, None), tuple(entries), provenance=note)
