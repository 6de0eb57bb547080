"""Draw what a detector found: the picture, its boxes, and its maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sightglass.common.files import file_stem
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.marks import draw_marks
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.report.embedded_recipe import embed_overlay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sightglass.explain.result import Result
    from sightglass.models.adapter import Prediction


def every_map(explanation: Result, style: Style = VIEWER_STYLE, *, boxes: bool = True) -> NDArray[np.uint8]:
    """Draw all maps and boxes over the picture, the hottest map foremost."""
    pixels = explanation.image.pixels
    if explanation.heatmaps:
        hottest = np.maximum.reduce([heatmap.strength for heatmap in explanation.heatmaps])
        pixels = paint(pixels, replace(explanation.heatmaps[0].field, values=hottest, kind="heat"), style)
    return _draw_boxes(explanation, pixels, explanation.predictions if boxes else ())


def one_map(explanation: Result, index: int, style: Style = VIEWER_STYLE, *, boxes: bool = True) -> NDArray[np.uint8]:
    """Draw one map over the picture, with its `boxes`."""
    heatmap = explanation.heatmaps[index]
    pixels = paint(explanation.image.pixels, heatmap.field, style)
    predictions = explanation.own(index) if boxes else ()
    return _draw_boxes(explanation, pixels, predictions, chosen=0 if len(predictions) == 1 else None)


def files(explanation: Result, style: Style = VIEWER_STYLE, *, boxes: bool = True) -> Iterator[tuple[str, bytes]]:
    """Yield (name, JPEG) of picture, boxes, all maps, and each map.

    All but the first carry the recipe; the two with all boxes carry that of the first map. `boxes` False: no box is
    drawn over a map, and only the file that is about the boxes, `*_detection.jpg`, has them.

        for name, data in files(Explainer("yolo11n")("bus.jpg"), boxes=False):
            Path(name).write_bytes(data)
    """
    stem = file_stem(explanation.image.name.rsplit(".", 1)[0])
    yield f"{stem}_original.jpg", to_jpeg(explanation.image.pixels)
    boxed = _draw_boxes(explanation, explanation.image.pixels, explanation.predictions)
    yield f"{stem}_detection.jpg", embed_overlay(to_jpeg(boxed), explanation, 0, style)
    drawn = every_map(explanation, style, boxes=boxes)
    yield f"{stem}_gradcam.jpg", embed_overlay(to_jpeg(drawn), explanation, 0, style)
    for i, heatmap in enumerate(explanation.heatmaps):
        name = f"{stem}_{i + 1:02}_{file_stem(heatmap.target.label)}.jpg"
        drawn = one_map(explanation, i, style, boxes=boxes)
        yield name, embed_overlay(to_jpeg(drawn), explanation, i, style)


def _draw_boxes(
    explanation: Result, pixels: NDArray[np.uint8], predictions: Sequence[Prediction], chosen: int | None = None
) -> NDArray[np.uint8]:
    answers = explanation.task.answers(explanation, predictions)
    return draw_marks(pixels, [(answer.marks, plain_text(answer.line)) for answer in answers], chosen=chosen)
