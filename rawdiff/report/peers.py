"""Denoisers outside the product, run beside it on the same frames.

A peer is a program of the user's, in an environment of its own: what its licence says stays there. It is
started once and answers frame by frame:

- rawdiff writes a line `INPUT OUTPUT` to its standard input, two paths of `.npz` files;
- INPUT holds float32 `planes` `[4, h, w]` (R, Gr, Gb, B; black 0, white 1), `gain` and `sigma` `[4]` (one
  electron; standard deviation in the dark), and `stabilised` `[4, h, w]`, the generalised Anscombe transform
  of the planes, whose noise has standard deviation 1;
- the peer writes OUTPUT with either `planes` or `stabilised`, which then comes back by the exact unbiased
  inverse, and answers with one line: the CPU seconds it took;
- at the end of its input it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from rawdiff.errors import ConfigurationError, DamagedFileError, ProcessingError
from rawdiff.physics.encoding import VarianceStabilised
from rawdiff.report.denoise_cases import DarkFrame


class Peer:
    """A running peer; use it as a context manager.

    Args:
        name: its name in the table.
        command: words of the command that starts it.

    Raises:
        ConfigurationError: it cannot be started.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._folder = tempfile.TemporaryDirectory(prefix="rawdiff-peer-")
        try:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            self._folder.cleanup()
            raise ConfigurationError(f"the peer '{name}' cannot be started: {error}") from None

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.__exit__(kind, error, trace)
        self._folder.cleanup()

    def denoise(self, frame: DarkFrame) -> tuple[Tensor, float]:
        """Denoise a frame: planes `[4, h, w]` and the CPU seconds it took.

        Raises:
            ProcessingError: the peer ended, or its answer is none.
        """
        there, back = Path(self._folder.name) / "in.npz", Path(self._folder.name) / "out.npz"
        back.unlink(missing_ok=True)
        encoding = VarianceStabilised(frame.gain.view(4, 1, 1), frame.sigma.view(4, 1, 1))
        np.savez(
            there,
            planes=frame.noisy.numpy(),
            gain=frame.gain.numpy(),
            sigma=frame.sigma.numpy(),
            stabilised=encoding.encode(frame.noisy).numpy(),
        )
        seconds = self._ask(f"{there} {back}")
        try:
            with np.load(back) as answer:
                stored = {name: torch.from_numpy(answer[name]).float() for name in answer.files}
        except (OSError, ValueError) as error:
            raise ProcessingError(f"the peer '{self.name}' left no planes: {error}") from None
        if stored.keys() not in ({"planes"}, {"stabilised"}):
            raise ProcessingError(f"the peer '{self.name}' answers with {sorted(stored)}")
        planes = stored["planes"] if "planes" in stored else encoding.decode(stored["stabilised"])
        if planes.shape != frame.noisy.shape:
            raise ProcessingError(f"the peer '{self.name}' answers with planes {tuple(planes.shape)}")
        return planes, seconds

    def _ask(self, line: str) -> float:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            return float(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            raise ProcessingError(
                f"the peer '{self.name}' gave no CPU seconds; its own messages are above"
            ) from None


def parse_peer(text: str) -> tuple[str, list[str]]:
    """Read `NAME=COMMAND`.

    Raises:
        ConfigurationError: it is not of that form.
    """
    name, _, command = text.partition("=")
    words = shlex.split(command)
    if not name or not words:
        raise ConfigurationError(f"'{text}' is no peer", hint="such as bm3d='python peer.py'")
    return name, words


@dataclass(frozen=True)
class Figures:
    """What one estimate is worth; `report.metrics` says how each is measured."""

    psnr_db: float
    ssim: float
    delta_e: float
    aligned_psnr_db: float
    aligned_ssim: float
    cpu_s: float


class KeptFigures:
    """Figures of peers that ran before, in a JSON file, by peer and digest of the frame.

    Raises:
        DamagedFileError: the file is none of those.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: dict[str, dict[str, Figures]] = {}
        if path.is_file():
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
                self._kept = {
                    peer: {digest: Figures(**row) for digest, row in rows.items()}
                    for peer, rows in stored.items()
                }
            except (ValueError, TypeError, AttributeError) as error:
                raise DamagedFileError(f"not figures of peers: {error}", where=path) from None

    def peers(self) -> list[str]:
        """Those there are figures of."""
        return list(self._kept)

    def find(self, peer: str, frame: DarkFrame) -> Figures | None:
        """Figures of exactly this frame, None where it never ran on it."""
        return self._kept.get(peer, {}).get(frame.digest())

    def keep(self, peer: str, frame: DarkFrame, figures: Figures) -> None:
        """Add figures; the file is rewritten whole."""
        self._kept.setdefault(peer, {})[frame.digest()] = figures
        plain = {
            peer: {digest: asdict(row) for digest, row in sorted(rows.items())}
            for peer, rows in sorted(self._kept.items())
        }
        beside = self.path.with_name(self.path.name + ".part")
        beside.write_text(_compact(plain), encoding="utf-8")
        os.replace(beside, self.path)


def _compact(plain: dict[str, dict[str, dict[str, float]]]) -> str:
    """JSON of one line a frame, figures to six digits."""
    peers = []
    for peer, rows in plain.items():
        short = {d: {name: float(f"{value:.6g}") for name, value in row.items()} for d, row in rows.items()}
        lines = [f"  {json.dumps(digest)}: {json.dumps(row)}" for digest, row in short.items()]
        peers.append(f"{json.dumps(peer)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(peers) + "\n}\n"
