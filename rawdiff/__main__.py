"""`python -m rawdiff` is `rawdiff`."""

from rawdiff.cli.start import run

run()
