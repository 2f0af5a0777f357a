"""DNG files that other programs open: a clean mosaic (CFA) or a clean linear image, with every tag in place.

Layout, as cameras and converters write it: a small RGB thumbnail with the tags of the whole photograph in
the first directory; the raw image and a larger JPEG preview as its SubIFDs; Exif and GPS directories.
Without a preview the raw image is the first directory. Adobe, "Digital Negative (DNG) Specification 1.7.1".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rawdiff_calibration.noise import NoiseModel

from rawdiff.raw import dng_pixels, dng_previews, dng_tags
from rawdiff.raw.atomic import write_whole
from rawdiff.raw.frame import CfaPhase, FrameTags, Levels, RawFrame, plane_sites
from rawdiff.raw.metadata import DNG, Metadata, describe
from rawdiff.raw.metadata_read import read_metadata
from rawdiff.raw.metadata_tags import CFA, LINEAR_RAW
from rawdiff.raw.tiff_tree import (
    Directory,
    Entry,
    ascii_entry,
    byte_entry,
    long_entry,
    short_entry,
    write_tree,
)

CfaCompression = Literal["none", "jxl"]
LinearEncoding = Literal["u16", "f16-deflate", "jxl"]
NoisePairs = Sequence[tuple[float, float]]

_VERSION, _VERSIONS = (1, 4, 0, 0), {"jxl": (1, 7, 1, 0)}
_BACKWARD = {"cfa": (1, 1, 0, 0), "opcodes": (1, 3, 0, 0), "linear": (1, 4, 0, 0), "jxl": (1, 7, 0, 0)}


def write_cfa_dng(
    path: str | Path,
    mosaic_dn: NDArray[np.float32] | NDArray[np.uint16],
    like: RawFrame | None = None,
    *,
    levels: Levels | None = None,
    phase: CfaPhase | None = None,
    tags: FrameTags | None = None,
    noise: NoiseModel | None = None,
    preview: NDArray[np.uint8] | None = None,
    noise_reduction_applied: float | None = None,
    compression: CfaCompression = "none",
    full_range: bool = False,
    source_file: Path | None = None,
    provenance: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a Bayer mosaic as DNG; levels, phase and tags come from `like` where they are not given.

    Opcodes that were applied are not written; gain maps and warps that are still pending are.

    Args:
        path: the file to write.
        mosaic_dn: `[H, W]` in DN, the black level not subtracted.
        like: the frame it came from.
        levels: black and white level of `mosaic_dn`.
        phase: CFA phase.
        tags: everything else the file shall say.
        noise: noise of `mosaic_dn` as it is now, in its DN; without it no NoiseProfile is written.
        preview: rendered picture `[h, w, 3]`, not rotated; without it the file carries none.
        noise_reduction_applied: 0 (none) to 1 (the most), None for unknown.
        compression: "none", or "jxl" (lossless JPEG XL, DNG 1.7: few programs read it).
        full_range: scale to the whole 16 bits over a pedestal, so that fractions and negatives survive.
        source_file: its EXIF, GPS, XMP, IPTC and camera profile are carried on.
        provenance: what made the file, kept as JSON in its XMP.
        overwrite: replace a file that is there already.

    Raises:
        ConfigurationError: the file exists, or would replace `source_file`.
        ProcessingError: the place cannot be written.
        ValueError: neither given nor in `like`; a shape or levels that do not fit.
    """
    levels = levels or (like.levels if like else None)
    phase = phase or (like.phase if like else None)
    tags = tags or (like.tags if like else None)
    if levels is None or phase is None or tags is None:
        raise ValueError("a CFA DNG needs levels, phase and tags, given or from a frame")
    height, width = _even_size(mosaic_dn)
    scale = dng_pixels.mosaic_scale(levels, full_range)
    store = dng_pixels.store_jpeg_xl if compression == "jxl" else dng_pixels.store_uncompressed
    encoding = store(scale.rows_of(mosaic_dn), height, width, 1)
    raw = _raw_directory(encoding, tags, height, width, CFA)
    raw.entries |= dng_tags.cfa_entries(phase) | dng_tags.black_level_entries(scale.black[..., None])
    raw.entries[50717] = _level(scale.white)
    raw.entries |= dng_tags.opcode_entries(tags, planes=1)
    if noise is not None:
        on_grid = mosaic_dn.dtype == np.uint16 or noise.quantisation_dn >= 1
        rounds = not (scale.is_identity and on_grid)
        raw.entries[dng_tags.NOISE_PROFILE] = _mosaic_noise(noise, levels, phase, scale, rounds)
    kind = "jxl" if compression == "jxl" else "opcodes" if tags.gain_maps or tags.pending_opcodes else "cfa"
    _write(path, raw, kind, tags, preview, noise_reduction_applied, source_file, provenance, overwrite)


