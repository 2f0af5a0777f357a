"""Adding photons: aligned frames join the reference where the noise model says that they show the same.

Every frame is compared with the estimate so far by two statistics under the calibrated noise: the energy of
the difference in a small window, which finds texture that moved (`rawdiff_kernels.merge`), and the signed
difference of a large one, which finds an object hidden in the noise. Both have known laws where nothing
moved, so rejection is a false-alarm rate, at any level of light.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rawdiff_kernels import merge as merge_kernel
from scipy.ndimage import distance_transform_edt, maximum_filter
from scipy.special import chdtri
from torch import Tensor

from rawdiff.burst.align import CLIP, STRIDE, TILE
from rawdiff.burst.motion import fixed_sum
from rawdiff.raw.frame import CfaPhase, plane_sites

FALSE_ALARM = 1e-4
"""Share of a still scene that loses half its weight by chance."""
WIDE_FALSE_ALARM = 1e-6
_FINE_RADIUS, _WIDE_RADIUS = 2, 5
_AROUND = _WIDE_RADIUS // 2
HALO = 2 * _WIDE_RADIUS + _AROUND + _FINE_RADIUS + 1
"""Rows beyond a row that judge it: the window of a difference, that of its light, the alarm's reach, and the
small window, which asks for the alarms around it."""
_LONGER = 1.05
"""Exposure from which a frame clips where the reference does not."""
BAND = 256
"""Rows of cells that are worked on at a time."""
_PLANES = 4
_UNSEEN = 1e-4
"""Weight of a cell that the base clips: the first frame that sees it takes it."""
_LEAST_RATIO = 1 / 16
"""Of a colour's mean light to the brightest's, where weights are chosen."""
_MISREGISTRATION_PX = 0.04
"""Standard deviation of the alignment in packed pixels, as simulated bursts of 60 to 400 electrons show."""


@dataclass(frozen=True, eq=False)
class Light:
    """A frame ready to be added, in the reference's white range.

    Attributes:
        planes: packed raw `[4, h, w]` as stored, black 0.
        gain: `[4]`, per electron.
        sigma: `[4]`, of the signal-independent noise.
        exposure: how many times the reference's light it holds.
        phase: of the CFA, the same in all frames.
    """

    planes: Tensor
    gain: Tensor
    sigma: Tensor
    exposure: float = 1.0
    phase: CfaPhase = "RGGB"

    def usable(self) -> Tensor:
        """The planes with clipped values, and those beside them in the cell, as NaN."""
        clipped = self.planes.amax(dim=0) >= CLIP
        return self.planes.masked_fill(clipped, torch.nan) if bool(clipped.any()) else self.planes


class Merge:
    """The burst so far. The base comes first; frames are added one at a time and not kept."""

    def __init__(self, reference: Light, band: int = BAND, base: Light | None = None) -> None:
        """Begin with the base, the frame that the others are laid on.

        Args:
            reference: in whose light everything is counted.
            band: rows of cells that are worked on at a time; they do not show.
            base: a longer frame, whose many photons then need no interpolation; the reference unless given.
        """
        self._reference_gain, self._reference_sigma = reference.gain, reference.sigma
        base = reference if base is None else base
        self._begun = torch.full(base.planes.shape[1:], base.exposure)
        if base.exposure >= _LONGER:
            self._begun[base.usable()[0].isnan()] = _UNSEEN
        seen = self._begun > _UNSEEN
        self._total = torch.where(seen, base.planes, base.planes * (_UNSEEN / base.exposure))
        self._weight = self._begun.clone()
        self._square = torch.where(seen, self._begun, _UNSEEN**2)
        self._sums = (self._total, self._weight, self._square)
        self._taps, self._red = _choose_taps(reference), plane_sites(reference.phase)[0]
        self._band, self._added = band, 0.0

    def add(self, frame: Light, vectors: Tensor) -> float:
        """Add a frame that `vectors` lay on the base, band by band; return the share that was trusted.

        A band has the bits of the whole: what judges a row reaches `HALO` rows beyond it, and of the rows
        above a band the estimate is kept as it was before this frame was added to them.

        Args:
            frame: of the base's size.
            vectors: `[Ty, Tx, 2]` packed pixels, as `align.align_frame` gives them.
        """
        height = self._weight.shape[0]
        # A frame of equal exposure clips where the reference does: there is nothing better to be had.
        planes = frame.planes if frame.exposure < _LONGER else frame.usable()
        if frame.exposure != 1.0:
            planes = planes / frame.exposure
        above = self._rows(0, 0)
        trusted = 0.0
        for top in range(0, height, self._band):
            bottom = min(top + self._band, height)
            outer = max(top - HALO, 0), min(bottom + HALO, height)
            below = self._rows(top, outer[1])
            sums = [torch.cat(pair, dim=-2) for pair in zip(above, below, strict=True)]
            keep = max(bottom - HALO, 0) - outer[0], bottom - outer[0]
            above = [part[..., keep[0] : keep[1], :].clone() for part in sums]
            trust = self._judge(frame, planes, vectors, outer, sums)
            inner = slice(top - outer[0], bottom - outer[0])
            for whole, part in zip(self._sums, sums, strict=True):
                whole[..., top:bottom, :] = part[..., inner, :]
            trusted += fixed_sum(trust[inner])
        self._added += frame.exposure
        return trusted / self._weight.numel()

    def _rows(self, top: int, bottom: int) -> list[Tensor]:
        return [whole[..., top:bottom, :] for whole in self._sums]

    def _judge(
        self, frame: Light, planes: Tensor, vectors: Tensor, rows: tuple[int, int], sums: list[Tensor]
    ) -> Tensor:
        """Add rows of a frame to the sums of those rows, and return their trust, `[rows, w]`."""
        warped, share = merge_kernel.warp(
            planes, vectors, STRIDE, (TILE - 1) / 2, self._taps, red=self._red, rows=rows
        )
        first = (sums[1] <= _UNSEEN) & (share > 0)
        if bool(first.any()):
            _begin(first, frame.exposure, warped, share, sums)
            share = share.masked_fill(first, 0.0)
        share = share.masked_fill(self._moved(frame, warped, share, sums), 0.0)
        trust = merge_kernel.accumulate(
            sums[0],
            sums[1],
            sums[2],
            warped,
            share,
            exposure=frame.exposure,
            gain=self._reference_gain.tolist(),
            sigma=self._reference_sigma.tolist(),
            radius=_FINE_RADIUS,
            false_alarm=FALSE_ALARM,
            misregistration=_MISREGISTRATION_PX,
        )
        return trust * (share > 0) + first

    def _moved(self, frame: Light, warped: Tensor, share: Tensor, sums: list[Tensor]) -> Tensor:
        """Cells near a window whose summed light differs from the estimate's beyond chance, `[rows, w]`."""
        light, exposures = merge_kernel.result(*sums)
        gain, floor = (v.view(_PLANES, 1, 1) for v in (self._reference_gain, self._reference_sigma**2))
        variance = (gain * light.clamp(min=0) + floor) / exposures
        _, shift = merge_kernel.mismatch(
            light,
            variance,
            warped,
            share,
            frame.gain.tolist(),
            frame.sigma.tolist(),
            frame.exposure,
            _WIDE_RADIUS,
        )
        alarm = shift * _PLANES > float(chdtri(_PLANES, WIDE_FALSE_ALARM))
        # Half a window around: an object's edge is as wrong as its middle.
        return torch.from_numpy(maximum_filter(alarm.numpy(), 2 * _AROUND + 1, mode="constant"))

    def left_out(self) -> Tensor:
        """Share of the other frames' light that was not trusted, `[h, w]` from 0 to 1."""
        return 1 - (self._weight - self._begun).clamp(min=0) / max(self._added, 1e-9)

    def result(self) -> tuple[Tensor, Tensor]:
        """Merged planes `[4, h, w]` and effective exposures `[h, w]`.

        A highlight that the base clips and no other frame sees, at the frame's edge, is at least as bright as
        there and as beside it.
        """
        light, exposures = merge_kernel.result(self._total, self._weight, self._square)
        unseen = self._weight <= _UNSEEN
        if bool(unseen.any()):
            rows, columns = distance_transform_edt(
                unseen.numpy(), return_distances=False, return_indices=True
            )
            beside = light[:, torch.from_numpy(rows)[unseen], torch.from_numpy(columns)[unseen]]
            light[:, unseen] = torch.maximum(light[:, unseen], beside)
        return light, exposures


def _begin(first: Tensor, exposure: float, warped: Tensor, share: Tensor, sums: list[Tensor]) -> None:
    """Take cells that no frame has seen so far, `first`, from this one: there is nothing to test them by."""
    own = exposure * warped, torch.full_like(share, exposure), exposure * share
    for whole, part in zip(sums, own, strict=True):
        whole.copy_(torch.where(first, part, whole))


def _choose_taps(reference: Light) -> merge_kernel.Taps:
    """How frames are read between their samples: by the colours of the scene's mean light."""
    means = torch.tensor([fixed_sum(plane) for plane in reference.planes]) / reference.planes[0].numel()
    noise = (reference.gain * means.clamp(min=0) + reference.sigma**2).clamp(min=1e-18)
    # A dark frame, or a colour that is missing, tells no ratio.
    light = means.clamp(min=max(_LEAST_RATIO * float(means.max()), 1e-9))
    colors, spread = ([v[0], (v[1] + v[2]) / 2, v[3]] for v in (light.tolist(), noise.tolist()))
    return merge_kernel.mosaic_taps(colors, spread)
