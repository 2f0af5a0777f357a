"""What an enhancer is: it surveys the whole picture once, small, and then relights it in bands."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Relight(Protocol):
    """The light of one picture, settled: bands of rows can be relit in any order, each by itself."""

    @property
    def halo(self) -> int:
        """Rows above and below that a band must bring along."""
        ...

    def apply(self, band: Tensor, top: int, bottom: int) -> Tensor:
        """Relight rows `top` to `bottom`.

        Args:
            band: those rows with up to `halo` rows more above and below (fewer at the picture's edges),
                `[3, rows, W]`, linear RGB as `Enhancer.survey` was given it.
            top: first row that is returned, in the picture.
            bottom: the row after the last.

        Returns:
            `[3, bottom - top, W]`, linear RGB with sRGB primaries, 1 is white; negatives are kept.
        """
        ...


class Enhancer(Protocol):
    """A way to give a picture normal light."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        ...

    def survey(self, small: Tensor, size: tuple[int, int], seed: int) -> Relight:
        """Settle the light of a picture from its reduction, so that no seam can be.

        Args:
            small: the picture reduced by area averaging to at most 512 on the longer side, `[3, h, w]`,
                linear RGB with sRGB primaries, white balanced, at any level of light; noise may be
                negative.
            size: rows and columns of the whole picture.
            seed: of everything drawn.
        """
        ...
