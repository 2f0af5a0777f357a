"""The names that the package hands on, and what they cost."""

from __future__ import annotations

import subprocess
import sys

import pytest
import rawdiff_calibration


def test_every_name_is_there():
    for name in dir(rawdiff_calibration):
        assert getattr(rawdiff_calibration, name).__name__ == name


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rawdiff_calibration.nothing


def test_the_noise_model_does_not_load_scipy():
    code = "import sys; from rawdiff_calibration import NoiseModel; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
