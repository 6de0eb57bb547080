"""Decide which of several models to take, by stored runs over the same labelled pictures.

The page Pictures, its slide, its report, the API and the command line show one `Decision`.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.evaluation import stored
from sightglass.evaluation.intervals import LEVEL, Estimate, Metrics, quantile, redraw, sign_test, standard_error
from sightglass.evaluation.kinds import EvaluationKind, kind_of
from sightglass.evaluation.stored import EvaluatedPicture, Evaluation
from sightglass.explain.phrases import NBSP, capital, listing, plain_text, plural, signed
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

MAX_MODELS = 6
"""Models that are compared at once."""
TOLERANCE = 0.02
"""Share of AP or accuracy that may be lost."""
NAMED = 4
"""Classes that a sentence names."""
MAX_GROWTH = 50
"""Most pictures that would decide, as a multiple of the judged ones: above it no number is named."""

Verdict = Literal["ship", "do not ship", "cannot be told"]
VERDICTS: dict[Verdict, str] = {
    "ship": "good enough",
    "do not ship": "loses too much",
    "cannot be told": "too close to call",
}
"""Verdicts on one model in the place of another."""


@dataclass(frozen=True)
class ClassChange:
    """What a model in another one's place has right of a class."""

    label: str
    objects: int
    """Labelled objects, or pictures, of the class."""
    right: int
    before: int
    """Right by the model that is replaced."""
    certain: bool
    """Whether its pictures differ beyond chance: a sign test, corrected for the number of classes and pairs."""


@dataclass(frozen=True, eq=False)
class ModelScore:
    """One model's score on labelled pictures."""

    evaluation: Evaluation = field(repr=False)
    metrics: Metrics = field(repr=False)
    size: int | None = None
    """Bytes of its weights; None: not known."""

    @property
    def score(self) -> Estimate:
        """AP of a detector, accuracy of a classifier, 0..1."""
        return next(iter(self.metrics.scores.values()))

    @property
    def text(self) -> str:
        """`AP 61.2` or `77 % right`."""
        number = self.kind.number
        return f"{number} {self.score.points}" if self.kind.counts_objects else f"{self.score.percent} {number}"

    @property
    def model(self) -> str:
        """The model's name in sentences."""
        return self.evaluation.called

    @property
    def kind(self) -> EvaluationKind:
        """The evaluation kind of its answers."""
        return kind_of(self.evaluation.task)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Right objects or pictures at the run's threshold, (objects,)."""
        return self.kind.find_right(self.evaluation)


