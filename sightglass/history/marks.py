"""Marks on a saved map: arrows, circles, texts. Points are in pixels of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import cv2
import numpy as np

from sightglass.common import typed_text
from sightglass.common.errors import Problem
from sightglass.explain.rendering.marks import add_names
from sightglass.explain.rendering.render import HALO, WHITE, line_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Shape = Literal["arrow", "circle", "text"]
Ink = Literal["light", "dark", "accent"]
POINTS: dict[str, int] = {"arrow": 2, "circle": 2, "text": 1}
MAX_MARK_TEXT, MAX_DISTANCE = 200, 1_000_000
"""Maximum number of letters of a mark, and of pixels from the corner."""
_FAR = 1 << 14
"""Coordinate beyond which OpenCV draws no smooth line."""


@dataclass(frozen=True)
class Mark:
    """A mark on a map; raises Problem, one sentence, if it is not valid."""

    kind: Shape
    points: tuple[tuple[float, float], ...]
    """(x, y) in original pixels: an arrow's tail and head, a circle's centre and a point on it, a text's start."""
    text: str = ""
    ink: Ink = "accent"
    """As it was chosen; all marks are drawn white on dark."""

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
        object.__setattr__(self, "text", typed_text.line(self.text, MAX_MARK_TEXT, "The text of a mark"))
        if self.kind == "text" and not self.text:
            raise Problem("A text on a map must say something: type a word.")


def draw(pixels: NDArray[np.uint8], marks: Sequence[Mark]) -> NDArray[np.uint8]:
    """Draw marks on a copy of pixels, uint8 (H, W, 3) RGB, white over dark."""
    out, line = np.ascontiguousarray(pixels).copy(), line_width(pixels.shape)
    names = []
    for mark in marks:
        corners = np.clip(np.rint(mark.points), -_FAR, _FAR).astype(int).tolist()
        start, end = corners[0], corners[-1]
        radius = round(math.dist(start, end))
        for ink, thick in ((HALO, line + 2), (WHITE, line)):
            if mark.kind == "arrow":
                cv2.arrowedLine(out, start, end, ink, thick, cv2.LINE_AA, tipLength=8 * line / max(radius, 16 * line))
            elif mark.kind == "circle":
                cv2.circle(out, start, radius, ink, thick, cv2.LINE_AA)
        if mark.text:
            names.append(((start[0], start[1] + (radius if mark.kind == "circle" else 0)), mark.text))
    return add_names(out, names)
