"""Bundled pictures (photographs and drawn scenes), and stories of models that cheat."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sightglass.common.errors import ImageProblem
from sightglass.common.files import packing
from sightglass.models.demo import captioned_scenes, person_scenes
from sightglass.models.demo.scenes import (
    STAMPED,
    TEXTURED,
    Spec,
    draw,
    sample,
    with_background,
    with_stamp,
    without_stamp,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.models.demo.shapes import Thing

SIDE = 576
"""Side of a displayed scene in pixels; the models see it at the size of their training."""
PLAIN = "gradient"
"""The background that replaces the woven one in a story."""


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


@dataclass(frozen=True, slots=True)
class Story:
    """A model that cheats: the clue it relies on, and scenes that show it.

    `with_clue`, `without_clue` and `clue_elsewhere` make, of a number, a scene of the class with the clue, the same
    scene without it, and a scene of another class with the clue added.
    """

    cheat: str
    """Id of the model; `honest` is the one trained on the same objects without the shortcut."""
    honest: str
    label: str
    clue: str
    """What goes with the class in training, as named in a sentence."""
    seeds: tuple[int, ...]
    others: tuple[int, ...]
    """Seeds of scenes of the class, and of scenes of other classes."""
    data: str
    planted: Callable[[Spec], Spec]
    removed: Callable[[Spec], Spec]

    def with_clue(self, number: int) -> Spec:
        return self._plant(self.seeds, number)

    def without_clue(self, number: int) -> Spec:
        return self.removed(self.with_clue(number))

    def clue_elsewhere(self, number: int) -> Spec:
        return self._plant(self.others, number)

    def _plant(self, seeds: tuple[int, ...], number: int) -> Spec:
        seed = seeds[number % len(seeds)]
        return self.planted(enlarge(sample(seed, task="classify", data=self.data, held_out=True)))


def _stamp(spec: Spec) -> Spec:
    return spec if spec.stamp is not None else with_stamp(spec)


STORIES = MappingProxyType(
    {
        "stamp": Story(
            "demo-cls-cheat",
            "demo-cls-honest",
            STAMPED,
            "the stamp",
            (80, 20, 23, 84, 133, 175, 145),
            (7, 17, 0, 4, 1, 18),
            "stamped",
            _stamp,
            without_stamp,
        ),
        "weave": Story(
            "demo-cls-texture",
            "demo-cls-honest",
            TEXTURED,
            "the weave",
            (50, 9, 35, 248, 189, 32),
            (0, 4, 8, 13, 6, 2),
            "textured",
            partial(with_background, kind="weave"),
            partial(with_background, kind=PLAIN),
        ),
    }
)


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
