"""Bundled pictures that a model knows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageEnhance, ImageFilter, ImageOps

from sightglass.common.errors import Problem
from sightglass.common.files import packaged
from sightglass.components.session.pictures import image_source
from sightglass.explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sightglass.models.spec import ModelSpec

SIDE = 480
"""Pixels of a changed picture's short side: enough for a demonstration."""
AS_THEY_ARE = ("", "mirrored", "left part", "right part", "upper part", "lower part", "middle", "a little darker")
WORSE: dict[str, tuple[float, float]] = {
    "a little blurred": (4, 0),
    "blurred": (6, 0),
    "quite blurred": (8, 0),
    "very blurred": (10, 0),
    "a little blurred and noisy": (4, 40),
    "blurred and noisy": (6, 40),
    "quite blurred and noisy": (8, 40),
    "a little blurred and very noisy": (4, 80),
}
"""A lens out of focus, then in the dark: standard deviations of the blur, in pixels, and of the noise."""
PARTS = {
    "left part": (0.0, 0.0, 0.8, 1.0),
    "right part": (0.2, 0.0, 1.0, 1.0),
    "upper part": (0.0, 0.0, 1.0, 0.8),
    "lower part": (0.0, 0.2, 1.0, 1.0),
    "middle": (0.1, 0.1, 0.9, 0.9),
}


def known_to(model: ModelSpec) -> list[Image]:
    """Return the bundled photographs, or the drawn scenes where the model was trained on those."""
    # A model trained on scenes is unsure of every photograph, and vice versa.
    names = [name for name in image_source.EXAMPLES if (name in packaged.PHOTOGRAPHS) != bool(model.example)]
    found = []
    for name in names:
        try:
            found.append(image_source.load_bundled(name))
        except Problem:
            continue  # its package is not installed
    return found


def variants(images: Sequence[Image], ways: Sequence[str]) -> Iterator[tuple[str, Callable[[], Image]]]:
    """Yield (name, a function that makes the picture) for each way and picture, in this order."""
    for way in ways:
        for image in images:
            name = f"{image.name}, {way}" if way else image.name
            yield name, partial(change, image, way, name)


def change(image: Image, way: str, name: str) -> Image:
    """Return the picture as it is, a part of it, or degraded; deterministic."""
    if not way:
        return image
    made = Pillow.fromarray(np.asarray(image.pixels[..., :3]))
    scale = SIDE / min(made.size)
    if scale < 1:
        made = made.resize((round(made.width * scale), round(made.height * scale)), Pillow.Resampling.BICUBIC)
    if way in PARTS:
        left, top, right, bottom = PARTS[way]
        made = made.crop(
            (int(left * made.width), int(top * made.height), int(right * made.width), int(bottom * made.height))
        )
    ways: dict[str, Callable[[Any], Any]] = {
        "mirrored": ImageOps.mirror,
        "a little darker": lambda one: ImageEnhance.Brightness(one).enhance(0.8),
    }
    if way in WORSE:
        blur, noise = WORSE[way]
        made = made.filter(ImageFilter.GaussianBlur(blur))
        made = _noisy(made, noise) if noise else made
    return Image(np.ascontiguousarray(ways.get(way, lambda one: one)(made)), name)


def _noisy(image: Any, much: float) -> Any:
    pixels = np.asarray(image, np.float32)
    noise = np.random.default_rng(0).normal(0, much, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)
