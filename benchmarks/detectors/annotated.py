"""Read photographs with annotated boxes, and match a model's boxes with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from sightglass.explain.maps.boxes import SAME
from sightglass.models import labels
from sightglass.models.checkpoints.weights import folders
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True)
class Photograph:
    path: Path
    objects: tuple[tuple[str, Box], ...]
    """Label and box, xyxy in pixels, of each."""


def load_packaged() -> list[Photograph]:
    """Return those in `images` of the operator's folders of weights whose labels.json has boxes."""
    return [
        Photograph(listed.parent / name, objects)
        for folder in folders()
        if (listed := folder / "images" / "labels.json").is_file()
        for name, about in json.loads(listed.read_text("utf-8")).items()
        if (
            objects := tuple(
                (one["label"], tuple(one["box_xyxy"])) for one in about.get("objects", ()) if "box_xyxy" in one
            )
        )
    ]


def dataset(folder: Path) -> list[Photograph]:
    """Return a folder of COCO's classes in YOLO's layout: `images/x.jpg` and, for each, `labels/x.txt`."""
    names, found = tuple(labels.coco().values()), []
    for path in sorted(one for one in (folder / "images").rglob("*") if one.suffix.lower() in SUFFIXES):
        listed = folder / "labels" / path.relative_to(folder / "images").with_suffix(".txt")
        if not listed.is_file():
            continue
        with Pillow.open(path) as opened:
            width, height = opened.size
        objects = []
        for row in listed.read_text().split("\n"):
            if row.strip():
                index, cx, cy, w, h = (float(value) for value in row.split()[:5])
                x, y = (cx - w / 2) * width, (cy - h / 2) * height
                objects.append((names[int(index)], (x, y, x + w * width, y + h * height)))
        found.append(Photograph(path, tuple(objects)))
    return found


def match(predictions: Sequence[Prediction], photograph: Photograph) -> list[tuple[Prediction, int]]:
    """Return the boxes that are an annotated object (its label, IoU >= 0.5), best first, with the object's number."""
    free, found = set(range(len(photograph.objects))), []
    for prediction in predictions:
        overlaps = [
            (intersection_over_union(prediction.box, photograph.objects[i][1]), i)
            for i in free
            if prediction.box is not None and photograph.objects[i][0] == prediction.label
        ]
        if overlaps and max(overlaps)[0] >= SAME:
            free.remove(max(overlaps)[1])
            found.append((prediction, max(overlaps)[1]))
    return found