@dataclass(frozen=True, eq=False)
class Decision:
    """Which model to take, within what a person tolerates, on the same labelled pictures.

    The intervals of the gaps between all pairs of its models hold at once, at 95 %: each is widened by Bonferroni's
    correction for their number. So a pair may be chosen after the results are known.
    """

    rows: tuple[ModelScore, ...]
    reference: ModelScore
    """The model that is to be replaced; without a candidate the best one."""
    candidate: ModelScore | None
    """The model in its place; None: the smallest that is good enough, if there is one."""
    tolerance: float
    """Share of AP or accuracy that may be lost, 0..1."""
    left_out: str = ""
    """What was not counted, as a sentence."""

    @property
    def stopped(self) -> bool:
        """Whether a run was stopped: nothing is decided, because its first pictures are no random sample."""
        return any(row.evaluation.stopped for row in self.rows)

    def choose(self, candidate: str = "", against: str = "", tolerance: float = TOLERANCE) -> "Decision":
        """Return the decision on other models or for another gap (`decide`)."""
        return replace(decide(self.rows, candidate, against, tolerance), left_out=self.left_out)

    @property
    def pairs(self) -> int:
        """Pairs of models, whose intervals hold at once."""
        return math.comb(len(self.rows), 2)

    @cached_property
    def _quantile(self) -> float:
        return quantile(self._pictures, self.pairs)

    def gap(self, first: ModelScore, second: ModelScore) -> Estimate:
        """Return the advantage of `second` over `first` in AP or accuracy."""
        value = second.score.value - first.score.value
        return self._bound(value, second.metrics.drawn - first.metrics.drawn)

    def _bound(self, gap: float, samples: NDArray[np.float64]) -> Estimate:
        """Return a gap with an interval that holds for all pairs at once.

        It has none where a run was stopped, or where too few pictures can show a difference. `samples`: (draws,), the
        gap on redrawn pictures.
        """
        pictures = self._pictures
        if not self._has_intervals or np.isnan(samples).all():
            return Estimate(gap, math.nan, math.nan, pictures)
        # Few pictures show few of the differences, so one more in each direction is counted, after Bonett and Price
        # (2012, doi:10.3102/1076998611411915).
        counted = pictures + 2
        middle = gap * pictures / counted
        half = self._quantile * math.hypot(standard_error(samples, pictures) * pictures, math.sqrt(2)) / counted
        low, high = max(middle - half, -1.0), min(middle + half, 1.0)
        return Estimate(gap, min(low, gap), max(high, gap), pictures)

    @cached_property
    def _pictures(self) -> int:
        """Pictures with a label that counts: on others a detector can only be wrong."""
        pictures, all_count = self.reference.evaluation.pictures, not self.reference.kind.counts_objects
        return sum(all_count or any(truth.counted for truth in picture.truths) for picture in pictures)

    @property
    def _least(self) -> float:
        """Fewest pictures that can show a difference beyond chance: by a sign test where all of them differ."""
        return 1 + math.log2(self.pairs / (1 - LEVEL))

    @property
    def _has_intervals(self) -> bool:
        return not self.stopped and self._pictures >= self._least

    @property
    def gaps(self) -> dict[str, Estimate]:
        """How much lower the score of each other model is than the reference's."""
        return {row.model: self.gap(row, self.reference) for row in self.rows if row is not self.reference}

    def judge(self, row: ModelScore) -> Verdict:
        """Judge a model in the reference's place: `ship` only for an interval within the tolerance."""
        if (gap := self.gap(row, self.reference)).high <= self.tolerance:
            return "ship"
        return "do not ship" if gap.low > self.tolerance else "cannot be told"

    @property
    def _sized(self) -> bool:
        return all(row.size for row in self.rows)

    def _find_worst_gap(self, row: ModelScore) -> tuple[float, ModelScore]:
        """Return by how much its score may be lower than that of another model, at most, and that model."""
        return max(((self.gap(row, other).high, other) for other in self.rows if other is not row), key=itemgetter(0))

    @cached_property
    def first(self) -> ModelScore | None:
        """The candidate, else the smallest model that is good enough; None where that is too close to call."""
        if self.candidate is not None:
            return self.candidate
        undecided = False
        for row in sorted(self.rows, key=lambda row: (row.size or 0) if self._sized else row is self.reference):
            # As long as a smaller one may do, the best one is not the answer.
            if row is self.reference and undecided:
                return None
            if self._find_worst_gap(row)[0] <= self.tolerance:
                return row
            undecided |= row is not self.reference and self.judge(row) == "cannot be told"
        return None

    @property
    def verdict(self) -> Verdict:
        """On the candidate; without one `ship` where a model can be taken."""
        if self.candidate is not None:
            return self.judge(self.candidate)
        return "cannot be told" if self.first is None else "ship"

    @property
    def more_pictures(self) -> int | None:
        """Pictures needed to settle a candidate's gap; None if settled or too many.

        The standard error is taken to fall with the square root of the number of pictures.
        """
        if self.candidate is None or not self._has_intervals or self.verdict != "cannot be told":
            return None
        count, z = self._pictures, self._quantile
        distance = abs(self.tolerance - self.gap(self.candidate, self.reference).value) or math.nan
        error = float(np.nanstd(self.reference.metrics.drawn - self.candidate.metrics.drawn))
        spread = count * (z * error / distance) ** 2 / 2
        needed = max(spread + math.hypot(spread, z * math.sqrt(2) / distance), self._least)
        return max(1, math.ceil(needed - count)) if needed <= MAX_GROWTH * count else None

    @cached_property
    def changes(self) -> tuple[ClassChange, ...]:
        """Each labelled class by the taken model and the reference, the largest loss first."""
        if self.first is None or self.first is self.reference:
            return ()
        first, second = self.first.model, self.reference.model
        objects: dict[str, list[Json]] = {}
        for row in list_objects((self.first, self.reference)):
            objects.setdefault(str(row["label"]), []).append(row)
        changes = []
        for label, rows in objects.items():
            # Objects of one picture are not independent: each picture counts once.
            leads: Counter[str] = Counter()
            for row in rows:
                leads[row["picture"]] += row[first] - row[second]
            certain = sign_test(leads.values()) * len(objects) * self.pairs < 1 - LEVEL
            right, before = (sum(row[model] for row in rows) for model in (first, second))
            changes.append(ClassChange(label, len(rows), right, before, certain))
        return tuple(sorted(changes, key=lambda change: (change.right - change.before, change.label)))

    @property
    def losses(self) -> tuple[ClassChange, ...]:
        """The classes of which the taken model has fewer right, the largest loss first."""
        return tuple(change for change in self.changes if change.right < change.before)

    @property
    def gains(self) -> tuple[ClassChange, ...]:
        """The classes of which it has more right, the largest gain first."""
        return tuple(change for change in self.changes[::-1] if change.right > change.before)

    @cached_property
    def compared(self) -> ModelScore:
        """The taken model, if it is not the reference; else the smallest of the others that is not ruled out."""
        if self.first is not None and self.first is not self.reference:
            return self.first
        others = [row for row in self.rows if row is not self.reference]
        return min([row for row in others if self.judge(row) != "do not ship"] or others, key=lambda row: row.size or 0)

    @cached_property
    def exchanged(self) -> tuple[list[Json], list[Json]]:
        """What `compared` has right and the reference wrong, and the other way round, as rows of `list_objects`."""
        first, second = self.compared.model, self.reference.model
        differing = [row for row in list_objects((self.compared, self.reference)) if row[first] != row[second]]
        return [row for row in differing if row[first]], [row for row in differing if row[second]]

    @property
    def exchange(self) -> str:
        """`b is right on 14 that a has wrong, and wrong on 20 that it has right: -6 in all (-15 to 3; 95 %).`"""
        gained, lost = self.exchanged
        if not (gained or lost):
            return ""
        first, second, pictures = self.compared.model, self.reference.model, self.reference.evaluation.pictures
        net = Counter(row["picture"] for row in gained)
        net.subtract(row["picture"] for row in lost)
        # Objects of one picture are not independent: whole pictures are redrawn.
        drawn, objects = redraw(len(pictures)) @ [net[picture.key] for picture in pictures], len(self.compared.right)
        gap = self._bound(net.total() / objects, drawn / objects)
        value = signed(objects * gap.value, ".0f")
        interval = ""
        if gap.has_interval:
            # To whole objects, outwards.
            low, high = math.floor(objects * gap.low), math.ceil(objects * gap.high)
            interval = f"{signed(low, '.0f')} to {signed(high, '.0f')}; "
        alone = f"{first} is right on {len(gained):,} that {second} has wrong"
        return f"{alone}, and wrong on {len(lost):,} that it has right: {value} in all ({interval}{self._level})."

    @property
    def limits(self) -> tuple[str, ...]:
        """What was judged, how its intervals hold, and what was not counted, a sentence each."""
        counts = Counter(row["label"] for row in list_objects((self.reference,)))
        judged = f"{plural(len(self.reference.evaluation.pictures), 'labelled picture')}."
        least = f"{plural(len(counts), 'class')}, each {plural(min(counts.values()), 'time')} or more."
        counted = self.left_out or "No label was left out."
        level = f"Intervals: {self._level}." if self._has_intervals else f"{capital(self._level)}."
        return tuple(filter(None, (judged, least, level, *self._cautions, counted)))

    @property
    def _level(self) -> str:
        if self.stopped:
            return "so far"
        if not self._has_intervals:
            return "too few pictures for an interval"
        return f"95{NBSP}%{'' if self.pairs == 1 else f' for all {self.pairs} pairs at once'}"

    @property
    def _cautions(self) -> tuple[str, str]:
        more = self.more_pictures
        return (
            f"About {plural(round(more, 2 - len(str(more))), 'more picture')} would decide." if more else "",
            "The pictures so far are no random sample: the others may differ." if self.stopped else "",
        )

    @property
    def _refusal(self) -> str:
        """Why nothing is decided, where gaps have no intervals."""
        if self.stopped:
            return "Not decided: a run was stopped"
        return f"Cannot be told from {plural(self._pictures, 'picture')}"

    @property
    def headline(self) -> str:
        """`demo-s instead of demo-l: loses too much`, or `Take demo-s: the smallest; at most 2 points worse than …`."""
        if not self._has_intervals:
            return self._refusal
        if self.candidate is not None:
            return f"{self.candidate.model} instead of {self.reference.model}: {VERDICTS[self.verdict]}"
        if self.first is None:
            remaining = [row.model for row in self.rows if self.judge(row) != "do not ship"]
            if len(remaining) < len(self.rows):
                return f"{' or '.join(remaining)}: too close to call (95{NBSP}%)"
            return f"Too close to call within {_points(self.tolerance)} (95{NBSP}%)"
        if all(self.gap(row, self.first).low > self.tolerance for row in self.rows if row is not self.first):
            return f"Take {self.first.model}; the others lose too much (95{NBSP}%)"
        about = "the smallest that is certainly good enough" if self._sized else VERDICTS[self.verdict]
        if self._sized and self.first.size == min(row.size or 0 for row in self.rows):
            about = "the smallest"
        most, other = self._find_worst_gap(self.first)
        # Rounded up, as a bound.
        bound = f"at most {_points(math.ceil(1000 * most - 1e-9) / 1000)} worse" if most > 0 else "no worse"
        return f"Take {self.first.model}: {about}; {bound} than {other.model} (95{NBSP}%)"

    @property
    def comparison(self) -> str:
        """`AP 61.2 against 70.1: 8.9 points less (5.0 to 12.0; 95 %).`, or each model's gap to the best one."""
        best, level = self.reference, self._level
        if self.candidate is not None:
            text, other = self.candidate.text.removesuffix(f"{NBSP}% right"), best.text.removeprefix("AP ")
            return f"{text} against {other}: {_describe_gap(self.gap(self.candidate, best), level)}."
        texts = {row.model: f"{row.model} {row.text}" for row in (best, *self.rows)}
        gaps = (f"{texts[model]}: {_describe_gap(gap)}" for model, gap in self.gaps.items())
        return f"{'; '.join([texts[best.model], *gaps])} ({level})."

    @property
    def class_changes(self) -> str:
        """What the taken model loses and gains, and how much of it is certain."""
        if self.first is None or not (self.losses or self.gains):
            return ""
        fewer, more = (
            f"{len(some)} (most: {some[0].label}, {some[0].right:,} of {some[0].objects:,} against {some[0].before:,})"
            if some
            else "none"
            for some in (self.losses, self.gains)
        )
        classes = plural(len(self.changes), "class")
        counted = f"Of {classes} {self.first.model} has fewer right in {fewer} and more right in {more}."
        if self.stopped:
            return counted
        certain = [change.label for change in self.changes if change.certain]
        beyond = f"Beyond chance: {listing(certain, NAMED)}" if certain else "No single class differs beyond chance"
        comparisons = plural(len(self.changes) * self.pairs, "comparison")
        return f"{counted} {beyond} (sign tests, corrected for {comparisons})."

    @property
    def words(self) -> str:
        """The scores with their intervals, losses and gains, and what was not counted."""
        return " ".join(filter(None, (self.comparison, f"Allowed gap: {_points(self.tolerance)}.", self.remarks)))

    @property
    def remarks(self) -> str:
        """Losses and gains, and what was not counted: what a chart of the scores does not show."""
        exchange = self.exchange if self.candidate is not None else ""
        return " ".join(filter(None, (exchange, *self._cautions, self.class_changes, self.left_out)))

    def summarise(self) -> Json:
        """Return its numbers and sentences, for JSON."""
        names = "tolerance", "pairs", "gaps", "losses", "gains", "left_out", "stopped"
        return {
            "headline": plain_text(self.headline),
            "kind": self.verdict,
            "words": plain_text(self.words),
            "candidate": self.first.model if self.first else None,
            "against": self.reference.model,
            "scores": {row.model: row.score.value for row in self.rows},
            "sizes": {row.model: row.size for row in self.rows},
            **{name: getattr(self, name) for name in names},
        }


