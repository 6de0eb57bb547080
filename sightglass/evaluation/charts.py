"""Charts of labelled pictures as data: their numbers, and the pictures that each of their marks stands for.

`sightglass.evaluation.figures` draws them. A mark is named by texts, which an address may hold.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sightglass.evaluation import boxes
from sightglass.evaluation.classes import BINS, find_bin
from sightglass.evaluation.errors import ErrorReport, EvaluationSummary
from sightglass.evaluation.intervals import LEAST_PICTURES, Estimate, Metrics, average_classes, estimate_share
from sightglass.evaluation.kinds import kind_of
from sightglass.explain.phrases import capital, percent, plural
from sightglass.explain.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sightglass.evaluation.boxes import Floats, PrecisionCurve
    from sightglass.evaluation.kinds import ErrorUnit
    from sightglass.evaluation.stored import EvaluatedPicture, Evaluation

Mark = tuple[str, ...]
"""Names a bar, cell or point of a chart."""
MAX_CONFUSED = 12
"""Most classes of a confusion matrix."""
MAX_CLASSES = 20
"""Most classes in a chart of their scores."""
MAX_CURVES = 5
"""Most classes with a curve of their own."""
RIGHT, WRONG = "right", "wrong"


@dataclass(frozen=True)
class Selection:
    """The pictures, and the errors in them, that something chosen stands for."""

    words: str
    """What they have in common: `star taken for gear`."""
    pictures: frozenset[str]
    """Their keys."""
    units: frozenset[str] = frozenset()
    """The ids of `ErrorUnit`s, for lists of errors instead of pictures."""

    @staticmethod
    def of_units(words: str, units: Iterable[ErrorUnit]) -> Selection:
        """Return the selection of units and their pictures."""
        chosen = list(units)
        pictures = frozenset(unit.picture.key for unit in chosen)
        return Selection(words, pictures, frozenset(unit.id for unit in chosen))

    def holds(self, picture: str, unit: str = "") -> bool:
        """Return whether a picture is chosen, or the error `unit` in it."""
        return unit in self.units if unit else picture in self.pictures


class Chart(ABC):
    """A chart whose marks stand for pictures."""

    name: ClassVar[str]
    """In an address."""
    title: ClassVar[str]

    @property
    @abstractmethod
    def note(self) -> str:
        """What is drawn, and what is left out."""

    @abstractmethod
    def select(self, mark: Mark) -> Selection | None:
        """Return what a mark stands for; None of an unknown mark."""


# ---- scores of a classifier's answers


@dataclass(frozen=True)
class ScoreBin:
    """The answers of a classifier with a score in one range."""

    low: float
    high: float
    """Not in it, but for 1."""
    right: tuple[ErrorUnit, ...]
    wrong: tuple[ErrorUnit, ...]

    @property
    def units(self) -> tuple[ErrorUnit, ...]:
        return (*self.right, *self.wrong)

    @property
    def share(self) -> Estimate:
        """The share of them that is right."""
        return estimate_share(len(self.right), len(self.units))

    @property
    def confidence(self) -> float:
        """Their mean score; nan of none."""
        scores = [unit.score for unit in self.units if unit.score is not None]
        return float(np.mean(scores)) if scores else math.nan

    @property
    def words(self) -> str:
        """`90 to 100 %`."""
        return f"{100 * self.low:.0f} to {percent(self.high)}"


def bin_scores(units: Sequence[ErrorUnit]) -> tuple[ScoreBin, ...]:
    """Return all ranges of scores with their answers.

    A unit without an answer is in none.
    """
    members: list[dict[bool, list[ErrorUnit]]] = [{True: [], False: []} for _ in range(BINS)]
    for unit in units:
        if unit.score is not None:
            members[find_bin(unit.score)][unit.wrong].append(unit)
    return tuple(
        ScoreBin(place / BINS, (place + 1) / BINS, tuple(by_wrong[False]), tuple(by_wrong[True]))
        for place, by_wrong in enumerate(members)
    )


@dataclass(frozen=True, eq=False)
class ScoreHistogram(Chart):
    """How many right and how many wrong answers have a score in each range."""

    bins: tuple[ScoreBin, ...]
    name = "scores"
    title = "Scores"

    @property
    def note(self) -> str:
        return "Answers by their score: right ones beside wrong ones."

    def select(self, mark: Mark) -> Selection | None:
        kinds = {(kind, str(i)): (kind, i) for kind in (RIGHT, WRONG) for i in range(len(self.bins))}
        if mark not in kinds:
            return None
        kind, place = kinds[mark]
        chosen = self.bins[place]
        units = chosen.right if kind == RIGHT else chosen.wrong
        return Selection.of_units(f"{kind} answers with a score of {chosen.words}", units)


@dataclass(frozen=True, eq=False)
class Reliability(Chart):
    """The share of answers that is right, by how sure the model is."""

    bins: tuple[ScoreBin, ...]
    error: Estimate
    """The expected calibration error; without an interval where the pictures are no random sample."""
    intervals: bool = True
    """Whether the pictures are a random sample."""
    name = "reliability"
    title = "Reliability"

    @property
    def note(self) -> str:
        words = "The share of the answers that is right, by their score, and their number. On the line both are equal"
        off = "Off by so much on average (expected calibration error)"
        if not self.intervals:
            return f"{words}. {off}: {self.error.percent}."
        error = self.error.describe(self.error.percent, self.error.percent_range)
        return f"{words}; with 95 % intervals. {off}: {error}."

    @property
    def filled(self) -> list[tuple[int, ScoreBin]]:
        """The ranges with answers, by their places."""
        return [(place, each) for place, each in enumerate(self.bins) if each.units]

    def select(self, mark: Mark) -> Selection | None:
        bins: dict[Mark, ScoreBin] = {(str(place),): each for place, each in self.filled}
        chosen = bins.get(mark)
        if chosen is None:
            return None
        return Selection.of_units(f"answers with a score of {chosen.words}", chosen.units)


# ---- classes that are taken for each other


@dataclass(frozen=True, eq=False)
class Confusion(Chart):
    """What pictures of each class are taken for."""

    classes: tuple[str, ...]
    """By name: those with most wrong answers."""
    cells: Mapping[Mark, tuple[ErrorUnit, ...]]
    """The pictures of a labelled and an answered class, both among `classes`."""
    left_out: int = 0
    """Classes that are not shown."""
    wrong_left_out: int = 0
    """Wrong answers of these."""
    name = "confusion"
    title = "Confusion matrix"

    @property
    def note(self) -> str:
        words = "Pictures by their label (rows) and the answer (columns); right ones are on the diagonal."
        if not self.left_out:
            return words
        shown = f"The {len(self.classes)} classes with most wrong answers"
        return f"{words} {shown}; left out: {self.left_out:,} others, {plural(self.wrong_left_out, 'wrong answer')}."

    def count_row(self, label: str) -> int:
        """Return how many pictures of a label are shown."""
        return sum(len(units) for (of, _), units in self.cells.items() if of == label)

    def select(self, mark: Mark) -> Selection | None:
        units = self.cells.get(mark)
        if units is None:
            return None
        label, answer = mark
        words = f"{label}, right" if label == answer else f"{label} taken for {answer}"
        return Selection.of_units(words, units)


def confuse(units: Sequence[ErrorUnit], most: int = MAX_CONFUSED) -> Confusion:
    """Return the confusion matrix of a classifier's pictures, of at most `most` classes."""
    pairs: dict[Mark, list[ErrorUnit]] = {}
    mistaken = Counter[str]()
    for unit in units:
        if unit.label is None or unit.predicted is None:
            continue
        pairs.setdefault((unit.label, unit.predicted), []).append(unit)
        mistaken.update({unit.label: int(unit.wrong)})
        mistaken.update({unit.predicted: int(unit.wrong)})
    ranked = sorted(mistaken, key=lambda name: (-mistaken[name], name))
    shown = {*ranked[:most]}
    cells = {pair: tuple(members) for pair, members in pairs.items() if shown.issuperset(pair)}
    wrong = {pair: len(members) for pair, members in pairs.items() if len({*pair}) == 2}
    hidden = sum(count for pair, count in wrong.items() if pair not in cells)
    return Confusion(tuple(sorted(shown)), cells, len(ranked) - len(shown), hidden)


