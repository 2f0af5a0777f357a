"""The sensor profile: everything measured about one camera, per ISO, with laws in between.

Every figure carries its standard error. Between measured ISOs the laws of `laws.py` speak, bent through
the measured neighbours; how far a camera strays from its law is part of the error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from rawdiff_calibration.emva_sheet import EmvaSheet
from rawdiff_calibration.gain_steps import find_steps
from rawdiff_calibration.laws import Law, Step, fit_law
from rawdiff_calibration.measure import Measured
from rawdiff_calibration.noise import NoiseModel

SCHEMA = 1

FourFigures = tuple[Measured, Measured, Measured, Measured]
ThreeFigures = tuple[Measured, Measured, Measured]

NOISE_LAWS = ("read_noise_dn", "tukey_scale_dn", "row_noise_dn", "column_noise_dn")
"""Figures that follow a log law over ISO and step with the conversion gain."""


@dataclass(frozen=True)
class ProfileCamera:
    """Whose sensor it is. `names` are other spellings; `serial_sha256` tells two bodies apart."""

    make: str
    model: str
    names: tuple[str, ...] = ()
    serial_sha256: str | None = None
    firmware: str | None = None


@dataclass(frozen=True)
class ProfileLevels:
    """Black level of R, Gr, Gb, B and white level [DN]; None where the file's own levels are meant."""

    black_dn: FourFigures | None
    white_dn: Measured | None


@dataclass(frozen=True)
class IsoFigures:
    """What one ISO setting does, DN as stored. None where it was not measured.

    `gain_rgb_dn_per_e` and `read_noise_rgb_dn` hold the colours apart where they were measured apart (the
    greens are one colour); `bias_dn` is the offset of R, Gr, Gb, B in the dark beyond the black level;
    `other` holds further figures of the calibration by name (full well, dynamic range, ...).
    """

    iso: float
    gain_dn_per_e: Measured
    read_noise_dn: Measured | None = None
    tukey_lambda: Measured | None = None
    tukey_scale_dn: Measured | None = None
    row_noise_dn: Measured | None = None
    column_noise_dn: Measured | None = None
    dark_current_e_per_s: Measured | None = None
    gain_rgb_dn_per_e: ThreeFigures | None = None
    read_noise_rgb_dn: ThreeFigures | None = None
    black_dn: FourFigures | None = None
    bias_dn: FourFigures | None = None
    other: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True)
