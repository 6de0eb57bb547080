"""Compare detectors on labelled pictures: which one can be shipped."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.evaluation import average_precision, error_types
from sightglass.evaluation.evaluation import LEAST_CONFIDENCE
from sightglass.explain.options import Options
from sightglass.explain.phrases import plural
from sightglass.models.label_matching import match

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.common.files import Json
    from sightglass.evaluation.average_precision import DetectionScores
    from sightglass.evaluation.error_types import DetectionError, ErrorType
    from sightglass.evaluation.ground_truth import GroundTruth, TrueBox
    from sightglass.explain import Explainer
    from sightglass.explain.picture.item import Item

WARM_UP = 1
"""Pictures that are not timed."""


@dataclass(frozen=True)
class LabelledPicture:
    """A picture with its labelled boxes in pixels."""

    item: Item
    boxes: tuple[TrueBox, ...] = field(repr=False)


@dataclass(frozen=True, eq=False)
class ModelScore:
    """A row of the scorecard."""

    model: str
    scores: DetectionScores
    found: int
    """Labelled objects with a right box at the threshold in use."""
    errors: tuple[DetectionError, ...] = field(repr=False)
    """At that threshold."""
    costs: Mapping[ErrorType, float]
    """Rise of AP at an IoU of 0.5 if all errors of a type were mended."""
    milliseconds: float
    """Median of one picture from decoded pixels to boxes, measured here."""
    unknown: tuple[str, ...] = ()
    """Labels for which the model has no class: their objects count as missed."""

    @property
    def counts(self) -> Mapping[ErrorType, int]:
        """Number of errors of each type."""
        found = Counter(one.type for one in self.errors)
        return {kind: found[kind] for kind in error_types.MEANINGS}


def gather(items: Sequence[Item], labels: GroundTruth) -> tuple[list[LabelledPicture], list[str]]:
    """Return the pictures that have labels, opened once for their size, and a sentence on each other.

    Raises Problem where no picture has labels.
    """
    found, left = [], []
    for item in items:
        if (boxes := labels.find(item.key)) is None:
            left.append(f"{item.key}: it has no labels.")
            continue
        try:
            image = item.open()
        except Problem as problem:
            left.append(f"{item.key}: {problem}")
            continue
        found.append(LabelledPicture(item, tuple(one.in_pixels((image.width, image.height)) for one in boxes)))
    if not found:
        raise Problem("None of the pictures has labels: the file names in the labels are those of other pictures.")
    return found, left


def score(
    explainer: Explainer, pictures: Sequence[LabelledPicture], *, tell: Callable[[int, int], object] | None = None
) -> ModelScore:
    """Run a detector on labelled pictures and compare its boxes with the labels.

    `tell(done, total)` is called after each picture. Raises Problem for a model that draws no boxes.
    """
    if explainer.model.task != "detect":
        raise Problem(f"{explainer.model.id} draws no boxes: choose detectors.")
    wanted = sorted({one.label for picture in pictures for one in picture.boxes})
    named = match(wanted, explainer.labels)
    truths = [[_rename(one, named) for one in picture.boxes] for picture in pictures]
    found, seconds = [], []
    for number, picture in enumerate(pictures):
        image = picture.item.open()
        begun = time.perf_counter()
        made = explainer(image, maps=False, confidence=LEAST_CONFIDENCE)
        seconds.append(time.perf_counter() - begun)
        found.append(made.predictions)
        if tell is not None:
            tell(number + 1, len(pictures))
    matched = error_types.match_boxes(truths, found, Options().confidence)
    return ModelScore(
        explainer.model.id,
        average_precision.measure(truths, found),
        sum(len(one.right) for one in matched),
        tuple(error for one in matched for error in one.errors),
        error_types.cost_in_ap(truths, found),
        statistics.median(seconds[WARM_UP:] or seconds) * 1e3,
        tuple(label for label in wanted if label not in named),
    )


def verdict(rows: Sequence[ModelScore]) -> str:
    """Compare the best model by AP with the fastest, in one sentence; empty for a single model."""
    if len(rows) < 2:
        return ""
    best = max(rows, key=lambda row: row.scores.ap.value)
    others = [row for row in rows if row is not best]
    fast = min(others, key=lambda row: row.milliseconds)
    gap = average_precision.difference(best.scores, fast.scores)
    times = f"{fast.milliseconds:.0f} ms a picture instead of {best.milliseconds:.0f}"
    if gap.low <= 0:
        pictures = plural(best.scores.pictures, "picture")
        return f"{fast.model} and {best.model} cannot be told apart by AP on {pictures}; {times}."
    points = f"{100 * gap.value:.1f} points of AP [{100 * gap.low:.1f}, {100 * gap.high:.1f}]"
    return f"{fast.model} is {points} behind {best.model}; {times}."


def to_json(row: ModelScore) -> Json:
    """Return a row as plain values."""
    scores = row.scores
    return {
        "model": row.model,
        "pictures": scores.pictures,
        "objects": scores.objects,
        "found": row.found,
        "ap": asdict(scores.ap),
        "ap50": asdict(scores.ap50),
        "ap_by_class": {name: asdict(one) for name, one in scores.by_class.items()},
        "ap_by_size": dict(scores.by_size),
        "errors": {kind: {"count": count, "cost": row.costs[kind]} for kind, count in row.counts.items()},
        "milliseconds": row.milliseconds,
        "unknown_labels": list(row.unknown),
    }


def _rename(one: TrueBox, named: Mapping[str, frozenset[str]]) -> TrueBox:
    """Return a box under its class's name in the model."""
    return replace(one, label=min(named[one.label])) if one.label in named else one
