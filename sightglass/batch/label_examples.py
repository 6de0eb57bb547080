"""Draw labels into their pictures, for a person to see whether they were read right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.evaluation import label_sizes, masks
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import folder_of
from sightglass.explain.rendering.marks import box_mark, contact_sheet, draw_marks, draw_segments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.evaluation.ground_truth import GroundTruth
    from sightglass.explain.picture.decode import Pixels
    from sightglass.explain.picture.source import Item

COUNT = 3
"""Pictures that are drawn: the first, the middle and the last of the labelled ones."""
FILE = "labels.jpg"
"""In a folder of results."""


@dataclass(frozen=True)
class LabelExample:
    """A picture with its labels."""

    words: str
    """`gears/1.png: 3 boxes`."""
    pixels: Pixels
    """uint8 (H, W, 3)."""


@dataclass(frozen=True)
class LabelsShown:
    """What was read of labels."""

    sentences: tuple[str, ...]
    examples: tuple[LabelExample, ...]


def show(truth: GroundTruth, items: Sequence[Item], classes: Sequence[str], left_out: Mapping[str, str]) -> LabelsShown:
    """Return what was read, and a few pictures with their labels.

    `classes`: the model's. `left_out`: files that are not used, with the reasons, as far as nothing else says so.
    """
    sentences = replace(truth.read_as, left_out=left_out).list_sentences()
    # A label that fits several of them is of none.
    truth = truth.among([item.key for item in items], folder_of(items))
    chosen = _choose(truth, items)
    try:
        placed = label_sizes.place(truth, chosen)
    except Problem as problem:
        return LabelsShown((*sentences, str(problem)), ())
    sizes = placed.read_as.sizes[len(truth.read_as.sizes) :]
    below = [f"Of the pictures below: {sentence[:1].lower()}{sentence[1:]}" for sentence in sizes]
    return LabelsShown((*sentences, *below), tuple(draw_examples(placed, chosen, classes)))


def draw_examples(truth: GroundTruth, items: Sequence[Item], classes: Sequence[str]) -> list[LabelExample]:
    """Draw the labels of up to `COUNT` pictures, those with objects before others.

    `classes`: the model's, which masks without names of their own have. What cannot be opened is left out.
    """
    drawn = []
    for item in _choose(truth, items):
        try:
            drawn.append(_draw(truth, item, classes))
        except (OSError, Problem, ValueError, IndexError):
            # The run says of it what is wrong.
            continue
    return drawn


def draw_sheet(examples: Sequence[LabelExample]) -> Pixels:
    """Return the examples side by side, uint8 (H, W, 3)."""
    pictures = [example.pixels for example in examples]
    return contact_sheet(pictures, [example.words for example in examples], names=True)


def _choose(truth: GroundTruth, items: Sequence[Item]) -> list[Item]:
    labelled = [item for item in items if truth.find_file(item.key)]
    with_objects = [item for item in labelled if truth.find(item.key)]
    offered = with_objects or labelled
    if len(offered) <= COUNT:
        return offered
    last = len(offered) - 1
    return [offered[round(number * last / (COUNT - 1))] for number in range(COUNT)]


def _draw(truth: GroundTruth, item: Item, classes: Sequence[str]) -> LabelExample:
    image = item.open()
    mask = truth.find_mask(item.key)
    if mask is not None:
        indices = _decode(mask, truth, image, classes)
        drawn = draw_segments(image.pixels, indices, truth.mask_labels or classes)
        return LabelExample(f"{item.key}: mask", drawn)
    boxes = truth.find(item.key)
    if boxes is None:
        return LabelExample(f"{item.key}: {truth.find_class(item.key)}", image.pixels)
    size = image.width, image.height
    marks = [([box_mark(box.in_pixels(size).box)], box.label) for box in boxes]
    return LabelExample(f"{item.key}: {plural(len(boxes), 'box')}", draw_marks(image.pixels, marks))


def _decode(mask: bytes, truth: GroundTruth, image: Image, classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each pixel's class among the masks' names, else the model's, int64 (H, W)."""
    indices = {label: index for index, label in enumerate(truth.mask_labels) if label}
    size, binary = (image.height, image.width), truth.read_as.binary
    return masks.decode(mask, size, truth.mask_labels, indices, len(classes), binary=binary)
