"""Test pictures made of photographs from installed packages."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from sightglass.common.errors import ImageProblem
from sightglass.common.files import packaged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PHOTOGRAPHS = ("china", "flower", "bus")
SIZE = (1280, 853)


def photograph(name: str, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a photograph, cropped and resized to (width, height)."""
    if (path := packaged.photograph(name)) is None:
        raise ImageProblem(f"The package of the picture {name} is not installed: install requirements.txt.")
    with Image.open(path) as opened:
        return ImageOps.fit(opened.convert("RGB"), size, Image.Resampling.LANCZOS)


def jpeg(image: Image.Image) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=92)
    return out.getvalue()


def written(folder: Path, name: str, size: tuple[int, int] = SIZE) -> Path:
    path = folder / f"{name}.jpg"
    path.write_bytes(jpeg(photograph(name, size)))
    return path


def never_seen(folder: Path, seed: int = 0) -> Iterator[Path]:
    """Yield JPEG files of the photographs in turn, each with another corner, so that no cache knows it."""
    generator = np.random.default_rng(seed)
    made = {name: photograph(name) for name in PHOTOGRAPHS}
    number = 0
    while True:
        for name, image in made.items():
            number += 1
            fresh = image.copy()
            fresh.paste(tuple(generator.integers(0, 256, 3).tolist()), (0, 0, 16, 16))
            path = folder / f"{name}-{seed}-{number}.jpg"
            path.write_bytes(jpeg(fresh))
            yield path


def large(folder: Path) -> Path:
    """Write a JPEG of 24 megapixels with a sensor's noise."""
    pixels = np.asarray(photograph("china", (6000, 4000)), np.int16)
    noise = np.random.default_rng(0).normal(0, 5, pixels.shape[:2]).astype(np.int16)
    path = folder / "large.jpg"
    path.write_bytes(jpeg(Image.fromarray(np.clip(pixels + noise[..., None], 0, 255).astype(np.uint8))))
    return path
