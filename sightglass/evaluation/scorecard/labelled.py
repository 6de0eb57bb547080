"""Pair pictures with their labels: boxes, or a class each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.evaluation.ground_truth import GroundTruth, TrueBox
    from sightglass.explain.picture.item import Item


@dataclass(frozen=True)
class LabelledPicture:
    """A picture with its labelled boxes in pixels, or with the class of all of it."""

    item: Item
    boxes: tuple[TrueBox, ...] | None = field(default=None, repr=False)
    """None where only the whole picture is labelled."""
    label: str | None = None
    """The class of the whole picture, as the labels name it."""


def gather(items: Sequence[Item], labels: GroundTruth | None) -> tuple[list[LabelledPicture], list[str]]:
    """Return the pictures that have labels, and a sentence on each other.

    A picture with labelled boxes is opened once for its size. `labels` None: the folder of a picture is its class.
    Raises Problem where no picture has labels.
    """
    found, left = [], []
    for item in items:
        boxes = None if labels is None else labels.find(item.key)
        label = item.label if labels is None else labels.find_class(item.key)
        if boxes is None and label is None:
            left.append(f"{item.key}: it has no labels.")
            continue
        if boxes is not None:
            try:
                image = item.open()
            except Problem as problem:
                left.append(f"{item.key}: {problem}")
                continue
            boxes = tuple(one.in_pixels((image.width, image.height)) for one in boxes)
        found.append(LabelledPicture(item, boxes, label))
    if not found and labels is None:
        raise Problem("None of the pictures has a label: put them into folders named after classes, or give labels.")
    if not found:
        raise Problem("None of the pictures has labels: the file names in the labels are those of other pictures.")
    return found, left
