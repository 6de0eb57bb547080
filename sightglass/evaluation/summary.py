"""Sum up how well a run's answers fit its labels, for the JSON of the command line and of its files."""

from __future__ import annotations

import math
from typing import Literal, Self

from sightglass.common.files import Json
from sightglass.evaluation import kinds, label_changes
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.intervals import Estimate
from sightglass.evaluation.stored import Evaluation
from sightglass.explain.phrases import percent, plural
from sightglass.report.results import Number, PlainResult

Verdict = Literal["ship", "do not ship", "cannot be told"]
"""A verdict on one model in the place of another."""


class ClassChange(PlainResult):
    """What a model in another one's place has right of a class."""

    label: str
    objects: int
    """Labelled objects, or pictures, of the class."""
    right: int
    before: int
    """Right by the model that is replaced."""
    certain: bool
    """Whether its pictures differ beyond chance: a sign test, corrected for the number of classes and pairs."""


class DecisionSummary(PlainResult):
    """Which of several models to take, on the same labelled pictures."""

    headline: str
    words: str
    kind: Verdict
    candidate: str | None
    """The model that takes the other one's place; null where that is too close to call."""
    against: str
    tolerance: float
    """Share of AP or accuracy that may be lost, 0..1."""
    pairs: int
    """Pairs of models, for all of which the gaps' 95 % intervals hold at once."""
    scores: dict[str, Number]
    """AP or accuracy of each model, 0..1."""
    gaps: dict[str, Estimate]
    """How much lower each is than that of `against`."""
    sizes: dict[str, int | None]
    """Bytes of the weights; null: not known."""
    losses: tuple[ClassChange, ...]
    gains: tuple[ClassChange, ...]
    left_out: str
    """What was not counted."""
    stopped: bool
    """Whether a run was stopped, so that nothing is decided."""


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
    corrected: int
    """Labels that a person added, removed or replaced after the run."""
    problems: tuple[tuple[str, str], ...]
    """Pictures whose mask is missing or cannot be used, and why."""

    @classmethod
    def build(cls, evaluation: Evaluation) -> Self:
        """Summarise an evaluation: AP over all boxes, other numbers above the threshold."""
        kind = kinds.kind_of(evaluation.task)
        metrics, pictures = kind.measure(evaluation), kind.count_pictures(evaluation)
        objects = evaluation.objects if kind.counts_objects else evaluation.pixels
        counts = {"pictures": pictures, "objects": objects, "classes": len(metrics.by_class)}
        names = ("model", "task", "not_counted", "threshold", "unknown", "corrected")
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
    def label_sentences(self) -> tuple[str, ...]:
        """What was not counted and what was corrected: `Not counted: 119 labelled objects, nor answers on them`."""
        not_counted = kinds.kind_of(self.task).describe_not_counted(self.not_counted)
        return tuple(filter(None, (not_counted, label_changes.describe(self.corrected))))

    def list_classes(self) -> list[tuple[str, str, str]]:
        """Return (name, number, interval) of each class, worst first."""
        classes = sorted(self.by_class.items(), key=lambda item: (math.isnan(item[1].value), item[1].value, item[0]))
        return [(name, score.points, score.range) for name, score in classes]

    @property
    def class_columns(self) -> tuple[str, str, str]:
        """What `list_classes` has."""
        number = kinds.kind_of(self.task).number
        return "class", number, f"{number}, 95 %"
