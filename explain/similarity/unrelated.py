"""Pictures that have nothing to do with each other: what a model says of pairs of them is where its scores start."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from explain.picture.image import Image

if TYPE_CHECKING:
    from models.adapter import Adapter

PHOTOGRAPHS = (
    ("ultralytics", "assets/bus.jpg"),
    ("ultralytics", "assets/zidane.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)
PERSONS = (
    ("ultralytics", "assets/bus.jpg", (48, 398, 246, 905)),
    ("ultralytics", "assets/bus.jpg", (222, 404, 346, 862)),
    ("ultralytics", "assets/bus.jpg", (668, 392, 810, 880)),
    ("ultralytics", "assets/zidane.jpg", (744, 41, 1142, 712)),
)
"""Four persons in those photographs, xyxy in their pixels."""
SCENES = 4


def controls(adapter: Adapter) -> tuple[Image, ...]:
    """Pictures of different things, of the kind that the model was made for; none where none is installed.

    An adapter may have its own: `controls()`, which returns uint8 (H, W, 3) each.
    """
    if adapter.controls is not None:
        return tuple(Image.open(pixels, name=f"control {i + 1}") for i, pixels in enumerate(adapter.controls()))
    if adapter.spec.example:
        return _scenes()
    return _persons() if adapter.subject == "persons" else _photographs()


@cache
def _photographs() -> tuple[Image, ...]:
    return tuple(Image.open(path) for package, part in PHOTOGRAPHS if (path := _installed(package, part)) is not None)


@cache
def _persons() -> tuple[Image, ...]:
    found = []
    for i, (package, part, (x0, y0, x1, y1)) in enumerate(PERSONS):
        if (path := _installed(package, part)) is not None:
            found.append(Image.open(Image.open(path).pixels[y0:y1, x0:x1], name=f"person {i + 1}"))
    return tuple(found)


@cache
def _scenes() -> tuple[Image, ...]:
    """Drawn scenes of one thing each, all of different classes."""
    from models.demo.scenes import draw, sample

    found: dict[str, Image] = {}
    seed = 0
    while len(found) < SCENES:
        scene = draw(sample(seed, task="classify", held_out=True))
        found.setdefault(scene.objects[0].label, Image.open(scene.pixels, name=f"scene {seed}"))
        seed += 1
    return tuple(found.values())


def _installed(package: str, part: str) -> Path | None:
    """A file of a package, which is not imported."""
    found = importlib.util.find_spec(package)
    places = (found.submodule_search_locations if found else None) or ()
    return next((path for place in places if (path := Path(place) / part).is_file()), None)
