"""The classical denoisers side by side: what each gains, what each does to the mean, what each costs.

`python -m benchmarks.classical_floor` photographs pictures of scikit-image at an exposure ratio (K = 4 DN/e-,
read noise 4 DN, 14 bits), denoises the packed raw, and prints PSNR after amplification (clipped to 0..1, not
aligned), the error of the mean on flat fields, and CPU seconds per megapixel of mosaic on one thread.
`--photos` takes pictures of your own, reduced by area averaging in linear light.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rawdiff_kernels import anscombe
from skimage import data as photographs
from skimage.restoration import denoise_nl_means, denoise_wavelet

from rawdiff.color.spaces import SRGB_TRANSFER
from rawdiff.recipes import wavelet_shrink

WHITE_DN, GAIN_DN, READ_DN = 15583.0, 4.0, 4.0
GAIN = torch.full((4,), GAIN_DN / WHITE_DN)
SIGMA = torch.full((4,), (READ_DN**2 + 1 / 12) ** 0.5 / WHITE_DN)
PICTURES = ("coffee", "rocket", "astronaut", "chelsea")
LEVELS_E = (0.5, 1.0, 3.0, 10.0, 100.0)

Denoiser = Callable[[torch.Tensor], torch.Tensor]


def floor(planes: torch.Tensor) -> torch.Tensor:
    return wavelet_shrink.denoise(planes, GAIN, SIGMA)


def stabilised(smooth: Denoiser) -> Denoiser:
    """A denoiser of unit Gaussian noise, between the Anscombe transform and its exact unbiased inverse."""
    gain, sigma = GAIN.view(4, 1, 1), SIGMA.view(4, 1, 1)
    return lambda planes: anscombe.inverse(smooth(anscombe.forward(planes, gain, sigma)), gain, sigma)


def unit_floor(planes: torch.Tensor) -> torch.Tensor:
    return wavelet_shrink.denoise(planes, torch.full((4,), 1e-9), torch.ones(4))


def bayes_shrink(planes: torch.Tensor) -> torch.Tensor:
    clean = [denoise_wavelet(plane.numpy(), sigma=1.0, wavelet="db2", mode="soft") for plane in planes]
    return torch.from_numpy(np.stack(clean)).float()


def nonlocal_means(planes: torch.Tensor) -> torch.Tensor:
    clean = [
        denoise_nl_means(plane.numpy(), patch_size=5, patch_distance=6, h=0.8, sigma=1.0) for plane in planes
    ]
    return torch.from_numpy(np.stack(clean)).float()


DENOISERS: dict[str, Denoiser] = {
    "noisy": lambda planes: planes,
    "rawdiff wavelet-shrink": floor,
    "the same, stabilised": stabilised(unit_floor),
    "BayesShrink db2, stabilised": stabilised(bayes_shrink),
    "non-local means, stabilised": stabilised(nonlocal_means),
}


def expose(light_e: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    signal_dn = torch.poisson(light_e, generator=generator) * GAIN_DN
    signal_dn += torch.randn(light_e.shape, generator=generator) * READ_DN
    return signal_dn.round() / WHITE_DN


def pack_picture(picture: np.ndarray, reduction: int = 1) -> torch.Tensor:
    light = SRGB_TRANSFER.decode(picture[..., :3] / 255.0)
    height, width = (size // (2 * reduction) * 2 for size in light.shape[:2])
    light = light[: height * reduction, : width * reduction]
    light = light.reshape(height, reduction, width, reduction, 3).mean(axis=(1, 3))
    sites = [light[0::2, 0::2, 0], light[0::2, 1::2, 1], light[1::2, 0::2, 1], light[1::2, 1::2, 2]]
    return torch.from_numpy(np.stack(sites)).float()


def measure(denoise: Denoiser, truths: list[torch.Tensor], ratio: float) -> tuple[list[float], float]:
    """PSNR of every picture [dB] and CPU seconds per megapixel of mosaic."""
    psnr, spent, pixels = [], 0.0, 0
    for truth in truths:
        noisy = expose(truth * WHITE_DN / ratio / GAIN_DN, seed=3)
        start = time.process_time()
        clean = denoise(noisy)
        spent += time.process_time() - start
        pixels += truth.numel()
        error = ((clean * ratio).clamp(0, 1) - truth).double().square().mean().item()
        psnr.append(-10 * float(np.log10(error)))
    return psnr, spent / pixels * 1e6


def mean_errors(denoise: Denoiser) -> list[float]:
    """Mean of flat fields after denoising against their mean before [%]."""
    errors = []
    for level in LEVELS_E:
        noisy = expose(torch.full((4, 256, 256), level), seed=5)
        errors.append(100 * (denoise(noisy).double().mean() / noisy.double().mean() - 1).item())
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--ratio", type=float, default=100.0)
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    parser.add_argument("--reduction", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.photos:
        truths = [pack_picture(np.asarray(Image.open(path)), chosen.reduction) for path in chosen.photos]
    else:
        truths = [pack_picture(getattr(photographs, name)()) for name in PICTURES]
    print(f"ratio {chosen.ratio:g}; PSNR [dB] per picture, mean; mean [%] at {LEVELS_E} e-; CPU s/MP")
    for name, denoise in DENOISERS.items():
        psnr, cost = measure(denoise, truths, chosen.ratio)
        figures = " ".join(f"{value:5.2f}" for value in psnr)
        biases = " ".join(f"{value:+6.2f}" for value in mean_errors(denoise))
        print(f"{name:28} {figures} | {np.mean(psnr):5.2f} | {biases} | {cost:5.2f}")


if __name__ == "__main__":
    main()