# ---- scores of classes


@dataclass(frozen=True)
class ClassScore:
    """The score of one class, and the pictures behind it."""

    name: str
    score: Estimate
    labelled: int
    """Pictures that its interval would redraw."""
    selection: Selection


@dataclass(frozen=True, eq=False)
class ClassScores(Chart):
    """The score of each class with its interval, the lowest first."""

    number: str
    """What is scored: `AP`."""
    scores: tuple[ClassScore, ...]
    left_out: int = 0
    """Classes with higher scores that are not shown."""
    unscored: int = 0
    """Classes without a number."""
    name = "classes"
    title = "Classes"

    @property
    def note(self) -> str:
        words = f"{capital(self.number)} of each class, in hundredths, and its number of pictures"
        with_interval = [each.score.has_interval for each in self.scores]
        sentences = [f"{words}, with 95 % intervals." if any(with_interval) else f"{words}."]
        if any(with_interval) and not all(with_interval):
            sentences.append(f"Of fewer than {LEAST_PICTURES} pictures there is none.")
        if self.left_out:
            sentences.append(f"The {len(self.scores)} lowest; left out: {self.left_out:,} with higher ones.")
        if self.unscored:
            sentences.append(f"Without a number: {plural(self.unscored, 'class')}.")
        return " ".join(sentences)

    def keep_lowest(self, most: int) -> ClassScores:
        """Return the chart of at most that many classes."""
        shown = self.scores[:most]
        return replace(self, scores=shown, left_out=self.left_out + len(self.scores) - len(shown))

    def select(self, mark: Mark) -> Selection | None:
        return next((each.selection for each in self.scores if (each.name,) == mark), None)


