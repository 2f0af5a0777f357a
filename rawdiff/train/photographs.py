"""Photographs for training: chosen once, reduced in linear light, kept in a cache, split by photograph.

A folder is described by its `photographs.json`, or taken whole: every picture in it trains, except those
whose names are held out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Generator, Tensor

from rawdiff.errors import InputError
from rawdiff.simulate.dead_leaves import draw_scene
from rawdiff.simulate.scene import load_photograph

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
_SMALLEST_SIDE = 160
_ROOT_SCALE = 65535.0


@dataclass(frozen=True)
class Photograph:
    """One source: where it lies, under which licence, and what it may train.

    Attributes:
        path: of the file.
        licence: a name such as CC-BY-4.0.
        author: who made it.
        held_out: it only validates.
        recipes: what it may train, everything where empty; small pictures are of no use to a denoiser.
    """

    path: str
    licence: str = "not stated"
    author: str = "not stated"
    held_out: bool = False
    recipes: Sequence[str] = ()

    @property
    def name(self) -> str:
        """File name without its folder."""
        return Path(self.path).name

    def trains(self, recipe: str) -> bool:
        """True where it may be trained on."""
        return not self.held_out and (not self.recipes or recipe in self.recipes)


def list_photographs(folder: str | Path) -> list[Photograph]:
    """Read which photographs there are.

    Args:
        folder: a folder of pictures, or a `photographs.json` (list of objects with `path`, `licence`,
            `author`, `held_out`, `recipes`; relative paths start at its own folder).

    Raises:
        InputError: nothing there, or the list cannot be read.
    """
    place = Path(folder)
    listing = place if place.suffix == ".json" else place / "photographs.json"
    if listing.is_file():
        try:
            entries = [Photograph(**entry) for entry in json.loads(listing.read_text(encoding="utf-8"))]
        except (ValueError, TypeError) as error:
            raise InputError(f"the list of photographs cannot be read: {error}", where=listing) from error
        return [Photograph(**{**asdict(e), "path": str(listing.parent / e.path)}) for e in entries]
    found = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise InputError("no photographs", where=place, hint="a folder with JPEG, PNG, WebP or TIFF pictures")
    return [Photograph(str(path)) for path in found]


def prepare(photograph: Photograph, reduce: int, cache: Path) -> NDArray[np.uint16] | None:
    """Return the photograph reduced, `[3, H, W]`, as roots of linear light scaled to 65535.

    The cache is keyed by the file's content. None where the reduced picture would be too small to train.
    """
    content = hashlib.sha256(Path(photograph.path).read_bytes()).hexdigest()[:16]
    stored = cache / f"{content}-{reduce}.npy"
    if not stored.is_file():
        linear = load_photograph(photograph.path, reduce)
        if min(linear.shape[1:]) < _SMALLEST_SIDE:
            return None
        _store(stored, linear)
    return np.load(stored, mmap_mode="r")  # type: ignore[no-any-return]


def reduced_size(photograph: Photograph, reduce: int) -> tuple[int, int]:
    """Columns and rows of the photograph after reduction; only its head is read.

    Nothing for a file that is no picture: whoever loads it says so.
    """
    try:
        with Image.open(photograph.path) as picture:
            return picture.size[0] // reduce, picture.size[1] // reduce
    except (OSError, ValueError, SyntaxError):
        return _SMALLEST_SIDE, _SMALLEST_SIDE


def prepare_leaves(count: int, side: int, seed: int, cache: Path) -> list[NDArray[np.uint16]]:
    """Draw `count` dead-leaves scenes once, of the form `prepare` returns."""
    scenes = []
    for number in range(count):
        stored = cache / f"leaves-{seed}-{number}-{side}.npy"
        if not stored.is_file():
            generator = torch.Generator().manual_seed(seed * 100003 + number)
            _store(stored, draw_scene(side, side, generator))
        scenes.append(np.load(stored, mmap_mode="r"))
    return scenes


def _store(path: Path, linear: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part.npy")
    np.save(beside, np.rint(linear.clamp(0, 1).sqrt().numpy() * _ROOT_SCALE).astype(np.uint16))
    beside.replace(path)


class Library:
    """Scenes to crop from. Larger ones are drawn more often, by the square root of their area.

    Args:
        photographs: the training part.
        reductions: each photograph is kept at every one of these.
        leaves: number of dead-leaves scenes.
        leaves_share: fraction of crops that come from them.
        seed: of the dead leaves.
        cache: folder of prepared scenes.
        largest: reductions with more pixels on the longer side are left out; 0 for no limit.

    Raises:
        InputError: photographs are missing, or none is large enough.
    """

    def __init__(
        self,
        photographs: Sequence[Photograph],
        reductions: Sequence[int],
        leaves: int,
        leaves_share: float,
        seed: int,
        cache: Path,
        largest: int = 0,
    ) -> None:
        missing = [p.path for p in photographs if not Path(p.path).is_file()]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(photographs)} photographs are missing, such as {missing[0]}",
                hint="put them where the list says, or take them off the list",
            )
        sizes = [(p, r, reduced_size(p, r)) for p in photographs for r in reductions]
        sized = [(p, r, size) for p, r, size in sizes if min(size) >= _SMALLEST_SIDE]
        prepared = [(p, r, prepare(p, r, cache)) for p, r, size in sized if not 0 < largest < max(size)]
        kept = [(p, r, scene) for p, r, scene in prepared if scene is not None]
        if not kept:
            raise InputError("no photograph is large enough to train on", hint="give larger ones")
        self.used = tuple((photograph, reduce) for photograph, reduce, _ in kept)
        self.scenes = [scene for _, _, scene in kept]
        areas = torch.tensor([float(np.prod(scene.shape[1:])) for scene in self.scenes]).sqrt()
        weights = areas / areas.sum() * (1.0 if leaves == 0 else 1.0 - leaves_share)
        if leaves:
            self.scenes += prepare_leaves(leaves, 512, seed, cache)
            weights = torch.cat([weights, torch.full((leaves,), leaves_share / leaves)])
        self.weights = weights

    def crop(self, side: int, generator: Generator) -> Tensor:
        """Cut `[3, side, side]` of linear light out of a random scene, turned and mirrored at random."""
        return self.window((side, side), generator)

    def window(self, size: tuple[int, int], generator: Generator) -> Tensor:
        """Cut `[3, *size]` out of a random scene, turned and mirrored; smaller where the scene is.

        A scene that is too small gives the largest window of the same shape.
        """
        number = int(torch.multinomial(self.weights, 1, generator=generator))
        scene = self.scenes[number]
        place = torch.rand(2, generator=generator).tolist()
        turn = int(torch.randint(8, (1,), generator=generator))
        height, width = size if turn % 2 == 0 else size[::-1]
        fit = min(1.0, scene.shape[1] / height, scene.shape[2] / width)
        height, width = max(round(height * fit), 1), max(round(width * fit), 1)
        top = int(place[0] * (scene.shape[1] - height + 1))
        left = int(place[1] * (scene.shape[2] - width + 1))
        part = np.array(scene[:, top : top + height, left : left + width], dtype=np.float32)
        linear = torch.rot90((torch.from_numpy(part) / _ROOT_SCALE) ** 2, turn % 4, (1, 2))
        return linear.flip(2) if turn >= 4 else linear

    def megapixels(self) -> float:
        """Pixels of all scenes together, in millions."""
        return sum(float(np.prod(scene.shape[1:])) for scene in self.scenes) / 1e6
