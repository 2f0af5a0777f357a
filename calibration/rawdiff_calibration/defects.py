"""Pixels that do not measure light: hot, dead and random-telegraph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DefectMap = NDArray[np.uint8]
"""`[H, W]` codes: GOOD, HOT, DEAD or TELEGRAPH."""

GOOD, HOT, DEAD, TELEGRAPH = 0, 1, 2, 3