def _select_pictures(words: str, pictures: Iterable[EvaluatedPicture]) -> Selection:
    return Selection(words, frozenset(picture.key for picture in pictures))


def _select_labelled(evaluation: Evaluation, report: ErrorReport | None, name: str) -> tuple[int, Selection]:
    assert report is not None
    units = [unit for unit in report.units if unit.label == name]
    return len(units), Selection.of_units(f"labelled {name}", units)


def _has_object(picture: EvaluatedPicture, name: str) -> bool:
    return any(truth.counted and truth.label == name for truth in picture.truths)


def _has_box(picture: EvaluatedPicture, name: str, threshold: float) -> bool:
    return any(box.label == name and box.score >= threshold for box in picture.predictions)


def _select_objects(evaluation: Evaluation, report: ErrorReport | None, name: str) -> tuple[int, Selection]:
    """Select the pictures with a labelled object or a box of a class.

    Boxes count from the threshold on. Return how many pictures have such an object, too.
    """
    labelled = {picture.key for picture in evaluation.pictures if _has_object(picture, name)}
    answered = {picture.key for picture in evaluation.pictures if _has_box(picture, name, evaluation.threshold)}
    units = frozenset(unit.id for unit in (report.units if report else ()) if name in (unit.label, unit.predicted))
    return len(labelled), Selection(f"{name}, labelled or answered", frozenset(labelled | answered), units)


def _select_areas(evaluation: Evaluation, report: ErrorReport | None, name: str) -> tuple[int, Selection]:
    index = evaluation.classes.index(name)
    pictures = [
        picture
        for picture in evaluation.pictures
        if any(index in (truth, answer) for truth, answer, _ in picture.pairs)
    ]
    return len(pictures), _select_pictures(f"{name} in the mask or in the answer", pictures)


_SELECT_CLASS: dict[str, Callable[[Evaluation, ErrorReport | None, str], tuple[int, Selection]]] = {
    "classes": _select_labelled,
    "boxes": _select_objects,
    "areas": _select_areas,
}
"""Return the pictures of a class: how many its interval redraws, and which are behind its score."""


def rank_classes(
    evaluation: Evaluation,
    report: ErrorReport | None,
    by_class: Mapping[str, Estimate],
    most: int = MAX_CLASSES,
) -> ClassScores:
    """Return the scores of the classes with the lowest ones.

    `by_class`: as `EvaluationSummary` has them; `most`: how many are shown.
    """
    task = task_of(evaluation.task).evaluation
    scored = {name: score for name, score in by_class.items() if not math.isnan(score.value)}
    ranked = sorted(scored, key=lambda name: (scored[name].value, name))
    scores = [ClassScore(name, scored[name], *_SELECT_CLASS[task](evaluation, report, name)) for name in ranked[:most]]
    number = "share right" if task == "classes" else kind_of(evaluation.task).number
    return ClassScores(number, tuple(scores), len(ranked) - len(scores), len(by_class) - len(scored))


# ---- boxes


