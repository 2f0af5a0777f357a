"""Raws that are no DNG: LibRaw's mosaic with the best metadata there is.

The file's EXIF counts where tifffile can read it (NEF, CR2, ARW, PEF, KDC...); levels, white balance and the
colour matrix are LibRaw's, which knows the makers' notes, and the origin of the colour says so.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawdiff.errors import DamagedFileError, RawdiffError, UnsupportedRawError
from rawdiff.raw.exif import read_camera, read_exposure
from rawdiff.raw.frame import CfaPhase, ColorTags, Exposure, FrameTags, Levels, RawFrame, Source
from rawdiff.raw.ingest_checks import Container
from rawdiff.raw.tags import open_directories

_FLIPS = {0: 1, 3: 3, 5: 8, 6: 6}
_D65 = 21
_PHASES: dict[str, CfaPhase] = {"RGGB": "RGGB", "GRBG": "GRBG", "GBRG": "GBRG", "BGGR": "BGGR"}
_EXIF_REACH = 1 << 18
_HINT = "rawdiff reads 2x2 Bayer mosaics of red, green and blue"


def build_vendor_frame(
    pixels: NDArray[Any], facts: dict[str, Any], tags: FrameTags | None, source: Source
) -> RawFrame:
    """Cut the visible area out of LibRaw's raw image and dress it with what is known.

    Args:
        pixels: LibRaw's whole raw image as decoded.
        facts: what the decoder child reports beside it.
        tags: of the file itself, None where tifffile cannot read them.
        source: identity of the file.

    Raises:
        UnsupportedRawError: no Bayer mosaic.
        DamagedFileError: the figures contradict themselves.
    """
    path = source.path
    require_mosaic(facts, path)
    colors = _read_colors(facts, path)
    phase = _PHASES["".join(facts["color_names"][color] for color in colors)]
    top, left, height, width = facts["margins"]
    height, width = height // 2 * 2, width // 2 * 2
    if height < 2 or width < 2 or top + height > pixels.shape[0] or left + width > pixels.shape[1]:
        raise DamagedFileError(
            f"its visible area {facts['margins']} exceeds its {pixels.shape} pixels", where=path
        )
    mosaic = pixels[top : top + height, left : left + width].astype(np.float32)
    black = np.array([facts["black"][color] for color in colors], np.float64).reshape(2, 2)
    white = np.full((2, 2), facts["white"], np.float64)
    if not np.all(white > black):
        raise DamagedFileError(f"its white level {facts['white']:g} is not above its black level", where=path)
    # LibRaw does not say which margin is dark and which is merely not shown: no masked areas.
    return RawFrame(mosaic, phase, Levels(black, white), merge_tags(facts, tags), source)


def require_mosaic(facts: dict[str, Any], path: Path) -> None:
    """Refuse what LibRaw knows to be no 2x2 mosaic.

    Raises:
        UnsupportedRawError: an X-Trans or larger pattern, several colours at every pixel, or a single one.
    """
    if facts["pattern"] is None:
        raise UnsupportedRawError(
            "records several colours at every pixel (Foveon, sRAW or a YRGB stack), or only one",
            where=path,
            hint=_HINT,
        )
    if np.shape(facts["pattern"]) == (6, 6):
        raise UnsupportedRawError("is an X-Trans mosaic (6x6 sites)", where=path, hint=_HINT)
    if np.shape(facts["pattern"]) != (2, 2):
        raise UnsupportedRawError(
            "is no mosaic of 2x2 sites (Quad-Bayer, or another)", where=path, hint=_HINT
        )


def _read_colors(facts: dict[str, Any], path: Path) -> list[int]:
    """The colour numbers of the visible area's first 2x2 cell, row by row."""
    block = np.array(facts["colors"])
    names = facts["color_names"]
    rows, columns = np.indices(block.shape)
    if not np.array_equal(block, block[rows % 2, columns % 2]):
        raise UnsupportedRawError(
            "is no mosaic of 2x2 sites (Quad-Bayer, or another)", where=path, hint=_HINT
        )
    colors = [int(color) for color in block[:2, :2].ravel()]
    letters = "".join(names[color] if color < len(names) else "?" for color in colors)
    if letters not in _PHASES:
        raise UnsupportedRawError(f"is a mosaic of the colours {letters}", where=path, hint=_HINT)
    return colors


def merge_tags(facts: dict[str, Any], tags: FrameTags | None) -> FrameTags:
    """Join what the file says with what LibRaw knows; the file counts, but for colour and orientation."""
    known = tags or FrameTags()
    camera, exposure = known.camera, known.exposure
    return replace(
        known,
        camera=replace(camera, lens=camera.lens or facts["lens"] or None),
        exposure=Exposure(
            time_s=exposure.time_s or _known(facts["time_s"]),
            aperture=exposure.aperture or _known(facts["aperture"]),
            iso=exposure.iso or _known(facts["iso"]),
            captured_at=exposure.captured_at or facts["captured_at"],
        ),
        color=_read_color(facts),
        orientation=_FLIPS.get(facts["flip"], 1),
    )


def _known(number: float) -> float | None:
    """LibRaw says 0 where it does not know, and nonsense where the file does."""
    return float(number) if math.isfinite(number) and number > 0 else None


def _read_color(facts: dict[str, Any]) -> ColorTags:
    matrix = np.array(facts["matrix"], np.float64)[:3]
    found = matrix.shape == (3, 3) and bool(np.isfinite(matrix).all()) and bool(matrix.any())
    found = found and np.linalg.cond(matrix) < 1e6
    gains = np.array(facts["white_balance"][:3], np.float64)
    sound = gains.shape == (3,) and bool(np.isfinite(gains).all()) and bool((gains > 0).all())
    sound = sound and bool(np.ptp(gains) > 0)  # LibRaw says 1, 1, 1 where it does not know
    neutral = 1 / gains if sound else None
    return ColorTags(
        color_matrices=(matrix,) if found else (),
        forward_matrices=(None,) if found else (),
        camera_calibrations=(None,) if found else (),
        illuminants=(_D65,) if found else (),
        as_shot_neutral=None if neutral is None else neutral / neutral.max(),
        origin="the decoder's camera table" if found else "no calibration",
    )


def read_vendor_tags(path: Path, container: Container) -> FrameTags | None:
    """Read camera and exposure of a raw that is no DNG; None where it holds no EXIF that can be read.

    A RAF carries its EXIF in its preview (APP1 of a JPEG), a CR3 in the boxes CMT1 (TIFF) and CMT2 (EXIF).
    """
    if container in ("tiff", "other raw"):
        return _read_directories(path, None)
    with path.open("rb") as file:
        head = file.read(_EXIF_REACH)
    if container == "raf":
        place = head.find(b"Exif\0\0")
        return None if place < 0 else _read_directories(path, head[place + 6 :])
    first, second = (head.find(name) for name in (b"CMT1", b"CMT2"))
    camera = _read_directories(path, head[first + 4 :]) if first >= 0 else None
    exposure = _read_directories(path, head[second + 4 :]) if second >= 0 else None
    if camera is None or exposure is None:
        return camera or exposure
    return replace(camera, exposure=exposure.exposure)


def _read_directories(path: Path, data: bytes | None) -> FrameTags | None:
    with suppress(RawdiffError), open_directories(path, data) as tables:
        return FrameTags(camera=read_camera(tables[0]), exposure=read_exposure(tables[0]))
    return None
