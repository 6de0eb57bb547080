"""Compare stored runs on the same labelled pictures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sightglass.common.errors import Problem
from sightglass.evaluation import stored
from sightglass.evaluation.intervals import Estimate, Z, estimate
from sightglass.evaluation.kinds import kind_of
from sightglass.explain.phrases import NBSP, listing, plural
from sightglass.explain.tasks import task_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.intervals import Metrics
    from sightglass.evaluation.kinds import ClassEvaluation
    from sightglass.evaluation.stored import EvaluatedPicture, Evaluation

MOST = 6
"""Models that are compared at once."""
TOLERANCE = 0.02
"""Of AP or accuracy that may be lost."""
ENOUGH = 50
"""Times as many pictures as there are, beyond which no number of them is named."""

Kind = Literal["ship", "do not ship", "cannot be told"]
VERDICTS: dict[Kind, str] = {
    "ship": "good enough",
    "do not ship": "loses too much",
    "cannot be told": "too close to call",
}
"""Of one model in the place of another."""


@dataclass(frozen=True, eq=False)
class ModelScore:
    """A row of the scorecard: one model on labelled pictures."""

    evaluation: Evaluation = field(repr=False)
    metrics: Metrics = field(repr=False)

    @property
    def score(self) -> Estimate:
        """AP of a detector, accuracy of a classifier, 0..1."""
        return next(iter(self.metrics.scores.values()))

    @property
    def model(self) -> str:
        """What a sentence calls the model."""
        return self.evaluation.called

    @property
    def kind(self) -> ClassEvaluation:
        """The evaluation kind of its answers."""
        return kind_of(self.evaluation.task)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Right objects or pictures at the run's threshold, (objects,)."""
        return self.kind.find_right(self.evaluation)


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether one model can take the place of another, within what a person tolerates."""

    first: ModelScore
    second: ModelScore
    """The better or older one."""
    tolerance: float
    """Of AP or accuracy, 0..1."""

    @property
    def _drawn(self) -> NDArray[np.float64]:
        return self.second.metrics.drawn - self.first.metrics.drawn

    @cached_property
    def gap(self) -> Estimate:
        """Advantage of the second model's AP or accuracy, on redrawn pictures."""
        value = self.second.score.value - self.first.score.value
        gap = estimate(value, self._drawn)
        # Models that agree on all of few pictures may differ on others; after Bonett and Price (2012,
        # doi:10.3102/1076998611411915).
        half = Z * math.sqrt(2) / (len(self.second.evaluation.pictures) + 2)
        # In this order, nan stays nan.
        return Estimate(gap.value, min(gap.low, gap.value - half), max(gap.high, gap.value + half))

    @property
    def kind(self) -> Kind:
        """`ship` only for an interval within the tolerance."""
        if self.gap.high <= self.tolerance:
            return "ship"
        return "do not ship" if self.gap.low > self.tolerance else "cannot be told"

    @property
    def more_pictures(self) -> int | None:
        """Pictures needed to settle the gap; None if settled or too many.

        The standard error is taken to fall with the square root of the number of pictures.
        """
        if self.kind != "cannot be told":
            return None
        count, distance = len(self.second.evaluation.pictures), abs(self.tolerance - self.gap.value)
        error = float(np.nanstd(self._drawn))
        needed = max(count * (Z * error / distance) ** 2, Z * math.sqrt(2) / distance - 2) if distance else math.inf
        return max(1, math.ceil(needed - count)) if needed <= ENOUGH * count else None

    @property
    def title(self) -> str:
        """`demo-s instead of demo-l: loses too much`."""
        return f"{self.first.model} instead of {self.second.model}: {VERDICTS[self.kind]}"

    @property
    def scores(self) -> str:
        """`AP 61.2 against 70.1.`, or `77 against 78 % right.`"""
        first, second = self.first, self.second
        if task_of(first.evaluation.task).has_boxes:
            return f"{first.kind.number} {first.score.points} against {second.score.points}."
        return f"{first.score.percent.removesuffix(f'{NBSP}%')} against {second.score.percent} right."

    @property
    def loss(self) -> str:
        """What the first model loses, and how many more pictures would decide."""
        more = self.more_pictures
        decide = f" About {plural(round(more, 2 - len(str(more))), 'more picture')} would decide." if more else ""
        return f"{self._worst_class}{decide}".strip()

    @property
    def _worst_class(self) -> str:
        """`It loses rod-cross (0 of 10 against 4).`; empty where no class is lost."""
        counts: dict[str, list[int]] = {}
        for row in list_objects((self.first, self.second)):
            rights = counts.setdefault(str(row["label"]), [0, 0, 0])
            rights[0] += row[self.first.model]
            rights[1] += row[self.second.model]
            rights[2] += 1
        label, (first, second, total) = max(
            counts.items(), key=lambda item: item[1][1] - item[1][0], default=("", [0] * 3)
        )
        return f"It loses {label} ({first:,} of {total:,} against {second:,})." if second > first else ""

    @property
    def words(self) -> str:
        """The verdict, the scores, and the loss."""
        return f"{self.title}. {self.scores} {self.loss}".strip()


