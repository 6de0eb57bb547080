"""Measure how often 95 % intervals hold the true number, by drawing sets of pictures whose true number is known."""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.processes import ROOT
from benchmarks.report import Row, grid, machine, page
from benchmarks.timing import SEED
from sightglass.evaluation import decision, intervals, masks
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.evaluation.stored import EvaluatedPicture, Evaluation
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from numpy.random import Generator
    from numpy.typing import NDArray

    from sightglass.evaluation.intervals import Estimate

    Pictures = tuple[EvaluatedPicture, ...]
    Drawn = Iterator[tuple[str, float, Estimate]]
    """The name of an estimate, the true number, and the estimate by a drawn set."""

SIZES = (2, 3, 5, 7, 10, 20, 40, 100)
"""Pictures of a drawn set."""
SETS = 600
"""Sets of each size."""
ANSWERS = ROOT / "benchmarks/coverage.npz"
"""Labels of 300 drawn scenes and the boxes of two detectors on them."""
DETECTORS = ("demo-s", "demo-l")
SHARES = (0.5, 0.7, 0.9, 0.97, 0.995)
"""True shares of right answers."""
EXCHANGES = ((0.05, 0.05), (0.2, 0.1), (0.3, 0.05), (0.02, 0.3), (0.5, 0.3), (0.9, 0.05))
"""True shares that one model alone, and the other alone, has right."""
GOOD_CLASSIFIERS = ((2, 0.9), (2, 0.99), (4, 0.9), (4, 0.97))
"""Classes, and the share of each that is right."""
GOOD_DETECTORS = ((0.9, 0.0), (0.95, 0.0), (1.0, 0.05), (1.0, 0.1))
"""Shares of objects that detectors without wrong boxes find, and of pictures on which they find none."""
FAILING = (0.0, 0.05, 0.1)
"""Shares of pictures on which every pixel is wrong."""


@dataclass
class Coverage:
    """How the intervals of one estimate, on sets of one size, held the true number."""

    held: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def add(self, truth: float, estimate: Estimate) -> None:
        """Count an estimate, where it has an interval."""
        if estimate.has_interval:
            self.held.append(estimate.low <= truth <= estimate.high)
            self.widths.append(estimate.high - estimate.low)

    @property
    def figures(self) -> Row:
        """The share that held and the median width; empty without an interval."""
        if not self.held:
            return {}
        return {"sets": len(self.held), "holds": float(np.mean(self.held)), "width": float(np.median(self.widths))}


def run(options: argparse.Namespace) -> Row:
    """Draw all sets."""
    found = measure(SIZES, SETS, DRAWS)
    names = list(dict.fromkeys(name for name, _ in found))
    rows = [{"estimate": name, **{str(size): found[name, size].figures for size in SIZES}} for name in names]
    return {"machine": machine(1, "cpu", ("numpy", "scipy", "pycocotools")), "complete": True, "rows": rows}


def markdown(result: Row) -> str:
    rows = [(row["estimate"], *(describe(row[str(size)]) for size in SIZES)) for row in result["rows"]]
    return page("Intervals that hold", "coverage", result["machine"], HOW, grid(("estimate", *map(str, SIZES)), rows))


def describe(figures: Row) -> str:
    """Return `97.3 (0.41)`."""
    return f"{100 * figures['holds']:.1f} ({figures['width']:.2f})" if figures else "none"


HOW = """\
Sets of pictures are drawn, with repeats, from a collection whose number is known, and evaluated as a run is. By the \
number of pictures: the share of the 95 % intervals, in percent, that hold the collection's number, and in brackets \
the median width (of numbers: in their unit). None: no interval is printed. AP and its gap: 300 drawn scenes, `demo-s` \
and `demo-l`; the pictures of a class are those with an object of it, and stand under the largest number that they \
reach. Found: detectors without wrong boxes that find this share of all objects, or none of the objects of pictures \
that fail. Gaps in accuracy: the shares that one model alone, and the other alone, has right. Balanced accuracy and \
calibration: simulated classifiers of six classes, one of them too sure, and good ones of two and four classes. IoU: \
400 pictures of simulated areas of four classes; of those that fail every pixel is wrong. Errors of numbers: half \
normal, exponential, log-normal, and half normal with 5 % outliers of eight times the size."""


