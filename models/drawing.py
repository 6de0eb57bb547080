"""Render strokes, and recognise models of drawings by their classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Paper = Literal["white on black", "black on white"]
"""Colours of the strokes and of the paper."""
PAPERS: tuple[Paper, ...] = ("white on black", "black on white")
SIDE = 448
"""Side of a drawing in pixels: sixteen times the 28 of published drawing data sets."""
STROKE_WIDTH = 1 / 16
"""Width of a stroke as a share of the side: that of Quick, Draw! at 28 px."""
_SHIFT = 4
"""Binary digits after the point of the coordinates that OpenCV draws at."""
_FINE_SIDE = 3 * SIDE
"""Side in pixels, at least, at which strokes are drawn before they are shrunk."""
# Classes of the usual data sets of drawings: one of them among a model's classes is a hint, not a proof.
_WORDS = """
airplane ambulance anvil apple arm axe banana bat bed bicycle bird book bowtie bread bridge broom bus butterfly cactus
cake camera candle car carrot castle cat chair circle clock cloud coffee cross cup door dog ear envelope eye face fish
flower fork guitar hammer hand hat house key knife ladder leaf lightning line moon mountain mushroom pants pencil pizza
rainbow scissors shoe shovel skull smiley snake snowman spider spoon square star sun sword t-shirt table tent tooth
traffic tree triangle umbrella wheel zigzag
"""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One stroke of a drawing, or of the eraser."""

    points: tuple[tuple[float, float], ...]
    """(x, y) as shares of the side, 0..1 on the paper; a single one is a dot."""
    width: float = STROKE_WIDTH
    """A share of the side."""
    erases: bool = False


def draw(strokes: Sequence[Stroke], paper: Paper, side: int = SIDE) -> NDArray[np.uint8]:
    """Return uint8 (side, side, 3) with the strokes in order."""
    import cv2

    ink, ground = (255, 0) if paper == "white on black" else (0, 255)
    # Draw large and reduce: OpenCV's antialiased lines are two pixels too thick.
    large = side * -(-_FINE_SIDE // side)
    canvas = np.full((large, large), ground, np.uint8)
    for stroke in strokes:
        draw_line(canvas, stroke.points, stroke.width, ground if stroke.erases else ink)
    return np.repeat(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)[:, :, None], 3, axis=2)


def draw_line(canvas: NDArray[np.uint8], points: Sequence[tuple[float, float]], width: float, value: int) -> None:
    """Draw a line through points (x, y), in shares of the canvas (h, w); `width` is a share of its longer side."""
    import cv2

    # Pixel centres are at .5 in shares of the sides.
    path = np.rint((np.asarray(points) * canvas.shape[::-1] - 0.5) * (1 << _SHIFT)).astype(np.int32).reshape(-1, 1, 2)
    # OpenCV draws no line of a single point.
    path = np.concatenate([path, path[-1:]])
    cv2.polylines(canvas, [path], False, value, max(round(width * max(canvas.shape)), 1), cv2.LINE_8, _SHIFT)


def names_drawings(labels: Sequence[str]) -> bool:
    """Return whether all classes are letters or digits, or a third of them words of drawing data sets."""
    words = [label.strip().lower().replace("_", " ") for label in labels]
    if len(words) > 1 and all(len(word) == 1 and word.isalnum() for word in words):
        return True
    drawable = frozenset(_WORDS.split())
    matches = sum(not drawable.isdisjoint(word.split()) for word in words)
    return len(words) > 1 and matches >= max(2, len(words) // 3)
