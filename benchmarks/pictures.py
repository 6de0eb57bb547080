"""Test pictures made of photographs from installed packages."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from sightglass.common import packaged
from sightglass.common.errors import ImageProblem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PHOTOGRAPHS = ("china", "flower", "bus")
SCREEN = (1280, 853)
SIZE = (500, 375)
"""What a photograph of ImageNet usually has."""


def photograph(name: str, size: tuple[int, int] = SCREEN) -> Image.Image:
    """Return a photograph, cropped and resized to (width, height)."""
    if (path := packaged.photograph(name)) is None:
        raise ImageProblem(f"The package of the picture {name} is not installed: install requirements.txt.")
    with Image.open(path) as opened:
        return ImageOps.fit(opened.convert("RGB"), size, Image.Resampling.LANCZOS)


def never_seen(folder: Path, seed: int = 0) -> Iterator[Path]:
    """Yield JPEG photographs with changed corners, unknown to caches."""
    generator = np.random.default_rng(seed)
    images = {name: photograph(name) for name in PHOTOGRAPHS}
    number = 0
    while True:
        for name, image in images.items():
            number += 1
            fresh = image.copy()
            fresh.paste(tuple(generator.integers(0, 256, 3).tolist()), (0, 0, 16, 16))
            out = BytesIO()
            fresh.save(out, "JPEG", quality=92)
            path = folder / f"{name}-{seed}-{number}.jpg"
            path.write_bytes(out.getvalue())
            yield path


def write_cuts(folder: Path, count: int) -> Path:
    """Write JPEG crops of the photographs, a folder each."""
    generator = np.random.default_rng(0)
    large = {name: photograph(name, (2 * SIZE[0], 2 * SIZE[1])) for name in PHOTOGRAPHS}
    for number in range(count):
        name = [*large][number % len(large)]
        scale = generator.uniform(1, 1.9)
        x, y = (int(generator.integers(0, int(side * (2 - scale) + 1))) for side in SIZE)
        cut = large[name].crop((x, y, x + int(SIZE[0] * scale), y + int(SIZE[1] * scale))).resize(SIZE)
        (folder / name).mkdir(parents=True, exist_ok=True)
        cut.save(folder / name / f"{number:05}.jpg", quality=90)
    return folder