class SensorProfile:
    """A calibrated sensor; see `profile_json` for the stored form.

    Attributes:
        iso: measured settings, ascending.
        laws: figure name to its law over ISO.
        steps: where the conversion gain switches.
        prnu, dsnu_e: non-uniformity by part (`total`, `pixel`, `row`, `column`); PRNU relative to 1.
        defects: counts by kind; the map itself is among the arrays beside the profile.
        maps: names and shapes of the arrays in the file beside the profile, and that file's name and hash.
        provenance: where the figures come from: method, files by hash, citation, remarks.
        quantisation_dn: step of the stored values the figures refer to.
        emva_1288: data sheets by ISO and colour, where the frames made a series.
    """

    camera: ProfileCamera
    levels: ProfileLevels
    iso: tuple[IsoFigures, ...]
    laws: Mapping[str, Law]
    steps: tuple[Step, ...] = ()
    prnu: Mapping[str, Measured] = field(default_factory=dict)
    dsnu_e: Mapping[str, Measured] = field(default_factory=dict)
    defects: Mapping[str, Any] = field(default_factory=dict)
    maps: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    quantisation_dn: float = 1.0
    emva_1288: tuple[EmvaSheet, ...] = ()

    @classmethod
    def assemble(
        cls, camera: ProfileCamera, levels: ProfileLevels, iso: tuple[IsoFigures, ...], **rest: Any
    ) -> SensorProfile:
        """Build a profile from measured settings: sort them, find the steps, fit the laws.

        Raises:
            ValueError: no setting, or one ISO twice.
        """
        ordered = tuple(sorted(iso, key=lambda entry: entry.iso))
        if not ordered:
            raise ValueError("a profile needs at least one measured ISO")
        if len({entry.iso for entry in ordered}) < len(ordered):
            raise ValueError("each ISO appears once in a profile")
        steps = find_steps({name: _points(ordered, name) for name in NOISE_LAWS[:3]})
        laws = {"gain_dn_per_e": fit_law(_points(ordered, "gain_dn_per_e"), (), "log", "gain_dn_per_e")}
        for name in NOISE_LAWS:
            points = [(at, figure) for at, figure in _points(ordered, name) if figure.value > 0]
            if points:
                laws[name] = fit_law(points, steps, "log", name)
        if shapes := _points(ordered, "tukey_lambda"):
            laws["tukey_lambda"] = fit_law(shapes, (), "linear", "tukey_lambda")
        return cls(camera, levels, ordered, laws, steps, **rest)

    def figure(self, name: str, iso: float) -> Measured | None:
        """A figure at any ISO: as measured there, otherwise from its law bent through the neighbours.

        The error between neighbours grows like a bridge: theirs at the ends, plus the law's spread, in the
        middle that of a third point and of the mean of two. Beyond the measured range the law's own error
        holds. None where nothing is known.
        """
        points = _points(self.iso, name)
        for at, measured in points:
            if abs(at - iso) <= 1e-3 * iso:
                return measured
        law = self.laws.get(name)
        return None if law is None else _bend(law, points, iso)

    def at(self, iso: float) -> IsoFigures:
        """All figures of the noise model at an ISO.

        Raises:
            ValueError: ISO not above 0, or the profile has no read noise.
        """
        if not (math.isfinite(iso) and iso > 0):
            raise ValueError(f"ISO must be above 0, got {iso}")
        nearest = min(self.iso, key=lambda entry: abs(math.log(entry.iso / iso)))
        gain = self.figure("gain_dn_per_e", iso)
        read = self.figure("read_noise_dn", iso)
        if gain is None or read is None:
            raise ValueError("the profile holds no system gain or no read noise")
        return replace(
            nearest,
            iso=iso,
            gain_dn_per_e=gain,
            read_noise_dn=read,
            tukey_lambda=self.figure("tukey_lambda", iso),
            tukey_scale_dn=self.figure("tukey_scale_dn", iso),
            row_noise_dn=self.figure("row_noise_dn", iso),
            column_noise_dn=self.figure("column_noise_dn", iso),
            gain_rgb_dn_per_e=_follow(nearest.gain_rgb_dn_per_e, nearest.gain_dn_per_e, gain),
            read_noise_rgb_dn=_follow(nearest.read_noise_rgb_dn, nearest.read_noise_dn, read),
            bias_dn=self._bias(iso),
        )

    def noise_model(self, iso: float, white_dn: float | None = None) -> NoiseModel:
        """The noise of one frame at an ISO.

        `white_dn` is the white level of the frame's own numbers: files of the same camera in another bit
        depth (12 instead of 14) scale by the power of two between the two white levels.

        Raises:
            ValueError: ISO not above 0, or the profile has no read noise.
        """
        here = self.at(iso)
        scale = self.bit_scale(white_dn)
        gain, read = _value(here.gain_dn_per_e), _value(here.read_noise_dn)
        gains = [_value(f) for f in here.gain_rgb_dn_per_e] if here.gain_rgb_dn_per_e else [gain] * 3
        reads = [_value(f) for f in here.read_noise_rgb_dn] if here.read_noise_rgb_dn else [read] * 3
        bias = [_value(f) * scale for f in here.bias_dn] if here.bias_dn else [0.0] * 4
        tailed = here.tukey_lambda is not None and here.tukey_scale_dn is not None
        return NoiseModel(
            (gains[0] * scale, gains[1] * scale, gains[2] * scale),
            (reads[0] * scale, reads[1] * scale, reads[2] * scale),
            tukey_lambda=_value(here.tukey_lambda) if tailed else None,
            tukey_scale_dn=_value(here.tukey_scale_dn) * scale if tailed else None,
            row_noise_dn=_value(here.row_noise_dn) * scale,
            column_noise_dn=_value(here.column_noise_dn) * scale,
            quantisation_dn=self.quantisation_dn,
            bias_dn=(bias[0], bias[1], bias[2], bias[3]),
            origin=f"the profile of {self.camera.make} {self.camera.model} at ISO {iso:g}",
        )

    def bit_scale(self, white_dn: float | None) -> float:
        """DN of a file with this white level per DN of the profile: a power of two, 1 where unknown."""
        if white_dn is None or self.levels.white_dn is None or white_dn <= 0:
            return 1.0
        return float(2.0 ** round(math.log2(white_dn / self.levels.white_dn.value)))

    def covers(self, iso: float) -> bool:
        """True where an ISO lies within the measured range (a third of a stop of grace)."""
        grace = 2 ** (1 / 3) + 1e-3
        return self.iso[0].iso / grace <= iso <= self.iso[-1].iso * grace

    def _bias(self, iso: float) -> FourFigures | None:
        known = [entry for entry in self.iso if entry.bias_dn is not None]
        if not known:
            return None
        nearest = min(known, key=lambda entry: abs(math.log(entry.iso / iso)))
        return nearest.bias_dn