def measure(sizes: Iterable[int], sets: int, kinds: Iterable[str]) -> dict[tuple[str, int], Coverage]:
    """Return how often intervals hold, by the name of the estimate and the pictures of a set.

    `kinds`: some of `DRAWS`.
    """
    found: dict[tuple[str, int], Coverage] = defaultdict(Coverage)
    for kind, size in product(kinds, sizes):
        print(f"{kind}: {size} pictures", file=sys.stderr, flush=True)
        rng = np.random.default_rng((SEED, size))
        for name, truth, estimate in DRAWS[kind](size, sets, rng):
            rests_on = max((each for each in SIZES if each <= estimate.pictures), default=0)
            if rests_on:
                found[name, rests_on].add(truth, estimate)
    return found


def draw_pictures(collection: Evaluation, size: int, rng: Generator) -> Evaluation:
    """Return as many pictures of a collection, with repeats."""
    chosen = rng.integers(0, len(collection.pictures), size)
    return replace(collection, pictures=tuple(collection.pictures[place] for place in chosen))


# ---- classes of pictures


def draw_shares(size: int, sets: int, rng: Generator) -> Drawn:
    for share in SHARES:
        for right in rng.binomial(size, share, sets):
            yield f"accuracy of {100 * share:g} %", share, intervals.estimate_share(int(right), size)


def draw_exchanges(size: int, sets: int, rng: Generator) -> Drawn:
    for first, second in EXCHANGES:
        # Right by the first alone, by the second alone, or by both.
        for who in rng.choice(3, (sets, size), p=[first, second, 1 - first - second]):
            evaluations = (classified(name, who != other) for name, other in (("first", 1), ("second", 0)))
            rows = [decision.score(evaluation) for evaluation in evaluations]
            name = f"gap in accuracy, {100 * first:g} and {100 * second:g} %"
            yield name, first - second, decision.decide(rows).gap(rows[1], rows[0])


def draw_answers(size: int, sets: int, rng: Generator) -> Drawn:
    for name, sureness in (("fair", 1.0), ("too sure", 0.6)):
        collection = simulate_answers(np.random.default_rng(SEED), 1000, sureness)
        truth = kind_of("classify").measure(collection)
        for _ in range(sets):
            drawn = draw_pictures(collection, size, rng)
            metrics = kind_of("classify").measure(drawn)
            for measured, words in (("balanced_accuracy", "balanced accuracy"), ("calibration_error", "calibration")):
                yield f"{words}, {name}", truth.scores[measured].value, metrics.scores[measured]


def draw_good_answers(size: int, sets: int, rng: Generator) -> Drawn:
    for classes, right in GOOD_CLASSIFIERS:
        collection = simulate_good_answers(np.random.default_rng(SEED), 1000, classes, right)
        truth = kind_of("classify").measure(collection).scores["balanced_accuracy"].value
        for _ in range(sets):
            drawn = draw_pictures(collection, size, rng)
            name = f"balanced accuracy, {classes} classes, {100 * right:g} %"
            yield name, truth, kind_of("classify").measure(drawn).scores["balanced_accuracy"]


def simulate_good_answers(rng: Generator, count: int, classes: int, right: float) -> Evaluation:
    """Return a classifier that has the share `right` of each of as many classes of one size."""
    names = tuple("abcd"[:classes])
    pictures = []
    for place, good in enumerate(rng.random(count) < right):
        label = place % classes
        answer = label if good else (label + 1) % classes
        answers = (Prediction(names[answer], answer, 0.9),)
        pictures.append(EvaluatedPicture(str(place), (8, 8), truth=names[label], predictions=answers))
    return Evaluation("good", "good", "classify", names, 0.0, pictures=tuple(pictures))


