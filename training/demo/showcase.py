"""The bundled scenes, as they are drawn."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from training.demo.scenes import Spec, sample

if TYPE_CHECKING:
    from training.demo.shapes import Thing

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


def scene(name: str) -> Spec:
    """Return an example by its name."""
    task = {"one thing": "classify", "a rod": "regress"}.get(name, "detect")
    return enlarge(sample(_SCENES[name], task=task, held_out=True))


SCENE = "scene 3"
CLIP_SIDE = 384
LEAVES = 3
"""Place of that thing in the scene: a gear."""
_WAY = 0.12
"""How far things go, as a share of the side."""


def moving(share: float, side: int = CLIP_SIDE) -> Spec:
    """Return the scene at a share 0..1 of its closed loop.

    >>> from training.demo.scenes import draw
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
