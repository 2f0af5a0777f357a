"""What a person may choose about a photograph, resolved once and recorded in every output."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from rawdiff.errors import ConfigurationError

Format = Literal["jpeg", "tiff", "dng", "linear-dng"]
BurstMode = Literal["auto", "each", "one"]
Space = Literal["srgb", "display-p3", "rec2020"]
Tone = Literal["filmic", "linear"]
Demosaic = Literal["menon", "malvar"]
DngEncoding = Literal["u16", "f16-deflate", "jxl"]

_NOT_IN_THE_RESULT = frozenset({"tile", "max_memory_bytes", "timeout_s"})

AUTO = "auto"
"""In place of a recipe's name: whichever suits the photograph."""

FORMATS: tuple[Format, ...] = get_args(Format)
UNCERTAINTY_SUFFIX = "-uncertainty.tif"
SUFFIXES: dict[Format, str] = {"jpeg": ".jpg", "tiff": ".tif", "dng": ".dng", "linear-dng": "-linear.dng"}


@dataclass(frozen=True)
class ProcessConfig:
    """Every choice of `rawdiff process`; the defaults are what most photographs want.

    Raises:
        ConfigurationError: a value outside its range.
    """

    recipe: str = AUTO
    strength: float = 1.0
    seed: int = 0
    steps: int | None = None
    samples: int | None = None
    uncertainty: bool = False
    formats: tuple[Format, ...] = ("jpeg",)
    burst: BurstMode = "auto"
    reference: str | None = None
    report: bool = False
    profile: Path | None = None
    white_balance: str = "as-shot"
    demosaic: Demosaic = "menon"
    tone: Tone = "filmic"
    exposure_ev: float | None = None
    enhance: str | None = None
    enhance_strength: float = 1.0
    space: Space = "srgb"
    jpeg_quality: int = 92
    dng_encoding: DngEncoding = "u16"
    tile: int | None = None
    max_memory_bytes: int | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    sidecar: Path | None = None
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= 1.0:
            raise ConfigurationError(f"strength is from 0 to 1, not {self.strength:g}")
        if not self.formats:
            raise ConfigurationError("no output format was asked for", hint=f"one of {', '.join(FORMATS)}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ConfigurationError(f"JPEG quality is from 1 to 100, not {self.jpeg_quality}")
        if self.tile is not None and self.tile < 16:
            raise ConfigurationError(f"a tile has at least 16 pixels a side, not {self.tile}")
        if not 0.0 <= self.enhance_strength <= 1.0:
            raise ConfigurationError(
                f"the strength of an enhancement is from 0 to 1, not {self.enhance_strength:g}"
            )
        if self.enhance is not None and not {"jpeg", "tiff"} & {*self.formats}:
            raise ConfigurationError(
                f"'{self.enhance}' enhances nothing that was asked for: DNGs keep the light of the scene",
                hint="add jpeg or tiff to --format",
            )
        if self.steps is not None and self.steps < 1:
            raise ConfigurationError(f"a recipe takes at least 1 step, not {self.steps}")
        if self.samples is not None and self.samples < 1:
            raise ConfigurationError(f"a recipe draws at least 1 sample, not {self.samples}")

    def suffixes(self) -> tuple[str, ...]:
        """How the names of the outputs end, the record's among them."""
        sure = (UNCERTAINTY_SUFFIX,) if self.uncertainty else ()
        return (*(SUFFIXES[kind] for kind in self.formats), *sure, ".json")

    def as_record(self) -> dict[str, Any]:
        """The choices that shape the result, as plain JSON values: for provenance and the journal's key.

        How the work was cut and bounded is left out: by the law of tile invariance it does not show.
        """
        record = {key: value for key, value in asdict(self).items() if key not in _NOT_IN_THE_RESULT}
        return {key: str(value) if isinstance(value, Path) else value for key, value in record.items()}


def parse_formats(text: str) -> tuple[Format, ...]:
    """Read a comma-separated list of output formats, each once, in the order given.

    Raises:
        ConfigurationError: a name that is not a format.
    """
    formats: list[Format] = []
    for name in filter(None, (part.strip().lower() for part in text.split(","))):
        found = next(
            (known for known in FORMATS if known == {"jpg": "jpeg", "tif": "tiff"}.get(name, name)), None
        )
        if found is None:
            raise ConfigurationError(f"'{name}' is not an output format", hint=f"one of {', '.join(FORMATS)}")
        if found not in formats:
            formats.append(found)
    return tuple(formats)


def parse_bytes(text: str) -> int:
    """Read a size such as 2GB, 800 MB or 1.5GiB as bytes.

    Raises:
        ConfigurationError: not a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text, re.IGNORECASE)
    if match is None:
        raise ConfigurationError(f"'{text}' is not a size", hint="for example 2GB")
    number, prefix, binary = match.groups()
    base = 1024 if binary else 1000
    return int(float(number) * base ** " kmgt".index(prefix.lower() or " "))
