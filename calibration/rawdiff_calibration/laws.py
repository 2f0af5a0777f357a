"""Laws over ISO: each figure as a straight line in log-log, with as many pieces as the data demand.

log s = intercept + slope * log(ISO / 100), residual spread sigma (Wei et al., "Physics-based noise modeling
for extreme low-light photography", TPAMI 2021, section 4.3; there over log K, and K is proportional to ISO).
Dual-gain sensors switch their conversion gain at one ISO: the noise in DN drops there although the gain
goes on rising, so one line is wrong by far more than the noise is known. `gain_steps` looks for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from rawdiff_calibration.measure import Measured

Form = Literal["log", "linear"]
Points = Sequence[tuple[float, Measured]]

MODEL_SPREAD = 0.02
"""Scatter of a camera's figures about an exact law that is taken for granted (log units)."""
UNKNOWN_SPREAD = 0.05
"""The same where there are too few ISOs to see it."""
LONE_SLOPES = {"gain_dn_per_e": (1.0, 0.03), "read_noise_dn": (0.65, 0.2), "tukey_scale_dn": (0.6, 0.2),
               "row_noise_dn": (0.6, 0.25), "column_noise_dn": (0.6, 0.25)}  # fmt: skip
"""Slope and its spread where only one ISO was measured: K is proportional to ISO; the rest is the range
of the published cameras (.46-.96)."""


@dataclass(frozen=True)
class Step:
    """A switch of the conversion gain somewhere above `iso_below` and at most at `iso_above`."""

    iso_below: float
    iso_above: float

    @property
    def iso(self) -> float:
        """The geometric middle, where the two laws are parted."""
        return math.sqrt(self.iso_below * self.iso_above)


@dataclass(frozen=True)
class Segment:
    """One straight piece: value (or its log) = intercept + slope * log(iso / 100).

    `spread` is the rms residual, widened where few points made it; `covariance` that of intercept and slope;
    `iso_min` to `iso_max` is the range of the points that made it.
    """

    iso_min: float
    iso_max: float
    intercept: Measured
    slope: Measured
    spread: float
    covariance: float = 0.0

    def line(self, iso: float) -> Measured:
        """Height of the line at an ISO and the standard error of the line itself (not of a camera on it)."""
        x = _log_iso(iso)
        variance = self.intercept.se**2 + (x * self.slope.se) ** 2 + 2 * x * self.covariance
        return Measured(self.intercept.value + self.slope.value * x, math.sqrt(max(variance, 0.0)))


@dataclass(frozen=True)
class Law:
    """A figure over ISO. `steps` part the segments; segment i lies between step i-1 and step i."""

    form: Form
    segments: tuple[Segment, ...]
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if len(self.segments) != len(self.steps) + 1:
            raise ValueError(f"{len(self.steps)} steps part {len(self.steps) + 1} segments")

    def index(self, iso: float) -> int:
        """Which segment holds at an ISO."""
        return sum(iso >= step.iso for step in self.steps)

    def at(self, iso: float) -> Measured:
        """The law's value at an ISO; its error holds the line's and the spread of cameras about it.

        Inside the gap of a step, where the switch was not located, half the jump is added to the error.
        """
        here = self.index(iso)
        figure = self._value(self.segments[here], iso)
        for before, step in enumerate(self.steps):
            if step.iso_below < iso < step.iso_above:
                other = self.segments[before + 1 if here == before else before]
                half = abs(self._value(other, iso).value - figure.value) / 2
                figure = Measured(figure.value, math.hypot(figure.se, half))
        return figure

    def _value(self, segment: Segment, iso: float) -> Measured:
        line = segment.line(iso)
        error = math.hypot(line.se if math.isfinite(line.se) else 0.0, segment.spread)
        if self.form == "linear":
            return Measured(line.value, error)
        value = math.exp(line.value)
        return Measured(value, value * error)