def write_linear_dng(
    path: str | Path,
    rgb: NDArray[np.float32],
    tags: FrameTags,
    *,
    noise: NoisePairs | None = None,
    preview: NDArray[np.uint8] | None = None,
    noise_reduction_applied: float | None = None,
    encoding: LinearEncoding = "u16",
    pedestal: int | None = None,
    source_file: Path | None = None,
    provenance: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a demosaiced linear image (DNG LinearRaw), not white-balanced: AsShotNeutral goes along.

    16-bit values keep negatives over a pedestal, their black level. Readers that stand on rawspeed
    (darktable) do not subtract the black level of linear DNGs, so the pedestal is no higher than needed,
    and 0 where the negatives carry no light (`dng_pixels.choose_pedestal`); "f16-deflate" needs none.

    Args:
        path: the file to write.
        rgb: camera RGB `[3, H, W]`, black 0, white 1, negatives kept; 16 bits end at white, floats do not.
        tags: everything else the file shall say.
        noise: (S, O) of R, G, B of `rgb` as it is now; without it no NoiseProfile is written.
        preview: rendered picture `[h, w, 3]`, not rotated; without it the file carries none.
        noise_reduction_applied: 0 (none) to 1 (the most), None for unknown.
        encoding: "u16" uncompressed (every reader), "f16-deflate" (half floats), "jxl" (lossless JPEG XL).
        pedestal: stored value of black for the 16-bit encodings; None chooses as said above.
        source_file: its EXIF, GPS, XMP, IPTC and camera profile are carried on.
        provenance: what made the file, kept as JSON in its XMP.
        overwrite: replace a file that is there already.

    Raises:
        ConfigurationError: the file exists, or would replace `source_file`.
        ProcessingError: the place cannot be written.
        ValueError: a shape, a pedestal or a gain map on CFA sites that does not fit.
    """
    if rgb.ndim != 3 or rgb.shape[0] != 3:
        raise ValueError(f"linear RGB is [3, H, W], not {list(rgb.shape)}")
    floating = encoding == "f16-deflate"
    black = 0 if floating else dng_pixels.choose_pedestal(rgb) if pedestal is None else pedestal
    if not 0 <= black < dng_pixels.TOP:
        raise ValueError(f"a pedestal lies in 0..{dng_pixels.TOP - 1}, not at {black}")
    if any((m.row_pitch, m.column_pitch) != (1, 1) for m in tags.gain_maps):
        raise ValueError("gain maps on CFA sites must be applied before a linear DNG is written")
    _, height, width = rgb.shape
    rows = dng_pixels.linear_rows(rgb, None if floating else black)
    stores = {
        "u16": dng_pixels.store_uncompressed,
        "f16-deflate": dng_pixels.store_float16,
        "jxl": dng_pixels.store_jpeg_xl,
    }
    raw = _raw_directory(stores[encoding](rows, height, width, 3), tags, height, width, LINEAR_RAW)
    white = 1 if floating else dng_pixels.TOP
    # No BlackLevelRepeatDim: 1x1 is the default, and RawTherapee misreads linear data where it is stated.
    # LibRaw and RawTherapee then miss the exposure by pedestal / 65535, down and up, alike in all colours.
    raw.entries[50714] = short_entry(black, black, black)
    raw.entries[50717] = _level(white, samples=3)
    raw.entries |= dng_tags.opcode_entries(tags, planes=3)
    if noise is not None:
        rounding = 0.0 if floating else 1 / (12 * (white - black) ** 2)
        raw.entries[dng_tags.NOISE_PROFILE] = dng_tags.noise_entry([(s, o + rounding) for s, o in noise])
    kind = "jxl" if encoding == "jxl" else "linear"
    _write(path, raw, kind, tags, preview, noise_reduction_applied, source_file, provenance, overwrite)


def _write(
    path: str | Path,
    raw: Directory,
    kind: str,
    tags: FrameTags,
    preview: NDArray[np.uint8] | None,
    noise_reduction_applied: float | None,
    source_file: Path | None,
    provenance: Mapping[str, object] | None,
    overwrite: bool,
) -> None:
    """Join the raw image, the previews and the photograph's tags, and write the whole."""
    metadata = read_metadata(source_file) if source_file is not None else Metadata()
    root = raw
    if preview is not None:
        _check_preview(preview)
        root = dng_previews.thumbnail_directory(preview)
        root.children[dng_tags.SUB_IFDS] = [raw, dng_previews.preview_directory(preview)]
    raw.entries |= metadata.raw
    describe(root, DNG, metadata, tags, provenance)
    root.entries |= dng_tags.photograph_entries(tags, metadata.dng)
    root.entries |= {50706: byte_entry(_VERSIONS.get(kind, _VERSION)), 50707: byte_entry(_BACKWARD[kind])}
    if noise_reduction_applied is not None:
        raw.entries[50935] = dng_tags.reduction_entry(noise_reduction_applied)
    if source_file is not None and 50827 not in root.entries:
        root.entries[50827] = ascii_entry(source_file.name)
    originals = [source_file] if source_file is not None else []
    with write_whole(path, overwrite, originals) as part, open(part, "wb") as file:
        write_tree(file, root)


def _raw_directory(
    encoding: dng_pixels.Encoding, tags: FrameTags, height: int, width: int, photometric: int
) -> Directory:
    entries = {
        254: long_entry(0),
        256: long_entry(width),
        257: long_entry(height),
        262: short_entry(photometric),
    }
    entries |= encoding.entries | dng_tags.geometry_entries(tags, height, width)
    return Directory(entries, segments=encoding.segments)


def _mosaic_noise(
    noise: NoiseModel, levels: Levels, phase: CfaPhase, scale: dng_pixels.MosaicScale, rounds: bool
) -> Entry:
    """(S, O) of R, G, B as stored: the model's own, and the rounding to stored values where there is one."""
    red, green_r, green_b, blue = (levels.range_dn()[site] for site in plane_sites(phase))
    pairs = noise.to_dng((float(red), float(green_r + green_b) / 2, float(blue)))
    step = 1 / float((scale.white - scale.black).min()) if rounds else 0.0
    return dng_tags.noise_entry([(s, o + step**2 / 12) for s, o in pairs])


def _level(value: int, samples: int = 1) -> Entry:
    return short_entry(*[value] * samples) if value <= dng_pixels.TOP else long_entry(*[value] * samples)


def _even_size(mosaic_dn: NDArray[np.generic]) -> tuple[int, int]:
    if mosaic_dn.ndim != 2 or mosaic_dn.shape[0] % 2 or mosaic_dn.shape[1] % 2 or not mosaic_dn.size:
        raise ValueError(f"a mosaic is [H, W] with whole 2x2 cells, not {list(mosaic_dn.shape)}")
    height, width = mosaic_dn.shape
    return height, width


def _check_preview(preview: NDArray[np.uint8]) -> None:
    if preview.dtype != np.uint8 or preview.ndim != 3 or preview.shape[2] != 3 or not preview.size:
        raise ValueError(f"a preview is [h, w, 3] of 8 bits, not {list(preview.shape)} {preview.dtype}")
