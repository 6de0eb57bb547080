"""Errors of a model on labelled pictures: list, table and tiles; and how well its answers fit, in numbers."""

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.evaluation import label_changes
from sightglass.evaluation.boxes import BACKGROUND
from sightglass.evaluation.intervals import Estimate
from sightglass.evaluation.kinds import ErrorUnit, kind_of
from sightglass.evaluation.stored import Evaluation
from sightglass.explain.rendering import render
from sightglass.explain.rendering.marks import Color, box_mark, draw_lines
from sightglass.explain.rendering.style import Field, Style
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import Box, measure_pairs
from sightglass.report.results import PlainResult

COLUMNS = ("index", "kind", "label", "predicted", "score", "found", "type", "wrong", "size")
"""Columns of a table of errors, after `picture`: as `ErrorUnit` has them."""


def list_rows(units: Iterable[ErrorUnit]) -> list[Json]:
    """Return a row of plain values for each unit.

    Of a detector there is one for each labelled object that is counted, and one for each extra box, at its threshold.
    Of a classifier one for each picture.
    """
    return [{"picture": unit.picture.key} | {name: getattr(unit, name) for name in COLUMNS} for unit in units]


ALL = "all"


class ErrorReport:
    """A model's errors; each part is computed on first use."""

    def __init__(self, evaluation: Evaluation) -> None:
        """Raises Problem for a segmentation."""
        self.evaluation, self._kind = evaluation, kind_of(evaluation.task)
        if self._kind.counts_pixels:
            raise Problem("A segmentation is judged by its pixels: errors are listed of boxes and classes only.")

    @cached_property
    def units(self) -> list[ErrorUnit]:
        """Labelled objects and extra boxes, or classified pictures."""
        return [*self._kind.list_units(self.evaluation)]

    @cached_property
    def headline(self) -> str:
        """Where it goes wrong, as `demo-s does not find 31 of 100 stars`: at most 20 words without a full stop."""
        return self._kind.describe_errors(self.evaluation.called, self.units)

    @cached_property
    def errors(self) -> list[ErrorUnit]:
        """The erroneous units: surest answers first, then missed objects by size."""
        errors = [unit for unit in self.units if unit.wrong]
        return sorted(errors, key=lambda unit: (math.inf if unit.score is None else -unit.score, -(unit.size or 0.0)))

    @cached_property
    def types(self) -> dict[str, int]:
        """The number of errors of each type."""
        return {kind: sum(unit.type == kind for unit in self.errors) for kind in self._kind.errors}

    def select(self, kind: str = ALL, label: str = "") -> list[ErrorUnit]:
        """Return the errors of a type, or all, for `label` alone."""
        return [unit for unit in self.errors if kind in (ALL, unit.type) and label in ("", unit.about)]

    def find_answers(self, unit: ErrorUnit) -> list[tuple[Prediction, NDArray[np.uint8] | None]]:
        """Return this model's answers about a unit of any model, and their small maps, the nearest first.

        Boxes count from an IoU of 0.1 with the label's or the answer's; of a whole picture it is the first answer.
        """
        picture = next((each for each in self.evaluation.pictures if each.key == unit.picture.key), None)
        if picture is None or unit.kind == "picture":
            return [(answer, None) for answer in (picture.predictions[:1] if picture is not None else ())]
        corners, overlaps = np.array([side.box for side in (unit.answer, unit.truth) if side is not None]), {}
        for i, answer in enumerate(picture.predictions):
            if answer.score >= self.evaluation.threshold:
                overlaps[i] = measure_pairs(np.array(answer.box), corners).max()
        nearest = sorted(overlaps, key=overlaps.__getitem__, reverse=True)
        return [(picture.predictions[i], picture.maps.get(i)) for i in nearest if overlaps[i] >= BACKGROUND]


