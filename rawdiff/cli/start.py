"""The way in from the shell."""

from __future__ import annotations

import os


def run() -> None:
    """Enter from the shell.

    OpenMP's threads are told to sleep while they wait, before torch starts them: on a machine with other
    work they would spend more time spinning than computing. A user's own setting stands.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from rawdiff.cli.main import app

    app()
