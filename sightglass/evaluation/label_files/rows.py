"""What a line of a file of labels says: a box, a class, or why it cannot be used."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from sightglass.models.geometry import Box

INDEX = re.compile(r"\d+(\.0+)?")
"""A label that may be the index of a class."""

Row = tuple[str, int, "Callable[[], TrueBox | str | None]"]
"""The picture that a line of labels is about, its number, and what parses it: to a box, to the class of the whole
picture, or to None for a picture without objects."""


class LabelError(ValueError):
    """A label that cannot be used; the message is the reason, without a full stop."""


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

    @property
    def counted(self) -> bool:
        """Whether it is to be found; answers on other labels are neither right nor wrong."""
        return bool(self.label) and not (self.crowd or self.ignored)

    def in_pixels(self, size: tuple[int, int]) -> Self:
        """Return the box in pixels, clipped to a picture of this width and height."""
        wide, high = size if self.relative else (1, 1)
        x0, y0, x1, y1 = self.box
        left, top = max(0.0, x0 * wide), max(0.0, y0 * high)
        return replace(self, box=(left, top, min(x1 * wide, size[0]), min(y1 * high, size[1])), relative=False)


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
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.reason}."
