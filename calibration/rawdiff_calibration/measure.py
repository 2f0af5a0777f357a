"""A figure and how well it is known: the `{"value", "se"}` pair of the profile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """A measured figure with its standard error, both in the unit that the field's name states."""

    value: float
    se: float

    def __post_init__(self) -> None:
        if self.se < 0:
            raise ValueError(f"a standard error is at least 0, got {self.se}")

    def covers(self, truth: float, width: float = 1.0) -> bool:
        """True where `truth` lies within `width` standard errors; 68.3 % of honest figures do at 1."""
        return abs(self.value - truth) <= width * self.se

    def scaled(self, factor: float) -> Measured:
        """The same figure in another unit."""
        return Measured(self.value * factor, self.se * abs(factor))

    def over(self, other: Measured) -> Measured:
        """The quotient of two independent figures, its error to first order."""
        quotient = self.value / other.value
        return Measured(quotient, math.hypot(self.se, quotient * other.se) / abs(other.value))

    def root(self) -> Measured:
        """The square root of a variance, and its error.

        A variance that noise made negative gives 0. Near zero, where the first-order error would run to
        infinity, the error is the root that one standard error of the variance would give.
        """
        root = math.sqrt(max(self.value, 0.0))
        ceiling = math.sqrt(max(self.value, 0.0) + self.se) - root
        return Measured(root, min(self.se / (2 * root), 2 * ceiling) if root > 0 else math.sqrt(self.se))

    def to_json(self) -> dict[str, float]:
        """The pair as the profile stores it."""
        return {"value": self.value, "se": self.se}


def combine(figures: Sequence[Measured]) -> Measured:
    """Weighted mean of independent figures of one quantity, weights 1/se^2.

    A figure without error (se 0) makes all others mute; several of them are averaged.

    Raises:
        ValueError: no figure.
    """
    if not figures:
        raise ValueError("nothing to combine")
    exact = [figure.value for figure in figures if figure.se == 0]
    if exact:
        return Measured(sum(exact) / len(exact), 0.0)
    weights = [1 / figure.se**2 for figure in figures]
    total = sum(weights)
    mean = sum(weight * figure.value for weight, figure in zip(weights, figures, strict=True)) / total
    return Measured(mean, 1 / math.sqrt(total))