def simulate_answers(rng: Generator, count: int, sureness: float) -> Evaluation:
    """Return a classifier of six classes of different sizes; `sureness`: the power of its scores that are right."""
    names = tuple("abcdef")
    pictures = []
    for place, score in enumerate(rng.beta(3, 1, count)):
        label = int(rng.choice(6, p=(0.4, 0.2, 0.15, 0.1, 0.1, 0.05)))
        good = rng.random() < (0.95 - 0.1 * label) * score ** (1 / sureness)
        answer = label if good else (label + 1) % 6
        answers = (Prediction(names[answer], answer, float(score)),)
        pictures.append(EvaluatedPicture(str(place), (8, 8), truth=names[label], predictions=answers))
    return Evaluation("sim", "sim", "classify", names, 0.0, pictures=tuple(pictures))


def classified(name: str, right: NDArray[np.bool_]) -> Evaluation:
    answers = {good: (Prediction("yes" if good else "no", int(good), 0.9),) for good in (True, False)}
    pictures = tuple(
        EvaluatedPicture(str(place), (8, 8), truth="yes", predictions=answers[bool(good)])
        for place, good in enumerate(right)
    )
    return Evaluation(name, name, "classify", ("no", "yes"), 0.0, pictures=pictures)


# ---- boxes


def read_answers(detector: str) -> Pictures:
    """Return the labels of the drawn scenes and a detector's boxes."""
    with np.load(ANSWERS) as file:
        names, labels, answers = file["classes"].tolist(), file["labels"], file[detector]
    count = int(labels[:, 0].max()) + 1
    truths: list[list[TrueBox]] = [[] for _ in range(count)]
    predictions: list[list[Prediction]] = [[] for _ in range(count)]
    for picture, *box, index in labels.tolist():
        truths[int(picture)].append(TrueBox(names[int(index)], tuple(box)))
    for picture, *box, score, index in answers.tolist():
        predictions[int(picture)].append(Prediction(names[int(index)], int(index), score, tuple(box)))
    return tuple(
        EvaluatedPicture(f"{place:03}", (288, 288), truths=tuple(true), predictions=tuple(answered))
        for place, (true, answered) in enumerate(zip(truths, predictions, strict=True))
    )


def detected(name: str, pictures: Pictures) -> Evaluation:
    classes = tuple(dict.fromkeys(truth.label for picture in pictures for truth in picture.truths))
    return Evaluation(name, name, "detect", classes, 0.25, pictures=pictures)


def draw_boxes(size: int, sets: int, rng: Generator) -> Drawn:
    collections = [detected(name, read_answers(name)) for name in DETECTORS]
    truths = [kind_of("detect").measure(each) for each in collections]
    lead = truths[1].scores["ap"].value - truths[0].scores["ap"].value
    for _ in range(sets):
        chosen = rng.integers(0, len(collections[0].pictures), size)
        evaluations = [detected(each.name, tuple(each.pictures[place] for place in chosen)) for each in collections]
        rows = [decision.score(evaluation) for evaluation in evaluations]
        for row, truth in zip(rows, truths, strict=True):
            yield "AP", truth.scores["ap"].value, row.metrics.scores["ap"]
            for name, estimate in row.metrics.by_class.items():
                yield "AP of a class", truth.by_class[name].value, estimate
        yield "gap in AP", lead, decision.decide(rows).gap(rows[0], rows[1])


def draw_good_boxes(size: int, sets: int, rng: Generator) -> Drawn:
    for recall, failing in GOOD_DETECTORS:
        name = f"{100 * failing:g} % of pictures fail" if failing else f"{100 * recall:g} % found"
        collection = simulate_boxes(np.random.default_rng(SEED), 300, recall, failing)
        truth = kind_of("detect").measure(collection)
        for _ in range(sets):
            drawn = draw_pictures(collection, size, rng)
            metrics = kind_of("detect").measure(drawn)
            for measured in ("ap", "ar"):
                yield f"{measured.upper()}, {name}", truth.scores[measured].value, metrics.scores[measured]
            for label, estimate in metrics.by_class.items():
                yield f"AP of a class, {name}", truth.by_class[label].value, estimate


