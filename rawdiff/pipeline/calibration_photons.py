"""Photon counts of flats, as a radiometer told them: what turns electrons into quantum efficiency."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from rawdiff.errors import ConfigurationError
from rawdiff.pipeline.calibration_frames import FrameFacts

_EXAMPLE = "a CSV with columns exposure_s,photons or file,photons"
_SAME_TIME = 0.005


@dataclass(frozen=True)
class PhotonCounts:
    """Mean photons per pixel and exposure: `rate_per_s` of a constant lamp, or tables by time or by file."""

    rate_per_s: float | None = None
    by_exposure: tuple[tuple[float, float], ...] = ()
    by_file: tuple[tuple[str, float], ...] = ()
    where: Path | None = None

    def of(self, facts: FrameFacts) -> float:
        """Mean photons per pixel of a frame.

        Raises:
            ConfigurationError: nothing is said of this frame.
        """
        if self.rate_per_s is not None:
            if facts.exposure_s is None:
                raise ConfigurationError(
                    "the file states no exposure time to multiply the photon rate with",
                    where=facts.path,
                    hint=f"--photons takes {_EXAMPLE} too",
                )
            return self.rate_per_s * facts.exposure_s
        for name, photons in self.by_file:
            if name == facts.path.name:
                return photons
        for time_s, photons in self.by_exposure:
            if (
                facts.exposure_s is not None
                and abs(time_s - facts.exposure_s) <= _SAME_TIME * facts.exposure_s
            ):
                return photons
        stated = "no exposure time" if facts.exposure_s is None else f"{facts.exposure_s:g} s"
        raise ConfigurationError(
            f"no photon count for {facts.path.name} ({stated})",
            where=self.where,
            hint="one line for each flat",
        )


def read_photons(text: str) -> PhotonCounts:
    """Read what `--photons` says: photons per pixel and second, or a CSV file.

    Raises:
        ConfigurationError: neither a number above 0 nor such a table.
    """
    try:
        rate = float(text)
    except ValueError:
        return _read_table(Path(text))
    if not (math.isfinite(rate) and rate > 0):
        raise ConfigurationError(f"{text} photons per pixel and second cannot be")
    return PhotonCounts(rate_per_s=rate)


def _read_table(path: Path) -> PhotonCounts:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text table"
        raise ConfigurationError(
            f"cannot be read as photon counts: {reason}",
            where=path,
            hint=f"photons per second, or {_EXAMPLE}",
        ) from None
    key = next((name for name in ("file", "exposure_s") if rows and name in rows[0]), None)
    if key is None or "photons" not in rows[0]:
        raise ConfigurationError("not a table of photon counts", where=path, hint=_EXAMPLE)
    counts = [(str(row[key]), _positive(row["photons"], path, n + 2)) for n, row in enumerate(rows)]
    if key == "file":
        return PhotonCounts(by_file=tuple(counts), where=path)
    times = [(_positive(time, path, n + 2), photons) for n, (time, photons) in enumerate(counts)]
    return PhotonCounts(by_exposure=tuple(times), where=path)


def _positive(text: str | None, path: Path, line: int) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ConfigurationError(f"'{text}' in line {line} is not a number of at least 0", where=path)
    return value