def _points(share: float) -> str:
    value = f"{100 * share:.1f}".removesuffix(".0")
    return f"{value} {'point' if value == '1' else 'points'}"


def _describe_gap(gap: Estimate, level: str = "") -> str:
    """Return `8.9 points less (5.0 to 12.0; 95 %)`."""
    less = gap.value >= 0
    shown = gap if less else gap.turned
    points = f"{abs(100 * gap.value):.1f}"
    amount = "as many points" if points == "0.0" else f"{points} points {'less' if less else 'more'}"
    about = "; ".join(filter(None, (shown.range if gap.has_interval else "", level)))
    return f"{amount}{f' ({about})' if about else ''}"


def list_objects(rows: Sequence[ModelScore]) -> list[Json]:
    """Return a row per labelled object or picture, right or wrong by each model."""
    labels: list[tuple[Any, ...]] = []
    for picture in rows[-1].evaluation.pictures:
        if rows[-1].kind.counts_objects:
            labels += [(picture.key, truth.label, *truth.box) for truth in picture.truths if truth.counted]
        else:
            labels.append((picture.key, picture.truth or "", None, None, None, None))
    names = "picture", "label", "x0", "y0", "x1", "y1", *(row.model for row in rows)
    judged = zip(labels, *(row.right.tolist() for row in rows), strict=True)
    return [dict(zip(names, (*label, *right), strict=True)) for label, *right in judged]


