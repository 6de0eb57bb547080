"""Marks on a map (arrows, circles, texts), drawn into pixels.

Points are in original pixels. Widths are in units: one pixel if the picture's longer side is 500.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from sightglass.common import typed_text
from sightglass.common.errors import Problem
from sightglass.common.files import packing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Shape = Literal["arrow", "circle", "text"]
Ink = Literal["light", "dark", "accent"]
Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]
Colour = tuple[int, int, int]

POINTS: dict[str, int] = {"arrow": 2, "circle": 2, "text": 1}
MAX_MARK_TEXT, MAX_DISTANCE = 200, 1_000_000
"""Maximum number of letters of a mark, and of pixels from the corner."""
STROKE, HALO = 2.6, 1.6
_HEAD, _HALF, _TEXT, _LEADING, _ACROSS, _GAP = 15, 6, 16, 1.25, 0.58, 8
_LINE, _MOST_LETTERS = 28, 120
_SHIFT = 6
"""Fractional bits of OpenCV's coordinates."""
INKS: dict[str, tuple[Colour, Colour]] = {
    "accent": ((0x2F, 0xD6, 0xE3), (0x0C, 0x23, 0x26)),
    "light": ((0xFF, 0xFF, 0xFF), (0x14, 0x14, 0x14)),
    "dark": ((0x14, 0x14, 0x14), (0xFF, 0xFF, 0xFF)),
}
"""Each ink and its outline, which makes it visible on dark and on light."""


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
        object.__setattr__(self, "text", typed_text.line(self.text, MAX_MARK_TEXT, "The text of a mark"))
        if self.kind == "text" and not self.text:
            raise Problem("A text on a map must say something: type a word.")


@dataclass(frozen=True, slots=True)
class Words:
    """Lines of text; `at`: the anchor of the first line, at the middle of its height; `size` of a letter in pixels."""

    at: Point
    anchor: Anchor
    lines: tuple[str, ...]
    size: float


@dataclass(frozen=True, slots=True)
class MarkParts:
    """The parts of a mark, in original pixels."""

    line: tuple[Point, Point] | None = None
    head: tuple[Point, ...] = ()
    circle: tuple[Point, float] | None = None
    words: Words | None = None


def draw(pixels: NDArray[np.uint8], marks: Sequence[Mark]) -> NDArray[np.uint8]:
    """Draw marks on a copy of pixels, uint8 (H, W, 3) RGB."""
    size = (pixels.shape[1], pixels.shape[0])
    unit, out = unit_of(size), np.ascontiguousarray(pixels).copy()
    for mark in marks:
        drawing = drawing_of(mark, unit, size)
        front, back = INKS.get(mark.ink, INKS["accent"])
        _lines(out, drawing, back, (STROKE + 2 * HALO) * unit, 2 * HALO * unit)
        _lines(out, drawing, front, STROKE * unit, 0)
        if drawing.words is not None:
            out = _letters(out, drawing.words, front, back, HALO * unit)
    return out


def unit_of(size: tuple[int, int]) -> float:
    """Return the unit of a picture of this size, in pixels."""
    return max(size) / 500


def wrap_lines(text: str) -> tuple[str, ...]:
    """Wrap a text at 28 letters; long words stay whole."""
    lines: list[str] = []
    for word in text[:_MOST_LETTERS].split():
        if lines and len(lines[-1]) + 1 + len(word) <= _LINE:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return tuple(lines)


