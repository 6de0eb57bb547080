"""Marks on a map: arrows, circles, texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from sightglass.common.errors import Problem
from sightglass.common.typed_text import line

Shape = Literal["arrow", "circle", "text"]
Ink = Literal["light", "dark", "accent"]
POINTS: dict[str, int] = {"arrow": 2, "circle": 2, "text": 1}
MAX_MARK_TEXT, MAX_DISTANCE = 200, 1_000_000
"""Maximum number of letters of a mark, and of pixels from the corner."""


@dataclass(frozen=True)
class Mark:
    """A mark on a map; raises Problem, one sentence, if it is not valid."""

    kind: Shape
    points: tuple[tuple[float, float], ...]
    """(x, y) in original pixels: an arrow's tail and head, a circle's centre and a point on it, a text's start."""
    text: str = ""
    ink: Ink = "accent"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Shape) or self.ink not in get_args(Ink):
            raise Problem(f"There is no mark {self.kind} in {self.ink}: draw an arrow, a circle or a text.")
        try:
            points = tuple((float(x), float(y)) for x, y in self.points)
        except (TypeError, ValueError) as error:
            raise Problem("A mark's points must be pairs of numbers, in pixels of the picture.") from error
        if len(points) != POINTS[self.kind]:
            raise Problem(f"A mark of the kind {self.kind} has {POINTS[self.kind]} points, not {len(points)}.")
        if not all(math.isfinite(at) and abs(at) <= MAX_DISTANCE for point in points for at in point):
            raise Problem("A mark is far outside the picture: draw it again.")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "text", line(self.text, MAX_MARK_TEXT, "The text of a mark"))
        if self.kind == "text" and not self.text:
            raise Problem("A text on a map must say something: type a word.")
