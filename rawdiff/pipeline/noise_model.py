"""Which noise model a photograph is treated with, and why.

The order: a profile given by name, the user's profile folder, the built-in cameras, the file's own
NoiseProfile tag, a blind estimate from the photograph itself.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rawdiff_calibration.blind import estimate_noise
from rawdiff_calibration.errors import CalibrationError
from rawdiff_calibration.noise import NoiseModel, ThreeColors
from rawdiff_calibration.profile import SensorProfile
from rawdiff_calibration.profile_json import load_profile
from rawdiff_calibration.published import find_builtin

from rawdiff.errors import ConfigurationError
from rawdiff.raw.frame import Camera, LinearFrame, RawFrame, plane_sites

_BAND = 16
_BLIND_ROWS = 2048
"""Mosaic rows that a blind estimate looks at: bands of 16, spread over the height."""


@dataclass(frozen=True)
class ChosenNoise:
    """The model, where it comes from in plain words, and what came before it in the order and why not."""

    model: NoiseModel
    origin: str
    considered: tuple[tuple[str, str], ...] = ()
    profile: SensorProfile | None = None
    profile_path: Path | None = None
    """Where the profile lies whose maps hold for this body; None for built-in ones and other origins."""


def profile_folder() -> Path:
    """The user's profile folder: `rawdiff/profiles` under `$XDG_CONFIG_HOME`, by default `~/.config`."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "rawdiff" / "profiles"


def choose_noise_model(
    frame: RawFrame | LinearFrame, profile_path: Path | None, user_folder: Path | None = None
) -> ChosenNoise:
    """Choose the noise model of a frame in the order of this module.

    Sensor profiles do not hold for demosaiced raws; those take the NoiseProfile tag or a blind estimate.

    Args:
        frame: the photograph, as read.
        profile_path: a profile given by the user; it is used or the run ends.
        user_folder: where the user's profiles lie; None for `profile_folder()`.

    Raises:
        ConfigurationError: the given profile cannot be read or does not fit the frame.
    """
    considered: list[tuple[str, str]] = []
    if isinstance(frame, LinearFrame):
        if profile_path is not None:
            raise ConfigurationError(
                "a sensor profile does not hold for a demosaiced raw",
                where=frame.source.path,
                hint="leave out --profile",
            )
        considered.append(("sensor profiles", "the raw is demosaiced"))
    elif profile_path is not None:
        return _use_given(frame, profile_path)
    else:
        considered.append(("a profile given by name", "none was given"))
        chosen = _search_folder(frame, user_folder or profile_folder(), considered)
        chosen = chosen or _search_builtin(frame, considered)
        if chosen is not None:
            return replace(chosen, considered=tuple(considered))
    return replace(_read_tag(frame, considered) or _estimate(frame), considered=tuple(considered))


def _use_given(frame: RawFrame, path: Path) -> ChosenNoise:
    try:
        profile = load_profile(path)
    except CalibrationError as error:
        raise ConfigurationError(error.what, where=error.where, hint=error.hint) from None
    iso = _iso_for(frame, profile)
    if iso is None:
        raise ConfigurationError(
            "the file states no ISO, the profile has several",
            where=frame.source.path,
            hint="give --sidecar with an iso",
        )
    note = "" if _is_of(profile, frame.tags.camera) else f", made for {_name(profile)}"
    chosen = _from_profile(frame, profile, iso, f"the profile {path.name}{note}")
    return replace(chosen, profile=profile, profile_path=path)


def _search_folder(frame: RawFrame, folder: Path, considered: list[tuple[str, str]]) -> ChosenNoise | None:
    name = f"the user's profiles in {folder}"
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        considered.append((name, "there are none"))
        return None
    fitting: list[tuple[tuple[bool, bool], Path, SensorProfile, float]] = []
    for path in files:
        try:
            profile = load_profile(path)
        except CalibrationError as error:
            considered.append((f"the profile {path.name}", str(error)))
            continue
        iso = _iso_for(frame, profile)
        if _is_of(profile, frame.tags.camera) and iso is not None:
            rank = (_same_body(profile, frame.tags.camera), profile.covers(iso))
            fitting.append((rank, path, profile, iso))
    if not fitting:
        considered.append((name, _why_not(frame, f"none of {len(files)} is of {_camera_name(frame)}")))
        return None
    _, path, profile, iso = max(fitting, key=lambda item: item[0])
    chosen = _from_profile(frame, profile, iso, f"the profile {path.name} in the user's folder")
    return replace(chosen, profile=profile, profile_path=path)


def _search_builtin(frame: RawFrame, considered: list[tuple[str, str]]) -> ChosenNoise | None:
    camera = frame.tags.camera
    profile = find_builtin(camera.make, camera.model) or find_builtin("", camera.unique)
    if profile is None:
        considered.append(("the built-in profiles", f"none is of {_camera_name(frame)}"))
        return None
    iso = _iso_for(frame, profile)
    if iso is None:
        considered.append((f"the built-in profile of {_name(profile)}", "the file states no ISO"))
        return None
    chosen = _from_profile(frame, profile, iso, f"the built-in profile of {_name(profile)}")
    # Another body's colour bias has another sign: published for simulation, not for correction.
    return replace(chosen, model=replace(chosen.model, bias_dn=(0.0, 0.0, 0.0, 0.0)))