def drawing_of(mark: Mark, unit: float, size: tuple[int, int]) -> MarkParts:
    """Lay out a mark's parts on a picture of this size."""
    tall, gap = _TEXT * _LEADING * unit, _GAP * unit
    down = (len(wrap_lines(mark.text)) - 0.5) * tall
    first = mark.points[0]
    if mark.kind == "text":
        return MarkParts(words=_place_text(mark.text, first, "start", unit, size))
    second = mark.points[1]
    length = math.dist(first, second)
    if mark.kind == "circle":
        above = first[1] - length - gap - down
        y = above if above >= _TEXT * unit / 2 else first[1] + length + gap + tall / 2
        return MarkParts(circle=(first, length), words=_place_text(mark.text, (first[0], y), "middle", unit, size))
    length = length or 1.0
    long = min(_HEAD * unit, length * 0.6)
    half = long / _HEAD * _HALF
    dx, dy = (second[0] - first[0]) / length, (second[1] - first[1]) / length
    base = (second[0] - dx * long, second[1] - dy * long)
    head = (second, (base[0] - dy * half, base[1] + dx * half), (base[0] + dy * half, base[1] - dx * half))
    room = (size[0] - first[0] if dx < 0 else first[0]) - gap
    # Above or below the tail where there is no room beside it.
    if abs(dx) < 0.5 or room < _wide(wrap_lines(mark.text), unit):
        at = (first[0], first[1] - gap - down if dy > 0 else first[1] + gap + tall / 2)
        words = _place_text(mark.text, at, "middle", unit, size)
    else:
        at = (first[0] - math.copysign(gap, dx), first[1] - (down - tall / 2) / 2)
        words = _place_text(mark.text, at, "start" if dx < 0 else "end", unit, size)
    return MarkParts(line=(first, base), head=head, words=words)


def _wide(lines: Sequence[str], unit: float) -> float:
    return max(map(len, lines), default=0) * _ACROSS * _TEXT * unit


def _place_text(text: str, at: Point, anchor: Anchor, unit: float, size: tuple[int, int]) -> Words | None:
    """Place text inside the picture."""
    lines, letter = wrap_lines(text), _TEXT * unit
    if not lines:
        return None
    across = min(size[0], _wide(lines, unit))
    before = {"start": 0.0, "middle": across / 2, "end": across}[anchor]
    down = (len(lines) - 1) * _LEADING * letter
    x = _clamp(at[0], before, size[0] - across + before)
    return Words((x, _clamp(at[1], letter / 2, size[1] - letter / 2 - down)), anchor, lines, letter)


def _clamp(value: float, low: float, high: float) -> float:
    return max(low, min(max(low, high), value))


def _lines(out: NDArray[np.uint8], drawing: MarkParts, colour: Colour, width: float, around: float) -> None:
    """Draw everything but letters, with round ends."""
    thick = max(1, round(width))
    if drawing.line is not None:
        ends = [_fixed(point) for point in drawing.line]
        cv2.line(out, ends[0], ends[1], colour, thick, cv2.LINE_AA, _SHIFT)
    if drawing.circle is not None:
        centre, radius = drawing.circle
        cv2.circle(out, _fixed(centre), round(radius * 2**_SHIFT), colour, thick, cv2.LINE_AA, _SHIFT)
    if drawing.head:
        corners = np.array([_fixed(point) for point in drawing.head], np.int32)
        cv2.fillPoly(out, [corners], colour, cv2.LINE_AA, _SHIFT)
        if around:
            cv2.polylines(out, [corners], True, colour, max(1, round(around)), cv2.LINE_AA, _SHIFT)


def _fixed(point: Point) -> tuple[int, int]:
    """Convert to OpenCV's fixed point, with integers at pixel centres."""
    x, y = ((value - 0.5) * 2**_SHIFT for value in point)
    return round(x), round(y)


def _letters(out: NDArray[np.uint8], words: Words, front: Colour, back: Colour, around: float) -> NDArray[np.uint8]:
    # Scaled to the width of the browser's letters: DejaVu is wider.
    font: Any = ImageFont.truetype(str(packing.font("DejaVuSans-Bold")), max(6.0, 0.86 * words.size))
    canvas = Pillow.fromarray(out)
    pen = ImageDraw.Draw(canvas)
    anchor = {"start": "lm", "middle": "mm", "end": "rm"}[words.anchor]
    for place, line in enumerate(words.lines):
        at = (words.at[0], words.at[1] + place * _LEADING * words.size)
        pen.text(at, line, font=font, fill=front, anchor=anchor, stroke_width=max(1, round(around)), stroke_fill=back)
    return np.array(canvas)
