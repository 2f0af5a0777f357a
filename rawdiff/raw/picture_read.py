"""Ordinary pictures as stored: JPEG, PNG and TIFF of 8 or 16 bits, with profile and orientation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rawdiff.errors import DamagedFileError, InputError, UnsupportedRawError
from rawdiff.raw.frame import Source

_PNG, _JPEG, _TIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ICC_TAG, _ORIENTATION_TAG = 34675, 274
_KNOWN_PHOTOMETRICS = (1, 2, 6)
"""Grey, RGB, YCbCr."""
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff"})


@dataclass(frozen=True, eq=False)
class StoredPicture:
    """A picture as its file holds it.

    Attributes:
        pixels: `[H, W, 3]`, uint8 or uint16, as stored (not turned).
        icc: its colour profile, empty where it has none.
        orientation: EXIF orientation, 1 to 8.
        source: identity of the file.
    """

    pixels: NDArray[Any]
    icc: bytes
    orientation: int
    source: Source

    @property
    def depth(self) -> int:
        """Bits per value."""
        return 8 * self.pixels.dtype.itemsize


def read_picture(path: str | Path) -> StoredPicture:
    """Read a picture.

    Raises:
        InputError: no such file, or an alpha channel that hides something.
        UnsupportedRawError: another kind of file, CMYK, float or palette TIFF.
        DamagedFileError: the file ends early or contradicts itself.
    """
    place = Path(path)
    try:
        data = place.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=place) from error
    try:
        kind, pixels, icc, orientation = _decode(data, place)
    except UnidentifiedImageError as error:
        raise DamagedFileError("the picture cannot be decoded", where=place) from error
    except (OSError, ValueError, SyntaxError, RuntimeError, KeyError) as error:
        raise DamagedFileError(f"the picture cannot be decoded: {error}", where=place) from error
    source = Source(place, hashlib.sha256(data).hexdigest(), kind, "imagecodecs, tifffile, Pillow")
    return StoredPicture(_as_rgb(pixels, place), icc, orientation if 1 <= orientation <= 8 else 1, source)


def _decode(data: bytes, place: Path) -> tuple[str, NDArray[Any], bytes, int]:
    if data.startswith(_TIFF):
        with tifffile.TiffFile(BytesIO(data)) as file:
            page = file.pages.first
            icc = page.tags[_ICC_TAG].value if _ICC_TAG in page.tags else b""
            orientation = int(page.tags[_ORIENTATION_TAG].value) if _ORIENTATION_TAG in page.tags else 1
            if int(page.photometric) not in _KNOWN_PHOTOMETRICS:
                raise _unsupported(f"a TIFF of photometric interpretation {int(page.photometric)}", place)
            pixels = page.asarray()
            if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
                pixels = np.moveaxis(pixels, 0, -1)
            return "TIFF", pixels, bytes(icc), orientation
    if data.startswith((_PNG, _JPEG)):
        with Image.open(BytesIO(data)) as picture:
            kind, mode = str(picture.format), picture.mode
            icc = picture.info.get("icc_profile") or b""
            orientation = int(picture.getexif().get(_ORIENTATION_TAG, 1))
            if mode in ("CMYK", "YCCK"):
                raise _unsupported("a CMYK picture", place)
            if kind == "PNG" and mode != "P":
                # Pillow reads 16-bit colour as 8 bits.
                return kind, imagecodecs.png_decode(data), icc, orientation
            kept = picture if mode in ("L", "RGB", "RGBA") else picture.convert("RGBA")
            return kind, np.array(kept), icc, orientation
    raise _unsupported("not a picture that can be read", place)


def _unsupported(what: str, place: Path) -> UnsupportedRawError:
    return UnsupportedRawError(what, where=place, hint="RGB or grey JPEG, PNG or TIFF of 8 or 16 bits")


def _as_rgb(pixels: NDArray[Any], place: Path) -> NDArray[Any]:
    """Grey thrice; an alpha channel only where it hides nothing."""
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3) or not pixels.size:
        raise _unsupported(f"a picture of {pixels.dtype}, {pixels.shape}", place)
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    if planes.shape[2] in (2, 4):
        if planes[..., -1].min() < np.iinfo(pixels.dtype).max:
            raise InputError("parts of the picture are transparent", where=place, hint="flatten it first")
        planes = planes[..., :-1]
    if planes.shape[2] not in (1, 3):
        raise _unsupported(f"a picture of {planes.shape[2]} channels", place)
    return np.ascontiguousarray(np.broadcast_to(planes, (*planes.shape[:2], 3)))