@dataclass(frozen=True, eq=False)
class Scorecard:
    """Models on the same labelled pictures."""

    rows: tuple[ModelScore, ...]
    reference: ModelScore
    """The one that the others are to replace."""
    tolerance: float = TOLERANCE
    """Of AP or accuracy that may be lost, 0..1."""

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Those of the other models, each beside the reference."""
        others = (row for row in self.rows if row is not self.reference)
        return tuple(Verdict(row, self.reference, self.tolerance) for row in others)

    @property
    def verdict(self) -> Verdict | None:
        """The verdict of the first shippable model, else of the first."""
        return next((verdict for verdict in self.verdicts if verdict.kind == "ship"), next(iter(self.verdicts), None))


def list_objects(rows: Sequence[ModelScore]) -> list[dict[str, Any]]:
    """Return a row per labelled object or picture, right or wrong by each model."""
    objects: list[dict[str, Any]] = []
    for picture in rows[-1].evaluation.pictures:
        for label, box in rows[-1].kind.list_labels(picture):
            judged = {row.model: bool(row.right[len(objects)]) for row in rows}
            corners = dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))
            objects.append({"picture": picture.key, "label": label, **corners, **judged})
    return objects


def compare(rows: Sequence[ModelScore], *, tolerance: float = TOLERANCE, against: str = "") -> Scorecard:
    """Return the scorecard of models on the same labels.

    `against`: the model that the others are to replace; empty: the best. Raises Problem for more than `MOST` models,
    two of one name, other labels, detectors beside classifiers, or no such model.
    """
    names = [row.model for row in rows]
    if len(set(names)) < len(names):
        raise Problem("Two of these have the same name: a scorecard tells models apart by their names.")
    if against and against not in names:
        raise Problem(f"{against} is none of the models of this scorecard: {listing(names)}.")
    if len({row.evaluation.task for row in rows}) > 1:
        raise Problem("Detectors and classifiers cannot be compared on one scorecard: choose models of one kind.")
    for row in rows[1:]:
        for picture, other in zip(rows[0].evaluation.pictures, row.evaluation.pictures, strict=True):
            same = [truth.box for truth in picture.truths] == [truth.box for truth in other.truths]
            if picture.key != other.key or not same:
                raise Problem(f"{row.model} was judged by other labels of {picture.key}: run both on the same ones.")
    best = rows[names.index(against)] if against else max(rows, key=lambda row: row.score.value)
    return Scorecard(tuple(rows), best, tolerance)


def score(evaluation: Evaluation) -> ModelScore:
    """Return the row of an evaluated model."""
    return ModelScore(evaluation, kind_of(evaluation.task).measure_fit(evaluation))


def score_runs(
    folders: Sequence[Path], load: Callable[[Path], Evaluation] = stored.load
) -> tuple[list[ModelScore], list[str]]:
    """Return the rows of stored runs on their common pictures.

    The sentences are on pictures that are left out. Runs of the same model are called after their folders. `load`
    reads the evaluation of each. Raises Problem for a run without an evaluation, and runs without a common picture.
    """
    evaluations = [load(folder) for folder in folders]
    times = Counter(evaluation.called for evaluation in evaluations)
    named = [
        replace(evaluation, name=evaluation.called if times[evaluation.called] == 1 else folder.name)
        for evaluation, folder in zip(evaluations, folders, strict=True)
    ]
    common, left = keep_common(named)
    return list(map(score, common)), [f"{plural(left, 'picture')} that not every run has."] if left else []


def keep_common(evaluations: Sequence[Evaluation]) -> tuple[list[Evaluation], int]:
    """Return evaluations of the common pictures, and the number dropped.

    Labels that are not counted for one of the models count for none. Raises Problem for no common picture.
    """
    by_key = [{picture.key: picture for picture in evaluation.pictures} for evaluation in evaluations]
    common = sorted(set.intersection(*map(set, by_key)))
    if not common:
        raise Problem("These runs have no picture in common: choose runs over the same pictures.")

    def keep(picture: EvaluatedPicture) -> EvaluatedPicture:
        classless = {truth.box for keyed in by_key for truth in keyed[picture.key].truths if not truth.label}
        truths = (replace(truth, label="") if truth.box in classless else truth for truth in picture.truths)
        return replace(picture, truths=tuple(truths))

    kept = [
        replace(evaluation, pictures=tuple(keep(keyed[key]) for key in common))
        for evaluation, keyed in zip(evaluations, by_key, strict=True)
    ]
    return kept, len(set.union(*map(set, by_key))) - len(common)