@dataclass(frozen=True, eq=False)
class PrecisionRecall(Chart):
    """The precision of a detector's boxes at each recall.

    Of single classes, and in the mean of all.
    """

    pictures: tuple[str, ...]
    """Their keys, which the curves number."""
    curves: Mapping[str, PrecisionCurve]
    """Of each class, the lowest AP first."""
    report: ErrorReport = field(repr=False)
    name = "precision"
    title = "Precision and recall"

    @property
    def shown(self) -> tuple[str, ...]:
        """The classes with a curve of their own."""
        return tuple([*self.curves][:MAX_CURVES])

    @property
    def mean(self) -> Floats:
        """(recalls,), the mean precision of all classes; its own mean is AP50."""
        return np.asarray(average_classes(np.array([curve.precision for curve in self.curves.values()])))

    @property
    def note(self) -> str:
        words = (
            "At an overlap (IoU) of a half; the precision is the highest at that recall or a higher one, "
            "so that the mean of each curve is its AP50."
        )
        if len(self.curves) <= MAX_CURVES:
            return words
        others = len(self.curves) - MAX_CURVES
        return f"{words} The {MAX_CURVES} classes with the lowest AP; {others:,} others are in the mean only."

    def select(self, mark: Mark) -> Selection | None:
        place = {(name, str(index)): (name, index) for name in ("", *self.shown) for index in range(len(boxes.RECALLS))}
        if mark not in place:
            return None
        name, recall = place[mark]
        classes = [name] if name else [*self.curves]
        pictures = self._find_pictures(classes, recall)
        words = f"boxes up to a recall of {percent(boxes.RECALLS[recall])}"
        words = f"{name} {words}" if name else f"{words} in each class"
        limits = {each: self.curves[each].scores[recall] for each in classes}
        return Selection(words, pictures, frozenset(unit.id for unit in self.report.units if _reaches(unit, limits)))

    def _find_pictures(self, classes: Sequence[str], recall: int) -> frozenset[str]:
        numbers = [number for name in classes for number in self.curves[name].find_pictures(recall)]
        return frozenset(self.pictures[number] for number in numbers)


def _reaches(unit: ErrorUnit, limits: Mapping[str, float]) -> bool:
    """Return whether an error's box is among those up to a recall.

    `limits`: of each class the score by which it reaches the recall; nan where it does not, and all of its boxes
    count. False without a box, and for other classes.
    """
    if unit.answer is None or unit.answer.label not in limits:
        return False
    limit = limits[unit.answer.label]
    return math.isnan(limit) or unit.answer.score >= limit


def draw_precision(evaluation: Evaluation, report: ErrorReport, by_class: Mapping[str, Estimate]) -> PrecisionRecall:
    """Return the precision at each recall; `by_class`: AP of each class."""
    pictures = evaluation.pictures
    curves = boxes.list_curves([picture.truths for picture in pictures], [picture.predictions for picture in pictures])
    ranked = sorted(curves, key=lambda name: (by_class[name].value, name))
    return PrecisionRecall(tuple(picture.key for picture in pictures), {name: curves[name] for name in ranked}, report)


# ---- numbers


@dataclass(frozen=True)
class NumberPoint:
    """A picture with its true number and the model's."""

    picture: str
    true: float
    predicted: float


@dataclass(frozen=True, eq=False)
class Numbers(Chart):
    """A model's numbers over the true ones."""

    points: tuple[NumberPoint, ...]
    unit: str
    name = "numbers"
    title = "Predicted and true"

    @property
    def note(self) -> str:
        return "A point for each labelled picture; on the line both numbers are equal."

    def select(self, mark: Mark) -> Selection | None:
        pictures = frozenset(point.picture for point in self.points if (point.picture,) == mark)
        return Selection("the point of the chart", pictures) if pictures else None


# ---- all of a run


def list_charts(
    evaluation: Evaluation,
    report: ErrorReport | None,
    fit: Metrics | EvaluationSummary,
) -> tuple[Chart, ...]:
    """Return the charts of an evaluation; of a stopped run without intervals.

    `report`: its errors, None of a segmentation. `fit`: how well its answers fit the labels.
    """
    classes = rank_classes(evaluation, report, fit.by_class)
    if report is None:
        return (classes,)
    if kind_of(evaluation.task).counts_objects:
        return draw_precision(evaluation, report, fit.by_class), classes
    bins = bin_scores(report.units)
    reliability = Reliability(bins, fit.scores["calibration_error"], not evaluation.stopped)
    return ScoreHistogram(bins), confuse(report.units), reliability, classes


def find_selection(charts: Sequence[Chart], name: str, mark: Mark) -> Selection | None:
    """Return what a mark of the chart of this name stands for.

    None without such a mark.
    """
    selections = (chart.select(mark) for chart in charts if chart.name == name)
    return next((selection for selection in selections if selection is not None), None)