def simulate_boxes(rng: Generator, count: int, recall: float, failing: float) -> Evaluation:
    """Return a detector that finds the share `recall` of the objects, each with its own box, and nothing else.

    `failing`: the share of pictures on which it finds none.
    """
    names = tuple("abc")
    pictures = []
    for place in range(count):
        truths, found = list[TrueBox](), list[Prediction]()
        fails = rng.random() < failing
        for column in range(int(rng.integers(1, 5))):
            index = int(rng.integers(3))
            box = (60.0 * column, 0.0, 60.0 * column + 40, 40.0)
            truths.append(TrueBox(names[index], box))
            if not fails and rng.random() < recall:
                found.append(Prediction(names[index], index, float(rng.uniform(0.3, 1)), box))
        picture = EvaluatedPicture(f"{place:03}", (288, 288), truths=tuple(truths), predictions=tuple(found))
        pictures.append(picture)
    return Evaluation("good", "good", "detect", names, 0.25, pictures=tuple(pictures))


# ---- classes of pixels


def draw_areas(size: int, sets: int, rng: Generator) -> Drawn:
    for failing in FAILING:
        fails = f", {100 * failing:g} % of pictures fail" if failing else ""
        collection = simulate_areas(np.random.default_rng(SEED), 400, failing)
        truth = masks.measure(collection)
        for _ in range(sets):
            metrics = masks.measure([collection[place] for place in rng.integers(0, len(collection), size)])
            for name in metrics.scores:
                label = "mean IoU" if name == "mean_iou" else "pixel accuracy"
                yield f"{label}{fails}", truth.scores[name].value, metrics.scores[name]
            for name, estimate in metrics.by_class.items():
                yield f"IoU of a class{fails}", truth.by_class[name].value, estimate


def simulate_areas(rng: Generator, count: int, failing: float) -> list[list[masks.Pair]]:
    """Return pairs of classes of pictures that differ much in their areas and in how well they are met.

    `failing`: the share of pictures with every pixel wrong; where there are some, 2 % of the others are.
    """
    pictures = []
    for _ in range(count):
        pairs: dict[tuple[int, int], int] = defaultdict(int)
        fails = failing > 0 and rng.random() < failing
        for label in np.flatnonzero(rng.random(4) < (0.9, 0.6, 0.4, 0.2)):
            pixels = int(rng.lognormal(7, 1))
            if not failing:
                share = float(rng.beta(0.7, 4))
            elif fails:
                share = 1.0
            else:
                share = 0.02
            missed = int(pixels * share)
            pairs[int(label), int(label)] += pixels - missed
            wrong = (int(label) + int(rng.integers(1, 4))) % 4
            pairs[int(label), wrong] += missed
        pictures.append([(*pair, pixels) for pair, pixels in pairs.items() if pixels])
    return [pairs for pairs in pictures if pairs]


# ---- numbers

NUMBERS: tuple[tuple[Callable[[Generator, int], NDArray[np.float64]], float], ...] = (
    (lambda rng, size: np.abs(rng.normal(size=size)), 0.67449),
    (lambda rng, size: rng.exponential(size=size), math.log(2)),
    (lambda rng, size: rng.lognormal(0, 1, size), 1.0),
    (lambda rng, size: np.abs(rng.normal(size=size)) * np.where(rng.random(size) < 0.05, 8, 1), 0.71048),
)
"""Absolute errors of drawn pictures, and their true median."""


def draw_numbers(size: int, sets: int, rng: Generator) -> Drawn:
    for draw, median in NUMBERS:
        for _ in range(sets):
            yield "median error", median, intervals.estimate_median(draw(rng, size))


DRAWS: dict[str, Callable[[int, int, Generator], Drawn]] = {
    "accuracy": draw_shares,
    "gap in accuracy": draw_exchanges,
    "answers": draw_answers,
    "good answers": draw_good_answers,
    "median error": draw_numbers,
    "areas": draw_areas,
    "boxes": draw_boxes,
    "good boxes": draw_good_boxes,
}
"""By kind what draws sets of a size and yields their estimates."""
