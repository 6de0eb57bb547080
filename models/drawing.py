"""Render strokes, and guess a model's drawing colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

Paper = Literal["white on black", "black on white"]
"""Colours of the strokes and of the paper."""
PAPERS: tuple[Paper, ...] = ("white on black", "black on white")
SIDE = 448
"""Side of a drawing in pixels: sixteen times the 28 of published drawing data sets."""
STROKE_WIDTH = 1 / 16
"""Width of a stroke as a share of the side: that of Quick, Draw! at 28 px."""
MAX_POINTS = 60_000
"""Maximum number of points of one drawing, about an hour's work."""
_SHIFT = 4
_FINE = 1344
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
    """(x, y) as shares of the side, 0..1 on the paper."""
    width: float = STROKE_WIDTH
    """A share of the side."""
    erases: bool = False


def strokes(data: Any) -> tuple[Stroke, ...]:
    """Parse strokes as a browser sends them, `{"points": [x, y, x, y, ...], "width": w, "erases": false}`.

    All are shares of the side. Invalid strokes are left out, and all after `MAX_POINTS`.
    """
    parsed: list[Stroke] = []
    count = 0
    for item in data if isinstance(data, list) else ():
        points = item.get("points") if isinstance(item, dict) else None
        if not isinstance(points, list) or len(points) < 2 or not all(map(_number, points)):
            continue
        width = item.get("width", STROKE_WIDTH)
        count += len(points) // 2
        if count > MAX_POINTS:
            break
        pairs = zip(points[::2], points[1::2], strict=False)
        near = tuple((min(max(float(x), -1.0), 2.0), min(max(float(y), -1.0), 2.0)) for x, y in pairs)
        thick = min(max(float(width), 0.002), 0.5) if _number(width) else STROKE_WIDTH
        parsed.append(Stroke(near, thick, bool(item.get("erases"))))
    return tuple(parsed)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def draw(drawn: Sequence[Stroke], paper: Paper, side: int = SIDE) -> NDArray[np.uint8]:
    """Return uint8 (side, side, 3) with the strokes in order, with round ends and smooth edges."""
    import cv2

    ink, ground = (255, 0) if paper == "white on black" else (0, 255)
    # Larger, and made small again: OpenCV's own smooth lines are two pixels too thick.
    fine = -(-_FINE // side)
    large = side * fine
    canvas = np.full((large, large), ground, np.uint8)
    for stroke in drawn:
        # Whole pixels of a centre are at .5 of the paper's edges.
        points = (np.asarray(stroke.points) * large - 0.5) * (1 << _SHIFT)
        path = np.rint(points).astype(np.int32).reshape(-1, 1, 2)
        if len(path) == 1:
            path = np.concatenate([path, path])
        thick = max(round(stroke.width * large), 1)
        cv2.polylines(canvas, [path], False, ground if stroke.erases else ink, thick, cv2.LINE_8, _SHIFT)
    small = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
    return np.repeat(small[:, :, None], 3, axis=2)


def names_drawings(labels: Sequence[str]) -> bool:
    """Return whether classes are drawable: digits, letters, or drawing data sets'."""
    words = [label.strip().lower().replace("_", " ") for label in labels]
    if len(words) > 1 and all(len(word) == 1 and word.isalnum() for word in words):
        return True
    drawn = frozenset(_WORDS.split())
    known = sum(any(part in drawn for part in word.split()) for word in words)
    return len(words) > 1 and known >= max(2, len(words) // 3)


def doodles() -> tuple[tuple[Stroke, ...], ...]:
    """Return a dozen simple drawings, unlike each other."""

    def arc(x: float, y: float, radius: float, start: float = 0.0, stop: float = 1.0) -> list[tuple[float, float]]:
        angles = np.linspace(start, stop, 25) * 2 * math.pi
        return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]

    star = [(0.5 + r * math.sin(i * math.pi / 5), 0.52 - r * math.cos(i * math.pi / 5))
            for i in range(11) for r in [0.4 if i % 2 == 0 else 0.16]]  # fmt: skip
    spiral = [(0.5 + 0.4 * t * math.cos(6 * math.pi * t), 0.5 + 0.4 * t * math.sin(6 * math.pi * t))
              for t in np.linspace(0, 1, 60)]  # fmt: skip
    paths: list[list[list[tuple[float, float]]]] = [
        [arc(0.5, 0.5, 0.38)],
        [[(0.15, 0.15), (0.85, 0.15), (0.85, 0.85), (0.15, 0.85), (0.15, 0.15)]],
        [[(0.5, 0.12), (0.88, 0.85), (0.12, 0.85), (0.5, 0.12)]],
        [star],
        [[(0.1, 0.6), (0.3, 0.3), (0.5, 0.6), (0.7, 0.3), (0.9, 0.6)]],
        [[(0.1, 0.5), (0.9, 0.5)]],
        [[(0.15, 0.15), (0.85, 0.85)], [(0.85, 0.15), (0.15, 0.85)]],
        [[(0.35, 0.1), (0.35, 0.9)], [(0.65, 0.1), (0.65, 0.9)], *([(0.35, y), (0.65, y)] for y in (0.25, 0.5, 0.75))],
        [spiral],
        [[(0.2, 0.45), (0.5, 0.12), (0.8, 0.45)], [(0.2, 0.45), (0.2, 0.88), (0.8, 0.88), (0.8, 0.45), (0.2, 0.45)]],
        [arc(0.5, 0.5, 0.38), arc(0.37, 0.4, 0.03), arc(0.63, 0.4, 0.03), arc(0.5, 0.52, 0.2, 0.05, 0.45)],
        [arc(0.5, 0.35, 0.25, 0.5, 1.0), [(0.25, 0.35), (0.75, 0.35)], [(0.5, 0.35), (0.5, 0.85)]],
    ]
    return tuple(tuple(Stroke(tuple(path)) for path in paths_of) for paths_of in paths)


def paper_of(answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> tuple[Paper, bool]:
    """Return the best colours for a model's drawings, and their certainty.

    `answer` gives one picture's probabilities (classes,). The measure is the mutual information of drawing and class:
    in the wrong colours a model gives the same answer to all.
    """
    information = {}
    for paper in PAPERS:
        rows = np.stack([answer(draw(doodle, paper, 112)) for doodle in doodles()])
        information[paper] = _entropy(rows.mean(0)) - float(np.mean([_entropy(row) for row in rows]))
    first, second = sorted(PAPERS, key=information.__getitem__, reverse=True)
    return first, information[first] > 1.25 * information[second]


def _entropy(shares: NDArray[np.float32]) -> float:
    known = shares[shares > 0].astype(np.float64)
    return float(-(known * np.log(known)).sum())