def decide(
    rows: Sequence[ModelScore], candidate: str = "", against: str = "", tolerance: float = TOLERANCE
) -> Decision:
    """Return the decision between models on the same labels.

    `candidate`: the model that is to replace another one; empty: the first other one of two, or beside `against`, else
    the smallest that is good enough. `against`: the model that it is to replace; empty: the best of the others. Raises
    Problem for more than `MAX_MODELS` models, two of one name, other labels or none that count, detectors beside
    classifiers, or no such model.
    """
    by_name = {row.model: row for row in rows}
    _check_names(rows, candidate, against)
    _check_comparable(rows)
    if against:
        best = by_name[against]
    else:
        best = max((row for row in rows if row.model != candidate), key=lambda row: row.score.value)
    chosen = by_name.get(candidate)
    if chosen is None and (against or len(rows) == 2):
        chosen = next(row for row in rows if row is not best)
    return Decision(tuple(rows), best, chosen, tolerance)


def _check_names(rows: Sequence[ModelScore], candidate: str, against: str) -> None:
    """Raise Problem for a wrong number of models, and for wrong names."""
    names = list(dict.fromkeys(row.model for row in rows))
    if len(names) < len(rows):
        raise Problem("Two of these have the same name: a decision tells models apart by their names.")
    if not 2 <= len(rows) <= MAX_MODELS:
        raise Problem(f"A decision is between 2 and {MAX_MODELS} models: choose as many runs.")
    for name in filter(None, (candidate, against)):
        if name not in names:
            raise Problem(f"{name} is none of the models of this decision: {listing(names)}.")
    if candidate and candidate == against:
        raise Problem(f"{candidate} cannot take its own place: name two models.")