def fit_law(points: Points, steps: Sequence[Step] = (), form: Form = "log", quantity: str = "") -> Law:
    """Fit a figure over ISO, one line per piece between the given steps.

    Weighted least squares, weights 1 / (se^2 + spread^2) with the spread found from the residuals. A piece
    of fewer than three points shares the slope of all pieces (a conversion gain scales noise, it does not
    bend its law); a single ISO takes its slope from `LONE_SLOPES`. A step with no point on one side is
    dropped from this law.

    Raises:
        ValueError: no point, or a figure that has no logarithm.
    """
    if not points:
        raise ValueError("a law needs at least one measured ISO")
    x = np.array([_log_iso(iso) for iso, _ in points])
    y, error = read_heights(points, form)
    kept, piece = _assign(points, steps)
    lone = LONE_SLOPES.get(quantity, (0.0, 0.3))
    shared = _fit_pieces(x, y, error, piece, lone)
    segments = []
    for index in range(len(kept) + 1):
        mine = piece == index
        fitted = shared[index]
        if mine.sum() >= 3:
            fitted = _fit_pieces(x[mine], y[mine], error[mine], np.zeros_like(piece[mine]), lone)[0]
        isos = [iso for (iso, _), inside in zip(points, mine, strict=True) if inside]
        segments.append(_segment(isos, fitted))
    return Law(form, tuple(segments), tuple(kept))


def _log_iso(iso: float) -> float:
    return math.log(iso / 100.0)


def read_heights(points: Points, form: Form) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of the figures, or their logarithms, and the standard errors of those.

    Raises:
        ValueError: a figure that has no logarithm.
    """
    values = np.array([figure.value for _, figure in points], dtype=np.float64)
    errors = np.nan_to_num(np.array([figure.se for _, figure in points], dtype=np.float64))
    if form == "linear":
        return values, errors
    if not np.all(values > 0):
        raise ValueError(f"a log law needs figures above 0, got {values.tolist()}")
    return np.log(values), errors / values


def _assign(points: Points, steps: Sequence[Step]) -> tuple[list[Step], NDArray[np.int64]]:
    """Drop steps with an empty side, then say which piece each point belongs to."""
    isos = np.array([iso for iso, _ in points])
    kept: list[Step] = []
    floor = 0.0
    for step in sorted(steps, key=lambda s: s.iso):
        if np.any((isos >= floor) & (isos < step.iso)) and np.any(isos >= step.iso):
            kept.append(step)
            floor = step.iso
    return kept, np.array([sum(iso >= step.iso for step in kept) for iso in isos], dtype=np.int64)


Fitted = tuple[float, float, NDArray[np.float64], float]
"""Intercept, slope, their covariance [2, 2], spread."""


def _fit_pieces(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    error: NDArray[np.float64],
    piece: NDArray[np.int64],
    lone: tuple[float, float],
) -> list[Fitted]:
    """Fit parallel lines, one per piece; `lone` is slope and its spread where no piece has two ISOs."""
    pieces = int(piece.max()) + 1
    design = np.stack([*((piece == index).astype(np.float64) for index in range(pieces)), x], axis=1)
    free = len(y) - pieces - 1
    if max(np.ptp(x[piece == index]) for index in range(pieces)) < 1e-6:
        design = np.vstack([design, np.eye(pieces + 1)[-1]])
        y, error, free = np.append(y, lone[0]), np.append(error, lone[1]), 0
    spread = 0.0 if free > 0 else UNKNOWN_SPREAD
    for _ in range(10):
        weight = 1 / np.maximum(error**2 + spread**2, 1e-10)
        covariance = np.linalg.pinv((design * weight[:, None]).T @ design)
        solution = covariance @ (design.T @ (weight * y))
        if free <= 0:
            break
        residual = y - design @ solution
        spread = math.sqrt(max(float(residual @ residual) / free - float(np.mean(error**2)), 0.0))
    if free > 0:  # few points know their own scatter badly: Student's 68.3 % interval
        spread *= float(stdtrit(free, 0.841345))
    return [
        (float(solution[i]), float(solution[-1]), covariance[np.ix_([i, pieces], [i, pieces])], spread)
        for i in range(pieces)
    ]


def _segment(isos: Sequence[float], fitted: Fitted) -> Segment:
    intercept, slope, covariance, spread = fitted
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return Segment(
        min(isos),
        max(isos),
        Measured(intercept, float(errors[0])),
        Measured(slope, float(errors[1])),
        spread,
        float(covariance[0, 1]),
    )