def _value(figure: Measured | None) -> float:
    return 0.0 if figure is None else figure.value


def _points(entries: tuple[IsoFigures, ...], name: str) -> list[tuple[float, Measured]]:
    known = {f.name for f in fields(IsoFigures)}
    found = [(e.iso, getattr(e, name) if name in known else e.other.get(name)) for e in entries]
    return [(iso, figure) for iso, figure in found if figure is not None]


def _follow(colors: ThreeFigures | None, of: Measured | None, to: Measured) -> ThreeFigures | None:
    """Carry the ratio of the colours from the nearest measured ISO to another."""
    if colors is None or of is None or of.value <= 0:
        return None
    red, green, blue = (color.scaled(to.value / of.value) for color in colors)
    return red, green, blue


def _bend(law: Law, points: list[tuple[float, Measured]], iso: float) -> Measured:
    """Law times (or plus) the neighbours' residual, interpolated in log ISO within one piece.

    Beyond the last neighbour its residual is carried on, and half of it added to the law's error.
    """
    base = law.at(iso)
    mine = [point for point in points if law.index(point[0]) == law.index(iso) and _fits(law, point[1])]
    below = [point for point in mine if point[0] < iso]
    above = [point for point in mine if point[0] > iso]
    if not mine:
        return base
    if not below or not above:
        value = _carry(law, base.value, (below or above)[-1 if below else 0])
        return Measured(value, math.hypot(base.se, (value - base.value) / 2))
    (iso0, left), (iso1, right) = below[-1], above[0]
    t = math.log(iso / iso0) / math.log(iso1 / iso0)
    bridge = law.segments[law.index(iso)].spread * math.sqrt(6 * t * (1 - t))
    if law.form == "linear":
        residual = (1 - t) * (left.value - law.at(iso0).value) + t * (right.value - law.at(iso1).value)
        return Measured(base.value + residual, _norm((1 - t) * left.se, t * right.se, bridge))
    ends = [
        (1 - t) * math.log(left.value / law.at(iso0).value),
        t * math.log(right.value / law.at(iso1).value),
    ]
    value = base.value * math.exp(sum(ends))
    errors = ((1 - t) * left.se / left.value, t * right.se / right.value, bridge)
    return Measured(value, value * _norm(*errors))


def _carry(law: Law, value: float, neighbour: tuple[float, Measured]) -> float:
    """Shift the law's value to go on from the last measured setting without a jump."""
    iso, figure = neighbour
    expected = law.at(iso).value
    return value + figure.value - expected if law.form == "linear" else value * figure.value / expected


def _fits(law: Law, figure: Measured) -> bool:
    return law.form == "linear" or figure.value > 0


def _norm(*errors: float) -> float:
    """Root of the sum of squares; an error that was never measured counts as none beside the spread."""
    return math.sqrt(sum(error**2 for error in errors if math.isfinite(error)))
