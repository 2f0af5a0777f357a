"""The way in from the shell."""

from __future__ import annotations

import os
import sys


def run() -> None:
    """Enter from the shell, with the one command that was asked for.

    OpenMP's threads are told to sleep while they wait, before torch starts them: on a machine with other
    work they would spend more time spinning than computing. A user's own setting stands.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from rawdiff.cli.commands import build_app

    build_app([word for word in sys.argv[1:] if not word.startswith("-")][:1])()
