"""Profiles of cameras whose noise parameters are published; they ship with the package, each with its source.

Matching is by the names that files carry (EXIF Make and Model, DNG UniqueCameraModel) and by plain names
such as `SonyA7S2`. A published figure is that of one body: its own calibration is better.
"""

from __future__ import annotations

import functools
from importlib.resources import files

from rawdiff_calibration.profile import SensorProfile
from rawdiff_calibration.profile_json import profile_from_json


def builtin_names() -> tuple[str, ...]:
    """Plain names of the built-in profiles, sorted."""
    return tuple(sorted(profile.camera.names[0] for profile in _builtins()))


def find_builtin(make: str, model: str) -> SensorProfile | None:
    """The built-in profile of a camera as its files name it, or None.

    `model` may carry the maker ("NIKON D850"); `make` may be empty. Case, blanks and punctuation do not
    matter, anything else does: a 5D is not a 5D Mark IV.
    """
    maker, wanted = _plain(make), _plain(model)
    for profile in _builtins():
        own = _plain(profile.camera.make)
        if maker and not maker.startswith(own[:5]):
            continue
        spellings = {_plain(name) for name in (profile.camera.model, *profile.camera.names)}
        spellings |= {own + spelling for spelling in spellings}
        if wanted in spellings or (maker and maker + wanted in spellings):
            return profile
    return None


def load_builtin(name: str) -> SensorProfile:
    """The built-in profile of a plain name.

    Raises:
        KeyError: no such profile; the message lists the names.
    """
    found = find_builtin("", name)
    if found is None:
        raise KeyError(f"no built-in profile '{name}'; there are {', '.join(builtin_names())}")
    return found


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


@functools.cache
def _builtins() -> tuple[SensorProfile, ...]:
    folder = files("rawdiff_calibration") / "builtin"
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return tuple(profile_from_json(f.read_text(encoding="utf-8"), f.name) for f in found)