def _from_profile(frame: RawFrame, profile: SensorProfile, iso: float, origin: str) -> ChosenNoise:
    try:
        model = profile.noise_model(iso, float(frame.levels.white_dn.max()))
    except ValueError as error:
        raise ConfigurationError(f"{origin} cannot be used: {error}", where=frame.source.path) from None
    measured = {round(entry.iso, 3) for entry in profile.iso}
    if not profile.covers(iso):
        how = f"extrapolated from ISO {profile.iso[0].iso:g}-{profile.iso[-1].iso:g}"
    else:
        how = "measured" if round(iso, 3) in measured else "interpolated"
    origin = f"{origin}, ISO {iso:g} ({how})"
    return ChosenNoise(replace(model, origin=origin), origin)


def _read_tag(frame: RawFrame | LinearFrame, considered: list[tuple[str, str]]) -> ChosenNoise | None:
    pairs = frame.tags.noise_profile
    if not pairs:
        considered.append(("the file's NoiseProfile tag", "the file has none"))
        return None
    try:
        model = NoiseModel.from_dng(pairs, _range_dn(frame))
    except ValueError as error:
        considered.append(("the file's NoiseProfile tag", str(error)))
        return None
    return ChosenNoise(model, model.origin)


def _estimate(frame: RawFrame | LinearFrame) -> ChosenNoise:
    if isinstance(frame, LinearFrame):
        found = estimate_noise(spread_bands(frame.rgb_dn), list(frame.black_dn), list(frame.white_dn))
    else:
        rows = spread_bands(frame.mosaic_dn)
        planes = np.stack([rows[row::2, column::2] for row, column in plane_sites(frame.phase)])
        black, white = frame.levels.per_plane(frame.phase)
        found = estimate_noise(planes, list(black), list(white))
    detail = [f"confidence {found.confidence:.2f}", *found.remarks]
    if isinstance(frame, LinearFrame):
        detail.append("demosaicing has made the noise coarser than this")
    text = found.model.origin if found.confidence == 0 else f"{found.model.origin}, {'; '.join(detail)}"
    return ChosenNoise(replace(found.model, origin=text), text)


def spread_bands(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bands of 16 rows, evenly spread, at most `_BLIND_ROWS` rows: whole blocks, at a bounded cost."""
    height = image.shape[-2]
    bands = height // _BAND
    wanted = _BLIND_ROWS // _BAND
    if bands <= wanted:
        return image
    starts = np.linspace(0, bands - 1, wanted).astype(np.int64) * _BAND
    rows = (starts[:, None] + np.arange(_BAND)).ravel()
    return image[..., rows, :]


def _range_dn(frame: RawFrame | LinearFrame) -> ThreeColors:
    if isinstance(frame, LinearFrame):
        red, green, blue = (float(span) for span in frame.white_dn - frame.black_dn)
        return red, green, blue
    black, white = frame.levels.per_plane(frame.phase)
    span = white - black
    return float(span[0]), float(span[1] + span[2]) / 2, float(span[3])


def _iso_for(frame: RawFrame, profile: SensorProfile) -> float | None:
    iso = frame.tags.exposure.iso
    if iso is not None and iso > 0:
        return float(iso)
    return profile.iso[0].iso if len(profile.iso) == 1 else None


def _why_not(frame: RawFrame, otherwise: str) -> str:
    return otherwise if frame.tags.exposure.iso else f"{otherwise}, or the file states no ISO"


def _is_of(profile: SensorProfile, camera: Camera) -> bool:
    """True where the profile's camera is this one, by model, unique model or another of its names."""
    own = {_plain(name) for name in (profile.camera.model, *profile.camera.names)}
    own |= {_plain(profile.camera.make) + name for name in own}
    seen = {_plain(camera.model), _plain(camera.make + camera.model), _plain(camera.unique)} - {""}
    return bool((own - {""}) & seen)


def _same_body(profile: SensorProfile, camera: Camera) -> bool:
    if profile.camera.serial_sha256 is None or camera.serial is None:
        return False
    return profile.camera.serial_sha256 == hash_serial(camera.serial)


def hash_serial(serial: str) -> str:
    """SHA-256 of a serial number, as profiles keep it."""
    return hashlib.sha256(serial.strip().encode()).hexdigest()


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _name(profile: SensorProfile) -> str:
    make, model = profile.camera.make, profile.camera.model
    return (
        model if _plain(model).startswith(_plain(make.split(" ")[0] if make else "")) else f"{make} {model}"
    )


def _camera_name(frame: RawFrame) -> str:
    camera = frame.tags.camera
    return camera.unique or f"{camera.make} {camera.model}".strip() or "an unnamed camera"
