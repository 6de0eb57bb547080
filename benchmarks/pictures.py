"""Test pictures made of photographs from installed packages."""

from __future__ import annotations

import random
from itertools import count, cycle
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from benchmarks.timing import SEED
from sightglass.common import packaged
from sightglass.common.errors import ImageProblem, ModelProblem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PHOTOGRAPHS = ("china", "flower", "bus")
TILE = 12
"""Pixels of a tile of a picture's plate, which shows the picture's number."""
BITS = 16


def photograph(name: str, size: tuple[int, int]) -> Image.Image:
    """Return a photograph, cropped and resized to (width, height)."""
    if (path := packaged.photograph(name)) is None:
        raise ImageProblem(f"The package of the picture {name} is not installed: install requirements.txt.")
    with Image.open(path) as opened:
        return ImageOps.fit(opened.convert("RGB"), size, Image.Resampling.LANCZOS)


def list_photographs(folder: Path | None) -> Iterator[Path]:
    """Yield a folder's photographs, or those of packages, in the same order."""
    if folder is None:
        yield from packaged.photographs().values()
        return
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise ModelProblem(f"There is no photograph in {folder}: name a folder of JPEG or PNG files.")
    random.Random(SEED).shuffle(files)
    yield from files


def numbered(folder: Path, size: tuple[int, int], seed: int = 0) -> Iterator[Path]:
    """Write JPEG crops of the photographs in turn, (width, height), each with a plate of its number at another place.

    No two have the same pixels, so that no cache knows them.
    """
    generator = np.random.default_rng(seed)
    large = [(name, photograph(name, (2 * size[0], 2 * size[1]))) for name in PHOTOGRAPHS]
    for number, (name, image) in zip(count(), cycle(large), strict=False):
        scale = generator.uniform(1, 1.9)
        x, y = (int(generator.integers(0, int(side * (2 - scale) + 1))) for side in size)
        pixels = np.array(image.crop((x, y, x + int(size[0] * scale), y + int(size[1] * scale))).resize(size))
        bits = [(number >> bit) & 1 for bit in range(BITS)]
        plate = np.kron(np.array([bits, [1 - bit for bit in bits]]).reshape(4, -1), np.ones((TILE, TILE)))
        y, x = (int(generator.integers(0, pixels.shape[axis] - plate.shape[axis])) for axis in (0, 1))
        pixels[y : y + plate.shape[0], x : x + plate.shape[1]] = (plate * 255).astype(np.uint8)[..., None]
        path = folder / f"{name}-{seed}-{number:05}.jpg"
        Image.fromarray(pixels).save(path, quality=90)
        yield path
