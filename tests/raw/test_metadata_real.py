from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rawdiff.raw.dng import write_linear_dng
from rawdiff.raw.ingest import read_raw

Exiftool = Callable[..., list[dict[str, object]]]


@pytest.fixture
def exiftool() -> Exiftool:
    """What exiftool says about files, one dictionary each, keys as `group:name`; skips where it is absent."""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")

    def ask(*arguments: str) -> list[dict[str, object]]:
        command = ["exiftool", "-json", "-G1", "-struct", "-n", *arguments]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120)
        found = json.loads(done.stdout)
        assert isinstance(found, list)
        return found

    return ask


# What a new rendition of the same photograph rightly says differently, by group and name.
_OWN = {
    "ExifTool", "File", "System", "SourceFile", "Composite", "SubIFD", "SubIFD1", "SubIFD2",
}  # fmt: skip
_OWN_TAGS = {
    "IFD0:SubfileType", "IFD0:ImageWidth", "IFD0:ImageHeight", "IFD0:BitsPerSample", "IFD0:Compression",
    "IFD0:PhotometricInterpretation", "IFD0:StripOffsets", "IFD0:RowsPerStrip", "IFD0:StripByteCounts",
    "IFD0:PreviewImage", "IFD0:PreviewImageStart", "IFD0:PreviewImageLength", "IFD0:Software",
    "IFD0:YCbCrCoefficients", "IFD0:YCbCrSubSampling", "IFD0:YCbCrPositioning", "IFD0:ReferenceBlackWhite",
    "IFD0:PreviewApplicationName", "IFD0:PreviewApplicationVersion", "IFD0:PreviewSettingsDigest",
    "IFD0:PreviewDateTime", "IFD0:NoiseProfile", "IFD0:NewRawImageDigest", "IFD0:RawDataUniqueID",
    "IFD0:DNGBackwardVersion", "IFD0:SamplesPerPixel",
    "IFD0:PlanarConfiguration",
}  # fmt: skip


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["DSC8695.dng", "sample_1mp_rotated.dng", "dng_with_preview.dng"])
def test_the_metadata_of_a_real_file_survive_tag_by_tag(
    tmp_path: Path, shared_data: Path, name: str, exiftool: Exiftool
) -> None:
    source = shared_data / "raw" / name
    frame = read_raw(source)
    out = tmp_path / "out.dng"
    write_linear_dng(
        out, np.zeros((3, *frame.shape), np.float32), frame.tags,
        preview=np.zeros((20, 30, 3), np.uint8), source_file=source,
    )  # fmt: skip
    before, after = exiftool("-a", "-u", "-b", str(source), str(out))
    checked = 0
    for key, value in before.items():
        if key.split(":")[0] in _OWN or key in _OWN_TAGS:
            continue
        assert after.get(key) == value, key
        checked += 1
    assert checked > 40
    (verdict,) = exiftool("-validate", "-error", "-a", str(out))
    assert str(verdict["ExifTool:Validate"]).startswith("0 ") and "ExifTool:Error" not in verdict
