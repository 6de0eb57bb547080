"""The bundled scenes, as they are drawn, and labelled ones for examples and tests."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

from PIL import Image

from training.demo.scenes import Spec, draw, sample, with_stamp
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


_SCENES = {"scene 1": 39, "scene 2": 7, "scene 3": 30, "one thing": 4, "a rod": 7, "stamped": 4}


def scene(name: str) -> Spec:
    """Return an example by its name."""
    task = {"one thing": "classify", "stamped": "classify", "a rod": "regress"}.get(name, "detect")
    spec = enlarge(sample(_SCENES[name], task=task, held_out=True))
    return with_stamp(spec) if name == "stamped" else spec


CLIP_SIDE = 384
LEAVES = 3
"""Place of that thing in the scene: a gear."""
_WAY = 0.12
"""How far things go, as a share of the side."""


def moving(share: float, side: int = CLIP_SIDE) -> Spec:
    """Return scene 3 at a share 0..1 of its closed loop."""
    spec = enlarge(replace(scene("scene 3"), noise=0.0), side)
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


def write_scenes(folder: Path | str, pictures: int, *, task: str = "detect", side: int = 288) -> None:
    """Write held-out scenes with labels, reproducible from the arguments.

    `side`: pixels of a picture's side. To detect, `labels.csv` has their boxes (`file,x0,y0,x1,y1,label`); to classify,
    each is in a folder named after its class.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[object, ...]] = [("file", "x0", "y0", "x1", "y1", "label")]
    for number in range(pictures):
        scene = draw(enlarge(sample(number, task=task, held_out=True), side))
        path = folder / f"scene-{number:03}.webp"
        if task == "classify":
            path = folder / scene.objects[0].label / path.name
            path.parent.mkdir(exist_ok=True)
        Image.fromarray(scene.pixels).save(path, quality=80, method=6)
        rows += [(path.name, *thing.box, thing.label) for thing in scene.objects]
    if task != "classify":
        with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
