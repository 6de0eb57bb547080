"""Bundled pictures: photographs and drawn scenes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sightglass.common.errors import ImageProblem
from sightglass.common.files import packing
from sightglass.models.demo import captioned_scenes, person_scenes
from sightglass.models.demo.scenes import Spec, draw, sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.models.demo.shapes import Thing

SIDE = 576
"""Side of a displayed scene in pixels; the models see it at the size of their training."""


def enlarge(spec: Spec, side: int = SIDE) -> Spec:
    """Return the same scene with more pixels."""
    by = side / spec.size

    def grown(thing: Thing) -> Thing:
        return replace(thing, x=thing.x * by, y=thing.y * by, length=thing.length * by)

    stamp = spec.stamp
    if stamp is not None:
        stamp = replace(stamp, x=round(stamp.x * by), y=round(stamp.y * by), size=round(stamp.size * by))
    return replace(
        spec,
        size=side,
        things=tuple(map(grown, spec.things)),
        clutter=tuple(map(grown, spec.clutter)),
        stamp=stamp,
        blur=spec.blur * by,
    )


_SCENES = MappingProxyType({"scene 1": 39, "scene 2": 7, "scene 3": 30, "one thing": 4, "a rod": 7})
SCENES = tuple(_SCENES)
"""Names of the drawn examples, none of which was seen in training."""
EXAMPLES = (*packing.PHOTOGRAPHS, *SCENES, captioned_scenes.EXAMPLE, person_scenes.EXAMPLE)
"""Names of all bundled pictures."""


def scene(name: str) -> Spec:
    """Return an example by its name."""
    task = {"one thing": "classify", "a rod": "regress"}.get(name, "detect")
    return enlarge(sample(_SCENES[name], task=task, held_out=True))


def example_source(name: str) -> tuple[Path | NDArray[np.uint8], str]:
    """Return what `Image.open` takes of an example, a file or uint8 (H, W, 3) RGB, and its file name.

    The package that a photograph comes with is not imported. Raises ImageProblem where it is not installed.
    """
    if name in SCENES:
        return draw(scene(name)).pixels, f"{name}.png"
    if name == captioned_scenes.EXAMPLE:
        return captioned_scenes.draw(captioned_scenes.example(), SIDE).pixels, f"{name}.png"
    if name == person_scenes.EXAMPLE:
        return person_scenes.draw(person_scenes.example()).pixels, f"{name}.png"
    if (path := packing.photograph(name)) is None:
        package, _ = packing.PHOTOGRAPHS[name]
        raise ImageProblem(f"The example {name} comes with {package}, which is not installed: choose another picture.")
    return path, path.name


def example_named(file_name: str) -> str | None:
    """Return the example whose picture has this file name."""
    if (stem := file_name.removesuffix(".png")) != file_name and stem in EXAMPLES and stem not in packing.PHOTOGRAPHS:
        return stem
    return next((name for name, (_, part) in packing.PHOTOGRAPHS.items() if Path(part).name == file_name), None)


SCENE = "scene 3"
CLIP_SIDE = 384
SECONDS, RATE = 6.0, 15
"""Of the loop as a clip: frames per second."""
LEAVES = 3
"""Place of that thing in the scene: a gear."""
_WAY = 0.12
"""How far things go, as a share of the side."""


def moving(share: float, side: int = CLIP_SIDE) -> Spec:
    """Return the scene at a share 0..1 of its loop; 0 and 1 are the same.

    >>> from sightglass.models.demo.scenes import draw
    >>> draw(moving(0.25)).pixels.shape
    (384, 384, 3)
    """
    spec = enlarge(replace(scene(SCENE), noise=0.0), side)
    turn = 2 * math.pi * share
    things = []
    for i, thing in enumerate(spec.things):
        phase = turn + 2.4 * i
        across, down = math.cos(phase) - math.cos(2.4 * i), math.sin(phase) - math.sin(2.4 * i)
        x, y = thing.x + _WAY * side * across, thing.y + _WAY * side * down / 2
        if i == LEAVES:
            # Out at the nearer edge and back.
            away = (1 - math.cos(turn)) / 2
            x, y = thing.x + away * 1.1 * side * (1 if thing.x > side / 2 else -1), thing.y
        if all(-0.2 * thing.length < at < side + 0.2 * thing.length for at in (x, y)):
            things.append(replace(thing, x=x, y=y, angle=thing.angle + 0.5 * math.sin(phase)))
    return replace(spec, things=tuple(things))
