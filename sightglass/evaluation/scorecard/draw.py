"""Draw a labelled picture as two models see it, and their difference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sightglass.evaluation.error_types import BACKGROUND
from sightglass.explain.phrases import listing, percent, plain_text
from sightglass.explain.rendering.contact_sheet import boxes as draw_boxes
from sightglass.explain.rendering.render import paint, share_difference
from sightglass.explain.rendering.style import VIEWER_STYLE, Field
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.evaluation.scorecard.pairs import JudgedObject, ModelPair
    from sightglass.evaluation.scorecard.rows import ModelScore
    from sightglass.explain.picture.image import Image
    from sightglass.models.adapter import Prediction

    Pixels = NDArray[np.uint8]
    Map = NDArray[np.float32]

SIDE = 480
"""Pixels of the longer side."""
NAMED = 3
"""Answers in a caption."""
LABEL, RIGHT, WRONG = (255, 255, 255), (28, 141, 151), (201, 100, 27)
"""Colours of a label's box, of a right and of a wrong one; the caption says it too."""


@dataclass(frozen=True)
class DrawnView:
    """One of the pictures side by side."""

    title: str
    words: str
    """What the model answers, or why there is nothing to draw."""
    pixels: Pixels | None = field(repr=False)


def draw_pair(image: Image, pair: ModelPair, units: Sequence[int]) -> list[DrawnView]:
    """Return a picture as the first and as the second model sees some of its objects, and the difference of two maps.

    `units`: indices of `pair.units`, all of this picture.
    """
    small = image.thumbnail(SIDE)
    rows, chosen = (pair.first, pair.second), [(i, pair.units[i]) for i in units]
    maps = [_merge_maps(row, chosen) for row in rows]
    views = [_draw(small, image.width, row, chosen, values) for row, values in zip(rows, maps, strict=True)]
    first, second = maps
    if first is None or second is None:
        return views
    drawn = paint(small, _lay(share_difference(first, second), small, "difference"), VIEWER_STYLE)
    words = f"Blue: more of {pair.first.model}. Red: more of {pair.second.model}."
    return [*views, DrawnView("Difference", words, drawn)]


def describe_labels(chosen: Sequence[JudgedObject]) -> str:
    """Return what is labelled, such as `gear and star`."""
    return listing(list(dict.fromkeys(one.label for one in chosen)))


def _merge_maps(row: ModelScore, chosen: Sequence[tuple[int, JudgedObject]]) -> Map | None:
    """Return a model's maps of its answers about these objects as one, float32 (h, w) in 0..1; None without any."""
    found = []
    for i, unit in chosen:
        picture = row.evaluation.pictures[unit.picture]
        places = [place for place, one in enumerate(picture.found) if one is _find_answer(row, i, unit)]
        found += [picture.maps[place] for place in places if place in picture.maps]
    return np.maximum.reduce(found).astype(np.float32) / np.float32(255) if found else None


def _draw(
    small: Pixels, width: int, row: ModelScore, chosen: Sequence[tuple[int, JudgedObject]], values: Map | None
) -> DrawnView:
    pixels = small if values is None else paint(small, _lay(values, small), VIEWER_STYLE)
    scale = small.shape[1] / width
    items: list[tuple[tuple[float, ...], str]] = []
    colors, words = [], []
    for i, unit in chosen:
        answer = _find_answer(row, i, unit)
        right = bool(row.right[i])
        words.append(_describe(answer, right=right, detects=row.detects))
        for box, text, color in (
            (None if unit.truth is None else unit.truth.box, "", LABEL),
            (None if answer is None else answer.box, "" if answer is None else answer.label, RIGHT if right else WRONG),
        ):
            if box is not None:
                items.append((tuple(edge * scale for edge in box), plain_text(text)))
                colors.append(color)
    more = len(words) - NAMED
    told = "; ".join([*words[:NAMED], *([f"{more} more"] if more > 0 else [])])
    return DrawnView(row.model, told, draw_boxes(pixels, items, colors=colors) if items else pixels)


def _find_answer(row: ModelScore, unit: int, judged: JudgedObject) -> Prediction | None:
    """Return the answer that is right about an object, or else the surest wrong box on it; None without any."""
    found = row.evaluation.pictures[judged.picture].found
    if (index := row.answers.get(unit)) is not None:
        return found[index]
    if row.threshold is None or judged.truth is None:
        return None
    shown = (one for one in found if one.score >= row.threshold.score and one.box is not None)
    box = judged.truth.box
    return next((one for one in shown if one.box and intersection_over_union(one.box, box) >= BACKGROUND), None)


def _describe(answer: Prediction | None, *, right: bool, detects: bool) -> str:
    if answer is None:
        return "✗ nothing here" if detects else "✗ no answer"
    return f"{'✓' if right else '✗'} {answer.label} {percent(answer.score)}"


def _lay(values: Map, pixels: Pixels, kind: str = "heat") -> Field:
    """Return a small map of the whole picture as a field over it."""
    height, width = pixels.shape[:2]
    return Field(
        values,
        (0.0, 0.0, float(width), float(height)),
        (0, 0, width, height),
        kind="difference" if kind == "difference" else "heat",
    )