class EvaluationSummary(PlainResult):
    """How well a run's answers fit its labels."""

    headline: str
    model: str
    task: Literal["detect", "classify", "segment"]
    pictures: int
    """Pictures with labels."""
    objects: int
    """Labelled objects; 0 of a classifier; of a segmentation the counted pixels."""
    not_counted: int
    """Labelled objects, labelled pictures of a classifier, or pixels; answers on them are not counted, either."""
    right: int
    """Objects with a right box at the threshold, pictures with a right answer, or pixels of the right class."""
    threshold: float
    scores: dict[str, Estimate]
    """`ap`, `ap50` and `ar`; `accuracy` and, of more than five classes, `top5`; or `mean_iou` and `pixel_accuracy`.

    0 to 1."""
    by_class: dict[str, Estimate]
    """AP, the share that is right, or IoU, of each labelled class."""
    errors: dict[str, int]
    """Number of each type; none of a classifier."""
    unknown: tuple[str, ...]
    """Labels for which the model has no class."""
    stopped: bool
    """Whether the run was stopped: its first pictures are no random sample, so that no number has an interval."""
    corrected: int
    """Labels that a person added, removed or replaced after the run."""
    problems: tuple[tuple[str, str], ...]
    """Pictures whose mask is missing or cannot be used, and why."""

    @classmethod
    def build(cls, evaluation: Evaluation) -> Self:
        """Summarise an evaluation: AP over all boxes, other numbers above the threshold."""
        kind, pictures = kind_of(evaluation.task), len(evaluation.pictures)
        metrics, objects = kind.measure(evaluation), evaluation.objects if kind.counts_objects else 0
        if kind.counts_pixels:
            pairs = [pair for picture in evaluation.pictures for pair in picture.pairs]
            pictures = sum(bool(picture.pairs) for picture in evaluation.pictures)
            objects = sum(count for *_, count in pairs)
            right = sum(count for truth, answer, count in pairs if truth == answer)
        else:
            right = int(kind.find_right(evaluation).sum())
        counts = {"pictures": pictures, "objects": objects, "classes": len(metrics.by_class)}
        names = ("model", "task", "not_counted", "threshold", "unknown", "stopped", "corrected")
        headline = kind.headline(metrics.scores, counts)
        return cls(
            headline=f"{headline} so far" if evaluation.stopped else headline,
            pictures=pictures,
            objects=objects,
            right=right,
            scores=dict(metrics.scores),
            by_class=dict(metrics.by_class),
            errors=ErrorReport(evaluation).types if kind.counts_objects else {},
            problems=tuple((picture.key, picture.problem) for picture in evaluation.pictures if picture.problem),
            **{name: getattr(evaluation, name) for name in names},
        )

    @property
    def label_sentences(self) -> tuple[str, ...]:
        """What was not counted and what was corrected: `Not counted: 119 labelled objects, nor answers on them`."""
        not_counted = kind_of(self.task).describe_not_counted(self.not_counted)
        return tuple(filter(None, (not_counted, label_changes.describe(self.corrected))))

    def list_classes(self) -> list[tuple[str, str, str]]:
        """Return (name, number, interval or number of pictures) of each class, worst first."""
        classes = sorted(self.by_class.items(), key=lambda item: (math.isnan(item[1].value), item[1].value, item[0]))
        return [(name, score.points, score.range_or_pictures) for name, score in classes]


MARGIN = 1.8
"""Side of the shown part, as a multiple of the boxes' own."""
MIN_SIDE = 96
"""Fewest pixels of the shown part's shorter side."""
TRUTH, ANSWER = (255, 255, 255), (255, 176, 59)
"""Colours of the label's box (solid) and of the answer's (dashed)."""
LINE = 2
"""Pixels of their lines, and of the dark ones around them."""


def frame_boxes(boxes: list[Box], picture: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of a picture around boxes, xyxy in pixels.

    `picture`: its width and height; `shape`: those of the tile, whose proportions the part has where the picture does.
    """
    wide, high = picture
    if not boxes:
        return 0, 0, wide, high
    x0, y0 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    x1, y1 = max(box[2] for box in boxes), max(box[3] for box in boxes)
    aspect = shape[0] / shape[1]
    height = max(MARGIN * (y1 - y0), MARGIN * (x1 - x0) / aspect, MIN_SIDE)
    width, height = min(wide, math.ceil(height * aspect)), min(high, math.ceil(height))
    left = min(max(0, round((x0 + x1 - width) / 2)), wide - width)
    top = min(max(0, round((y0 + y1 - height) / 2)), high - height)
    return left, top, left + width, top + height


def draw_tile(
    pixels: NDArray[np.uint8],
    unit: ErrorUnit,
    shape: tuple[int, int],
    answers: Iterable[tuple[Box | None, Color]] | None = None,
    values: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Draw an error's crop with its map, if it has one, uint8 (h, w, 3) RGB, within `shape`.

    `pixels`: the whole picture, uint8 (H, W, 3), of any size. `answers`: boxes with their colours, instead of the
    error's own, on the whole picture under the small map `values`.
    """
    wide, high = unit.picture.size
    labelled, answered = (side.box if side else None for side in (unit.truth, unit.answer))
    x0, y0, x1, y1 = 0, 0, wide, high
    if answers is None:
        x0, y0, x1, y1 = frame_boxes([box for box in (labelled, answered) if box is not None], (wide, high), shape)
        answers, values = [(answered, ANSWER)], unit.picture.maps.get(unit.found)
    scale = min(shape[0] / (x1 - x0), shape[1] / (y1 - y0))
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))

    def cut(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows, columns = values.shape[:2]
        part = (x0 / wide * columns, y0 / high * rows, x1 / wide * columns, y1 / high * rows)
        return np.array(Pillow.fromarray(values).resize(size, Pillow.Resampling.BILINEAR, box=part))

    tile = cut(pixels)
    if values is not None:
        whole = (0, 0, *size)
        tile = render.paint(tile, Field(np.asarray(cut(values), np.float32) / np.float32(255), whole, whole), Style())
    for box, color in ((labelled, TRUTH), *answers):
        if box is not None:
            mark = replace(box_mark(box), hollow=color != TRUTH).moved(-x0, -y0, (scale, scale))
            draw_lines(tile, [mark], LINE, LINE, color)
    return tile
