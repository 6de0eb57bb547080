"""Tell boxes in parts of the picture, from 0 to 1, from boxes in pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

from sightglass.common.errors import Problem
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.rows import LabelProblem, TrueBox

MOST = 1.01
"""How large a number of a box in parts of the picture may be."""
OPEN = 2
"""How large the numbers of boxes may be that are in pixels of hardly any picture."""
READ = "The boxes were read as parts of the picture, as no number is above 1."
Pictures = Mapping[str, tuple[TrueBox, ...]]


def are_parts(name: str, largest: Sequence[float]) -> bool:
    """Return whether boxes are in parts of the picture, by the largest number of each; False without any.

    Raises Problem where they reach too far for parts and not far enough for pixels.
    """
    if not largest:
        return False
    most = max(largest)
    if MOST < most <= OPEN:
        raise mixed(name)
    return most <= MOST


def mixed(name: str) -> Problem:
    """Return what is said of boxes that may be in pixels or in parts."""
    return Problem(f"Boxes of {name} may be in pixels or in parts of the picture from 0 to 1: write all in one way.")


def ends_in_first_pixel(largest: float) -> bool:
    """Return whether a box beside larger ones may be in parts of the picture: no object is smaller than a pixel."""
    return 0 < largest < 1


def mark(name: str, pictures: Pictures, notes: Notes) -> tuple[Pictures, list[LabelProblem]]:
    """Return boxes with those in parts of the picture marked as relative, and what is left out of them.

    Raises Problem where it is open for all of them.
    """
    largest = [max(box.box) for box in chain.from_iterable(pictures.values()) if not box.relative]
    if are_parts(name, largest):
        notes.said.append(READ)
        return {key: tuple(replace(box, relative=True) for box in boxes) for key, boxes in pictures.items()}, []
    if not any(map(ends_in_first_pixel, largest)):
        return pictures, []
    return _leave_out(pictures)


def _leave_out(pictures: Pictures) -> tuple[Pictures, list[LabelProblem]]:
    """Return the pictures without the boxes that may be in parts of them, and these."""
    kept: dict[str, tuple[TrueBox, ...]] = {}
    left_out: list[LabelProblem] = []
    for key, boxes in pictures.items():
        unclear = [box for box in boxes if not box.relative and ends_in_first_pixel(max(box.box))]
        kept[key] = tuple(box for box in boxes if box not in unclear)
        left_out += [LabelProblem(key, 0, _describe(box)) for box in unclear]
    return kept, left_out


def _describe(box: TrueBox) -> str:
    numbers = ", ".join(f"{number:g}" for number in box.box)
    return f"its box {numbers} is within the first pixel, or in parts of the picture beside others in pixels"
