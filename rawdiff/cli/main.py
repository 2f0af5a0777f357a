"""The whole `rawdiff` command, every part of it loaded."""

from __future__ import annotations

from rawdiff.cli.commands import COMMANDS, build_app

app = build_app(COMMANDS)
