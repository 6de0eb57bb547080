"""Accuracy, precision and recall of labelled pictures.

Everything here is a function of two lists of names, one a picture: its true class, and the model's answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.evaluation.intervals import estimate_share
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    import pandas as pd

    from sightglass.common.files import Json
    from sightglass.evaluation.intervals import Estimate

LISTED = 8
"""Classes that the command line prints."""
NOTHING = "nothing found"
HEAD = ("class", "pictures", "precision", "precision, 95 %", "recall", "recall, 95 %")


@dataclass(frozen=True)
class Share:
    """A part of some pictures, with its 95 % interval."""

    count: int
    total: int

    @property
    def estimate(self) -> Estimate:
        return estimate_share(self.count, self.total)

    @property
    def percent(self) -> str:
        """`71 %`; `–` of no pictures."""
        return self.estimate.percent

    @property
    def range(self) -> str:
        """`64 to 77 %`; `–` of no pictures."""
        return self.estimate.percent_range

    def to_json(self) -> Json:
        """Return it as plain values; None of no pictures."""
        interval = self.estimate
        share = interval.value if self.total else None
        return {"right": self.count, "of": self.total, "share": share, "low": interval.low, "high": interval.high}


@dataclass(frozen=True)
class ClassScores:
    """How well one class is told from the others."""

    name: str
    precision: Share
    """Of the pictures with this answer, those that are of the class."""
    recall: Share
    """Of the pictures of the class, those with this answer."""


@dataclass(frozen=True)
class Accuracy:
    """How often the answers are right, over all pictures and class by class."""

    right: Share
    classes: tuple[ClassScores, ...]
    """Those that have pictures, the lowest recall first."""

    @property
    def words(self) -> str:
        """`Right: 29 % of 190 labelled pictures (95 % interval: 23 to 36 %)`."""
        of = plural(self.right.total, "labelled picture")
        return f"Right: {self.right.percent} of {of} (95 % interval: {self.right.range})"


def name_answers(
    labels: Sequence[str | None], answers: Sequence[str | None], meant: Mapping[str, Collection[str]]
) -> list[tuple[str, str] | None]:
    """Return each picture's (class, answer), equal where right; None where not counted.

    `meant`: the classes that each label counts as, none for one that is not counted. A label of one class is named by
    that class, one of several `bus (2 classes)`; a wrong answer by the label that counts it, else by its class.
    """
    names = {
        label: next(iter(classes)) if len(classes) == 1 else f"{label} ({len(classes)} classes)"
        for label, classes in meant.items()
        if classes
    }
    # The label with the fewest classes comes last, and names them.
    order = sorted(names, key=lambda label: (-len(meant[label]), label))
    named = {class_: names[label] for label in order for class_ in meant[label]}
    pairs: list[tuple[str, str] | None] = []
    for label, answer in zip(labels, answers, strict=True):
        if label not in names:
            pairs.append(None)
        elif answer in meant[label]:
            pairs.append((names[label], names[label]))
        else:
            pairs.append((names[label], NOTHING if answer is None else named.get(answer, answer)))
    return pairs


def measure(truths: Sequence[str], answers: Sequence[str]) -> Accuracy:
    """Return how often the answers are the true classes.

    >>> measure(["bus", "bus", "van"], ["bus", "van", "van"]).right.count
    2
    """
    right = Counter(truth for truth, answer in zip(truths, answers, strict=True) if truth == answer)
    of, predicted = Counter(truths), Counter(answers)
    classes = [ClassScores(name, Share(right[name], predicted[name]), Share(right[name], of[name])) for name in of]
    classes.sort(key=lambda scores: (scores.recall.count / scores.recall.total, scores.name))
    return Accuracy(Share(right.total(), len(truths)), tuple(classes))


def of_frame(frame: pd.DataFrame) -> Accuracy | None:
    """Return the accuracy of a run's table; None without labels."""
    counted = frame[frame["truth"].notna()]
    return measure(list(counted["truth"]), list(counted["answer"])) if len(counted) else None


def rows(found: Accuracy, most: int | None = None) -> list[tuple[str, ...]]:
    """Return the classes as rows under `HEAD`."""
    return [
        (
            class_.name,
            f"{class_.recall.total:,}",
            *(class_.precision.percent, class_.precision.range),
            *(class_.recall.percent, class_.recall.range),
        )
        for class_ in found.classes[:most]
    ]


def summarise(frame: pd.DataFrame) -> Json:
    """Return all accuracy numbers of a run as JSON."""
    if (scores := of_frame(frame)) is None:
        return {}

    counted = frame[frame["truth"].notna()]
    wrong = Counter(zip(counted["truth"], counted["answer"], strict=True))
    return {
        "accuracy": scores.right.to_json(),
        "classes": {
            class_.name: {"precision": class_.precision.to_json(), "recall": class_.recall.to_json()}
            for class_ in scores.classes
        },
        "confusions": [
            {"class": truth, "answer": answer, "pictures": count}
            for (truth, answer), count in wrong.most_common()
            if truth != answer
        ],
    }
