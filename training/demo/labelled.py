"""Write drawn scenes with labels, for examples and tests of labelled pictures."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image

from training.demo.scenes import draw, sample
from training.demo.showcase import enlarge

LABELS = "labels.csv"
"""Beside the pictures, of boxes."""
SIDE = 288
"""Pixels of a picture's side."""


def write_scenes(folder: Path | str, pictures: int, *, task: str = "detect", side: int = SIDE) -> None:
    """Write held-out scenes with labels, reproducible from the arguments.

    To detect, `labels.csv` has their boxes (`file,x0,y0,x1,y1,label`); to classify, each is in a folder named after
    its class.
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
        with (folder / LABELS).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
