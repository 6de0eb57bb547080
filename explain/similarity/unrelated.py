"""Provide unrelated pictures: the scores of their pairs are the baseline of a model."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from common.packaged import photograph, photographs
from explain.picture.image import Image

if TYPE_CHECKING:
    from models.adapter import Adapter

PERSONS = (
    ("bus", (48, 398, 246, 905)),
    ("bus", (222, 404, 346, 862)),
    ("bus", (668, 392, 810, 880)),
    ("zidane", (744, 41, 1142, 712)),
)
"""Persons in those photographs, xyxy in their pixels."""
SCENES = 4


def controls(adapter: Adapter) -> tuple[Image, ...]:
    """Return pictures of different things, of the kind that the model was made for; none where none is installed.

    An adapter may bring its own: `controls()` returns uint8 (H, W, 3) each.
    """
    if adapter.controls is not None:
        return tuple(Image.open(pixels, name=f"control {i + 1}") for i, pixels in enumerate(adapter.controls()))
    if adapter.spec.example:
        return _scenes()
    return _persons() if adapter.subject == "persons" else _photographs()


@cache
def _photographs() -> tuple[Image, ...]:
    return tuple(Image.open(path) for path in photographs().values())


@cache
def _persons() -> tuple[Image, ...]:
    found = []
    for i, (name, (x0, y0, x1, y1)) in enumerate(PERSONS):
        if (path := photograph(name)) is not None:
            found.append(Image.open(Image.open(path).pixels[y0:y1, x0:x1], name=f"person {i + 1}"))
    return tuple(found)


@cache
def _scenes() -> tuple[Image, ...]:
    """Draw scenes of one object each, all of different classes."""
    from models.demo.scenes import draw, sample

    found: dict[str, Image] = {}
    seed = 0
    while len(found) < SCENES:
        scene = draw(sample(seed, task="classify", held_out=True))
        found.setdefault(scene.objects[0].label, Image.open(scene.pixels, name=f"scene {seed}"))
        seed += 1
    return tuple(found.values())
