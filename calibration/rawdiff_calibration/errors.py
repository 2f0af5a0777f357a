"""Why frames cannot calibrate a sensor, as a tree: each error says what is wrong, where, and what to do.

CalibrationError (ValueError)
├── FramesError               these frames cannot give this figure
│   ├── MixedFramesError      sizes, ISO or cameras differ
│   ├── ClippedFramesError    light beyond the white level, or noise below zero
│   ├── LitFramesError        darks that saw light, or one frame lit unlike the rest
│   ├── ProcessedFramesError  noise reduction, demosaicing or compression came before
│   ├── TooFewFramesError     the figure needs more frames
│   └── UnevenFramesError     flats that are not flat
└── FitError                  the frames are sound, the law does not fit them
"""

from __future__ import annotations


class CalibrationError(ValueError):
    """Root of the tree. `what` is the finding, `hint` what to do next, `where` the frame or set."""

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        place = f"{where}: " if where else ""
        advice = f" ({hint})" if hint else ""
        super().__init__(f"{place}{what}{advice}")


class FramesError(CalibrationError):
    """These frames cannot give this figure."""


class MixedFramesError(FramesError):
    """Frames of different sizes, ISO or cameras in one set."""


class ClippedFramesError(FramesError):
    """Too much of the light is beyond the white level, or of the noise below zero."""


class LitFramesError(FramesError):
    """Darks that saw light, or a frame that was lit unlike the rest of its set."""


class ProcessedFramesError(FramesError):
    """The noise of neighbouring pixels is not independent: something was done to it before."""


class TooFewFramesError(FramesError):
    """The figure needs more frames than were given."""


class UnevenFramesError(FramesError):
    """Flats that are not flat."""


class FitError(CalibrationError):
    """The frames are sound, but the law does not fit them."""
