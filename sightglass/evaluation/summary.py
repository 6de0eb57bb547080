"""Sum up how well a run's answers fit its labels, for the JSON of the command line and of its files."""

from __future__ import annotations

import math
from typing import Literal, Self

from sightglass.common.files import Json
from sightglass.evaluation import kinds
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.intervals import Estimate
from sightglass.evaluation.stored import Evaluation
from sightglass.explain.phrases import percent, plural
from sightglass.report.results import PlainResult


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
    """`ap`, `ap50` and `ar`, `accuracy` and `top5`, or `mean_iou` and `pixel_accuracy`; 0 to 1."""
    by_class: dict[str, Estimate]
    """AP, the share that is right, or IoU, of each labelled class."""
    errors: dict[str, int]
    """Number of each type; none of a classifier."""
    unknown: tuple[str, ...]
    """Labels for which the model has no class."""
    problems: tuple[tuple[str, str], ...]
    """Pictures whose mask is missing or cannot be used, and why."""

    @classmethod
    def build(cls, evaluation: Evaluation) -> Self:
        """Summarise an evaluation: AP over all boxes, other numbers above the threshold."""
        kind = kinds.kind_of(evaluation.task)
        metrics, pictures = kind.measure(evaluation), kind.count_pictures(evaluation)
        objects = evaluation.objects if kind.counts_objects else evaluation.pixels
        counts = {"pictures": pictures, "objects": objects, "classes": len(metrics.by_class)}
        names = ("model", "task", "not_counted", "threshold", "unknown")
        facts: Json = {name: getattr(evaluation, name) for name in names}
        return cls(
            headline=kind.headline(metrics.scores, counts),
            pictures=pictures,
            objects=objects,
            right=kind.count_right(evaluation),
            scores=dict(metrics.scores),
            by_class=dict(metrics.by_class),
            errors=ErrorReport(evaluation).types if kind.counts_objects else {},
            problems=tuple((picture.key, picture.problem) for picture in evaluation.pictures if picture.problem),
            **facts,
        )

    @property
    def right_sentence(self) -> str:
        """`36 of 48 objects found at the threshold of 25 %`; empty of other models than detectors."""
        objects, threshold = plural(self.objects, "object"), percent(self.threshold)
        return f"{self.right:,} of {objects} found at the threshold of {threshold}" if self.errors else ""

    @property
    def not_counted_sentence(self) -> str:
        """`Not counted: 119 labelled objects, nor answers on them`; empty if all count."""
        return kinds.kind_of(self.task).describe_not_counted(self.not_counted)

    def list_classes(self) -> list[tuple[str, str, str]]:
        """Return (name, number, interval) of each class, worst first."""
        classes = sorted(self.by_class.items(), key=lambda item: (math.isnan(item[1].value), item[1].value, item[0]))
        return [(name, score.points, score.range) for name, score in classes]

    @property
    def class_columns(self) -> tuple[str, str, str]:
        """What `list_classes` has."""
        number = kinds.kind_of(self.task).number
        return "class", number, f"{number}, 95 %"
