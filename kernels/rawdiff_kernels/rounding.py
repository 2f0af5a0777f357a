"""Operations that must round correctly for routes to agree bit for bit, where torch's own may not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def exact_sqrt(x: Tensor) -> Tensor:
    """Return the correctly rounded square root (IEEE 754), without a gradient.

    torch takes the CPU's square root from a vector library whose last bit is wrong in one of 150 values;
    NumPy and CUDA use the instruction, which is exact.
    """
    if x.device.type != "cpu":
        return torch.sqrt(x)
    # Negative values give NaN here as they do in torch, without NumPy's warning.
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(np.sqrt(x.detach().numpy()))