def _check_comparable(rows: Sequence[ModelScore]) -> None:
    """Raise Problem for models of several kinds, and for other labels or none."""
    if len({row.evaluation.task for row in rows}) > 1:
        raise Problem("Detectors and classifiers cannot be compared with each other: choose models of one kind.")
    first = rows[0].evaluation.pictures
    for row in rows[1:]:
        for picture, other in zip(first, row.evaluation.pictures, strict=True):
            same = [truth.box for truth in picture.truths] == [truth.box for truth in other.truths]
            if picture.key != other.key or not same:
                raise Problem(f"{row.model} was judged by other labels of {picture.key}: run both on the same ones.")
    for row in rows:
        if math.isnan(row.score.value):
            raise Problem(f"No {row.kind.unit} counts for {row.model}: a decision takes labels of its classes.")


def score(evaluation: Evaluation) -> ModelScore:
    """Return the score of an evaluated model. Raises Problem for a segmentation."""
    if (kind := kind_of(evaluation.task)).counts_pixels:
        raise Problem("A decision is between detectors or between classifiers: choose runs of these.")
    return ModelScore(evaluation, kind.measure(evaluation), find_size(evaluation.model))


def find_size(model: str) -> int | None:
    """Return the bytes of a model's weights; None where they are not here."""
    spec = catalog.catalog().get(model)
    file = weights.find(spec) if spec is not None else None
    return file.stat().st_size if file is not None and file.is_file() else None


def score_runs(
    folders: Sequence[Path], load: Callable[[Path], Evaluation] = stored.load
) -> tuple[list[ModelScore], list[str]]:
    """Return the rows of stored runs on their common pictures.

    The sentences are on pictures that are left out. Runs of the same model are called after their folders. `load`
    reads the evaluation of each. Raises Problem for a run without an evaluation, and runs without a common picture.
    """
    evaluations = {folder: load(folder) for folder in folders}
    times = Counter(evaluation.called for evaluation in evaluations.values())
    common, left = keep_common(
        [replace(each, name=each.called if times[each.called] == 1 else at.name) for at, each in evaluations.items()]
    )
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
        truths = tuple(replace(truth, label="") if truth.box in classless else truth for truth in picture.truths)
        return picture if truths == picture.truths else replace(picture, truths=truths)

    pictures = (tuple(keep(keyed[key]) for key in common) for keyed in by_key)
    left_out = len(set.union(*map(set, by_key))) - len(common)
    return [replace(each, pictures=some) for each, some in zip(evaluations, pictures, strict=True)], left_out
