"""What a line of a file of labels says: a box, a class, or why it cannot be used."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Self

from sightglass.common.legible import one_line
from sightglass.models.geometry import Box

INDEX = re.compile(r"\d+(\.0+)?")
"""A label that may be the index of a class."""
Size = tuple[int, int]
"""Width and height in pixels."""

Row = tuple[str, int, "Callable[[], TrueBox | str | None]"]
"""The picture that a line of labels is about, its number, and what parses it: to a box, to the class of the whole
picture, or to None where a picture is listed, with objects or without. A line 0 of None begins a picture of its own."""
FOLDER_BESIDE = "\0"
"""What is between a picture's folder and its name where these are stated apart: the folder may be of another place."""
Files = Iterable[tuple[str, Iterable[Row]]]
"""The name of each file of labels, and its rows."""


def put_in_folder(folder: str, name: str) -> str:
    """Return the picture of a row that states its folder apart from its name."""
    folder = folder.strip().rstrip("/\\")
    apart = folder and not re.search(r"[/\\]", name)
    return f"{folder}{FOLDER_BESIDE}{name}" if apart else name


class LabelError(ValueError):
    """A label that cannot be used; the message is the reason, without a full stop."""


OTHER_FORM = "it is not as this format has it"


def refuse(reason: str) -> "TrueBox":
    """Parse a line that cannot be used: raise LabelError."""
    raise LabelError(reason)


@dataclass(frozen=True, slots=True)
class TrueBox:
    """One labelled object."""

    label: str
    """Under the names of a model's classes: empty where it means none of them."""
    box: Box
    """xyxy in pixels of the picture; of a YOLO file in 0..1 until `in_pixels`."""
    crowd: bool = False
    """Many objects in one box."""
    ignored: bool = False
    """COCO's `ignore`, or `difficult` of Pascal VOC."""
    relative: bool = False
    stated: Size | None = None
    """The size of the picture by its labels, until its own is known (`label_sizes.place`); None where none is said."""

    @property
    def counted(self) -> bool:
        """Whether it is to be found; answers on other labels are neither right nor wrong."""
        return bool(self.label) and not (self.crowd or self.ignored)

    def in_pixels(self, size: Size) -> Self:
        """Return the box in pixels, clipped to a picture of this width and height."""
        x0, y0, x1, y1 = self._scale(size)
        box = (max(0.0, x0), max(0.0, y0), min(x1, size[0]), min(y1, size[1]))
        return replace(self, box=box, relative=False, stated=None)

    def _scale(self, size: Size) -> Box:
        if self.relative:
            return scale_box(self.box, size[0], size[1])
        if self.stated is None or not have_same_shape(self.stated, size):
            return self.box
        return scale_box(self.box, size[0] / self.stated[0], size[1] / self.stated[1])


def scale_box(box: Box, wide: float, high: float) -> Box:
    """Return a box with its coordinates multiplied by these factors."""
    x0, y0, x1, y1 = box
    return x0 * wide, y0 * high, x1 * wide, y1 * high


def have_same_shape(first: Size, second: Size) -> bool:
    """Return whether two sizes have the same ratio of sides, but for a pixel of the smaller one."""
    across = abs(first[0] * second[1] - first[1] * second[0])
    return across <= max(*first, *second)


@dataclass(frozen=True, slots=True)
class LabelProblem:
    """A line, or an entry, of a file of labels that was left out."""

    file: str
    line: int
    """From 1; of JSON the entry's place in its list; 0 for the whole file."""
    reason: str

    @property
    def words(self) -> str:
        """`labels.csv, line 3: x1 is not above x0.`"""
        return one_line(f"{self.file}{f', line {self.line}' if self.line else ''}: {self.reason}.")
