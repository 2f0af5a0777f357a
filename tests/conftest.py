"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real raws and calibration frames; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real raw files are not beside this checkout")
    return SHARED_DATA
