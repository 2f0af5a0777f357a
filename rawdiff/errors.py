"""Everything that can go wrong, as a tree: each error says what, where, what to do, and its exit code.

RawdiffError                      5  processing failed
├── ConfigurationError            2  the request cannot be meant
├── InputError                    3  a file cannot be used
│   ├── DamagedFileError          3  the file contradicts itself or ends early
│   └── UnsupportedRawError       3  a sound file of a kind that rawdiff does not read
├── CalibrationFramesError        4  these frames cannot calibrate this sensor
├── ProcessingError               5  a stage failed on good input
└── BatchError                    6  some of a batch failed
"""

from __future__ import annotations

from pathlib import Path


class RawdiffError(Exception):
    """Root of the tree. `str()` is one line: what, where, what to do next."""

    exit_code = 5

    def __init__(self, what: str, *, where: str | Path | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.hint = hint
        super().__init__(what, self.where, hint)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" ({self.hint})" if self.hint else ""
        return " ".join(f"{place}{self.what}{advice}".split())


class ConfigurationError(RawdiffError):
    """The request cannot be meant: an option, a profile or a recipe that does not fit."""

    exit_code = 2


class InputError(RawdiffError):
    """A file cannot be used."""

    exit_code = 3


class DamagedFileError(InputError):
    """The file contradicts itself, ends early, or kills the decoder."""


class UnsupportedRawError(InputError):
    """A sound file of a kind that rawdiff does not read; names the kind and what would be needed."""


class CalibrationFramesError(RawdiffError):
    """These frames cannot calibrate this sensor; says why."""

    exit_code = 4


class ProcessingError(RawdiffError):
    """A stage failed on good input."""

    exit_code = 5


class BatchError(RawdiffError):
    """Some of a batch failed; the rest is done."""

    exit_code = 6


def missing_extra(package: str, extra: str) -> ConfigurationError:
    """Return the error for an absent optional package, naming the extra that brings it."""
    return ConfigurationError(
        f"the package '{package}' is not installed", hint=f"pip install 'rawdiff[{extra}]'"
    )
