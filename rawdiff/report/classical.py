"""Classical denoisers to stand beside: the floor that a trained network has to clear.

All work on the variance-stabilised planes and come back by the exact unbiased inverse, so that only the
denoiser differs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawdiff.errors import missing_extra
from rawdiff.physics.encoding import VarianceStabilised

PlaneDenoiser = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def leave_noisy(
    planes: Tensor, gain: Tensor, sigma: Tensor, exposure: float | Tensor, strength: float
) -> Tensor:
    """The input itself: the bottom of the ladder."""
    return planes


def non_local_means(
    planes: Tensor, gain: Tensor, sigma: Tensor, exposure: float | Tensor, strength: float
) -> Tensor:
    """Non-local means on each plane (Buades, Coll and Morel, CVPR 2005), patches 5x5, search 21x21.

    Raises:
        ConfigurationError: scikit-image is not installed.
    """
    try:
        from skimage.restoration import denoise_nl_means
    except ImportError:
        raise missing_extra("scikit-image", "metrics") from None

    def smooth(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        clean = denoise_nl_means(plane, patch_size=5, patch_distance=10, h=0.8, sigma=1.0, fast_mode=True)
        return np.asarray(clean, np.float32)

    return _by_plane(smooth, planes, gain, sigma, exposure)


def _by_plane(
    smooth: PlaneDenoiser, planes: Tensor, gain: Tensor, sigma: Tensor, exposure: float | Tensor
) -> Tensor:
    """Denoise at unit noise. Where exposures vary the planes are scaled by their root first."""
    frames = torch.as_tensor(exposure, dtype=planes.dtype)
    encoding = VarianceStabilised(gain.view(4, 1, 1), sigma.view(4, 1, 1))
    unit = encoding.encode(planes, frames) * torch.sqrt(frames)
    clean = torch.stack([torch.from_numpy(smooth(plane.numpy())) for plane in unit])
    return encoding.decode(clean / torch.sqrt(frames), frames)
