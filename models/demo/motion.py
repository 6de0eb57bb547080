"""Draw a scene in motion: camera stand-in and clip.

The motion is a loop. One thing leaves the picture and comes back; all others stay.
"""

from __future__ import annotations

import math
from dataclasses import replace

from sightglass.models.demo.scenes import Spec
from sightglass.models.demo.showcase import enlarge, scene

SCENE = "scene 3"
SIDE = 384
SECONDS, RATE = 6.0, 15
"""Of the loop as a clip: frames per second."""
LEAVES = 3
"""Place of that thing in the scene: a gear."""
_WAY = 0.12
"""How far things go, as a share of the side."""


def moving(share: float, side: int = SIDE) -> Spec:
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
