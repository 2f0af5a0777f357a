"""From linear camera RGB to the integers of a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from rawdiff.color.encode import Depth, DisplayEncoder
from rawdiff.color.exposure import choose_exposure
from rawdiff.color.highlights import recover_highlights
from rawdiff.color.matrices import camera_to_output, scale_neutral
from rawdiff.color.spaces import SPACES, Matrix, OutputSpace
from rawdiff.color.tone import ToneSettings, apply_filmic, fit_gamut
from rawdiff.errors import ProcessingError
from rawdiff.raw.frame import ColorTags

_STRIP_ELEMENTS = 1 << 17
_AS_THE_PICTURE_ASKS = ToneSettings()


@dataclass(frozen=True, eq=False)
class Renderer:
    """Renders camera RGB: highlights, white balance, matrix, gamut, exposure, curve, display encoding.

    Every step looks at one pixel at a time and is exact, so tiles give the bytes of the whole. Build it,
    let `prepare` settle the exposure on a small copy of the frame, then `apply` it.

    Attributes:
        color: the file's colour tags.
        neutral: camera RGB of a neutral object `[3]`.
        space: the output space; its own transfer function encodes the picture.
        tone: the curve and the exposure.
        depth: bits of the output, 8 or 16.
        exposure_ev: the exposure settled by `prepare`; None before.
    """

    color: ColorTags
    neutral: Matrix
    space: OutputSpace = "srgb"
    tone: ToneSettings = _AS_THE_PICTURE_ASKS
    depth: Depth = 8
    exposure_ev: float | None = None
    _matrix: tuple[tuple[float, ...], ...] = field(init=False, repr=False)
    _gains: torch.Tensor = field(init=False, repr=False)
    _luminance: tuple[float, float, float] = field(init=False, repr=False)
    _encoder: DisplayEncoder = field(init=False, repr=False)

    def __post_init__(self) -> None:
        neutral = scale_neutral(self.neutral)
        matrix = camera_to_output(self.color, neutral, self.space) @ np.diag(neutral)
        red, green, blue = SPACES[self.space].luminance().tolist()
        values = {
            "_matrix": tuple(tuple(row) for row in matrix.tolist()),
            "_gains": torch.tensor(1 / neutral, dtype=torch.float32).view(3, 1, 1),
            "_luminance": (red, green, blue),
            "_encoder": DisplayEncoder(SPACES[self.space].transfer, self.depth),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def prepare(self, thumbnail: torch.Tensor) -> Renderer:
        """Return this renderer with its exposure settled.

        Args:
            thumbnail: small camera RGB `[3, h, w]` of the whole frame (`exposure.make_thumbnail`).
        """
        if self.tone.exposure_ev is not None or self.tone.mode == "linear":
            exposure = (self.tone.exposure_ev or 0.0) + self.color.baseline_exposure_ev
        else:
            linear = self.to_linear(thumbnail)
            red, green, blue = self._luminance
            exposure = choose_exposure((linear[0] * red + linear[1] * green) + linear[2] * blue)
        return replace(self, exposure_ev=exposure)

    def to_light(self, rgb: torch.Tensor) -> torch.Tensor:
        """Camera RGB `[3, h, w]` to linear output RGB at the sensor's own exposure, of any sign."""
        balanced = recover_highlights(rgb * self._gains, rgb, self._gains)
        channels = [(balanced[0] * a + balanced[1] * b) + balanced[2] * c for a, b, c in self._matrix]
        return torch.stack(channels)

    def to_linear(self, rgb: torch.Tensor) -> torch.Tensor:
        """Camera RGB `[3, h, w]` to linear output RGB at the sensor's own exposure, no channel negative."""
        return self.fit(self.to_light(rgb))

    def fit(self, light: torch.Tensor) -> torch.Tensor:
        """Draw linear output RGB `[3, h, w]` into the gamut: no channel negative."""
        return fit_gamut(light, self._luminance)

    def show(self, linear: torch.Tensor) -> torch.Tensor:
        """Linear output RGB `[3, h, w]`, at least 0, to display light by exposure and curve; in place.

        Raises:
            ProcessingError: called before `prepare`.
        """
        if self.exposure_ev is None:
            raise ProcessingError("the exposure of this picture has not been settled", hint="call prepare")
        exposed = linear.mul_(2.0**self.exposure_ev)
        return apply_filmic(exposed) if self.tone.mode == "filmic" else exposed

    def encode(self, shown: torch.Tensor) -> torch.Tensor:
        """Display light `[3, h, w]` to display values `[h, w, 3]`, uint8 or uint16."""
        return self._encoder(shown).permute(1, 2, 0)

    def apply(self, rgb: torch.Tensor) -> torch.Tensor:
        """Camera RGB `[3, h, w]` (black 0, white 1) to display values `[h, w, 3]`, uint8 or uint16.

        Raises:
            ProcessingError: called before `prepare`.
        """
        return self.in_strips(rgb, lambda part, _: self.show(self.to_linear(part)))

    def in_strips(
        self, rgb: torch.Tensor, shown: Callable[[torch.Tensor, slice], torch.Tensor]
    ) -> torch.Tensor:
        """Encode the display light of strips of rows, which stay in the processor's cache.

        Args:
            rgb: `[3, h, w]`.
            shown: display light of a strip; told which rows it holds.
        """
        height, width = rgb.shape[1:]
        output = torch.empty((height, width, 3), dtype=torch.uint8 if self.depth == 8 else torch.uint16)
        rows = max(1, _STRIP_ELEMENTS // max(width, 1))
        for top in range(0, height, rows):
            strip = slice(top, min(top + rows, height))
            output[strip] = self.encode(shown(rgb[:, strip], strip))
        return output
