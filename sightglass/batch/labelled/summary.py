"""Sum up a run with labels: headline numbers, errors, reasons of misses."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sightglass.batch.accuracy import Share
from sightglass.common.files import write_file
from sightglass.evaluation import average_precision, error_types, misses, stored, tables
from sightglass.evaluation.average_precision import Estimate
from sightglass.evaluation.errors.threshold import measure_thresholds
from sightglass.explain.phrases import percent, plural
from sightglass.export.table import csv as write_csv

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.common.files import Json
    from sightglass.evaluation.evaluation import Evaluation

FILE = "evaluation.json"
CSV = "evaluation.csv"
"""Beside the table: one row a labelled object, a wrong box or a classified picture (`tables.MEANINGS`)."""
VERSION = 1
"""Of the file: what was summed up by another version is summed up anew."""
LISTED = 8
"""Classes that are printed."""
TOP = 5
NAMES: Mapping[str, str] = {"ap": "AP", "ap50": "AP50", "accuracy": "right", "top5": f"among the {TOP} best"}
NO_THRESHOLD = "No lower threshold brings back more objects than it adds false alarms."


@dataclass(frozen=True)
class ErrorCount:
    """How many errors of a type there are at the threshold, and what they cost."""

    count: int
    cost: float
    """By how much AP at an IoU of 0.5 would rise if all of the type were mended, 0..1."""


@dataclass(frozen=True)
class EvaluationSummary:
    """How well a run's answers fit its labels."""

    model: str
    task: str
    pictures: int
    """That have labels."""
    objects: int
    """Labelled ones that are no crowd; 0 of a classifier."""
    right: int
    """Objects with a right box at the threshold, or pictures with a right answer."""
    threshold: float
    scores: Mapping[str, Estimate]
    """Under `NAMES`: those of the task."""
    by_class: Mapping[str, Estimate] = field(repr=False)
    """AP, or the share that is right, of each class with labels."""
    by_size: Mapping[str, float] = field(repr=False)
    """AP of small, medium and large objects; nan of none."""
    errors: Mapping[str, ErrorCount]
    """By type (`error_types.MEANINGS`); none of a classifier."""
    missed: Mapping[str, int]
    """Objects without a right box by reason (`misses.MEANINGS`); none of a classifier."""
    consequence: str = ""
    """What a lower threshold would change; empty where nothing is missed."""
    unknown: tuple[str, ...] = ()
    """Labels for which the model has no class: their objects count as missed."""

    @property
    def headline(self) -> str:
        """`AP 61.2 (95 % interval: 55.0 to 66.1), AP50 81.0 (… to …) on 48 labelled objects in 12 pictures`."""
        pictures = plural(self.pictures, "labelled picture")
        if self.task == "detect":
            numbers = [f"{NAMES[name]} {_tell_points(one)}" for name, one in self.scores.items()]
            return f"{', '.join(numbers)} on {plural(self.objects, 'labelled object')} in {pictures}"
        right, top = (self.scores[name] for name in ("accuracy", "top5"))
        return f"Right: {_tell_share(right)} of {pictures}; {NAMES['top5']}: {_tell_share(top)}"

    @property
    def found(self) -> str:
        """`36 of 48 objects have a right box at the threshold of 25 %`; empty of a classifier."""
        if self.task != "detect":
            return ""
        return f"{self.right:,} of {plural(self.objects, 'object')} found at the threshold of {percent(self.threshold)}"

    def list_classes(self) -> list[tuple[str, str, str]]:
        """Return the classes, the worst first: each with its number and its interval."""
        classes = sorted(self.by_class.items(), key=lambda one: (math.isnan(one[1].value), one[1].value, one[0]))
        return [(name, one.points, one.range) for name, one in classes]

    def list_errors(self) -> list[tuple[str, str, str, str]]:
        """Return the types of errors: each with its count, its cost in points of AP50 and its meaning."""
        meanings = {str(kind): words for kind, words in error_types.MEANINGS.items()}
        return [(kind, f"{one.count:,}", f"{100 * one.cost:+.1f}", meanings[kind]) for kind, one in self.errors.items()]

    def list_missed(self) -> list[tuple[str, str]]:
        """Return why objects have no right box, each reason with its count, the most frequent first."""
        meanings = {str(reason): words for reason, words in misses.MEANINGS.items()}
        return [(meanings[reason], f"{count:,}") for reason, count in self.missed.items() if count]

    def to_json(self) -> Json:
        """Return it as plain values, None where there is no number, with its headline."""
        return {"headline": self.headline, **_replace_nan(asdict(self))}


def summarise(evaluation: Evaluation) -> EvaluationSummary:
    """Return how well answers fit labels; AP ranks all boxes, all else counts those from the threshold on."""
    with stored.pause_collector():
        return _sum_up_boxes(evaluation) if evaluation.task == "detect" else _sum_up_classes(evaluation)


def _sum_up_boxes(evaluation: Evaluation) -> EvaluationSummary:
    truths, found = evaluation.truths, evaluation.found
    scores = average_precision.measure(truths, found)
    counts = Counter(error.type for matched in evaluation.matched for error in matched.errors)
    costs = error_types.cost_in_ap(truths, found)
    reasons = Counter(one.reason for picture in evaluation.pictures for one in picture.missed.values())
    curve = measure_thresholds(evaluation)
    best, right = curve.find_best(), sum(len(matched.right) for matched in evaluation.matched)
    return EvaluationSummary(
        evaluation.model,
        evaluation.task,
        len(evaluation.pictures),
        scores.objects,
        right,
        evaluation.threshold,
        {"ap": scores.ap, "ap50": scores.ap50},
        scores.by_class,
        scores.by_size,
        {kind: ErrorCount(counts[kind], costs[kind]) for kind in error_types.MEANINGS},
        dict(reasons.most_common()),
        "" if right == scores.objects else NO_THRESHOLD if best is None else best.sentence,
        evaluation.unknown,
    )


def _sum_up_classes(evaluation: Evaluation) -> EvaluationSummary:
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    top = 0
    for one in evaluation.pictures:
        if one.truth is None:
            continue
        total[one.truth] += 1
        right[one.truth] += bool(one.found) and one.found[0].label == one.truth
        top += one.truth in (answer.label for answer in one.found[:TOP])
    every = total.total()
    return EvaluationSummary(
        evaluation.model,
        evaluation.task,
        every,
        0,
        right.total(),
        evaluation.threshold,
        {"accuracy": _estimate(right.total(), every), "top5": _estimate(top, every)},
        {name: _estimate(right[name], total[name]) for name in sorted(total)},
        {},
        {},
        {},
        unknown=evaluation.unknown,
    )


def load(folder: Path) -> EvaluationSummary:
    """Return the summary of a run with labels, which is kept beside its evaluation; raise Problem where there is none.

    What is kept is of the evaluation that is there: a resumed run is summed up again.
    """
    try:
        stamp = _stamp(folder)
    except OSError:
        stamp = []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads((folder / FILE).read_bytes())
        if kept["of"] == stamp:
            return _from_json(kept["summary"])
    evaluation = stored.load(folder)
    made = summarise(evaluation)
    data = {"of": stamp, "summary": _replace_nan(asdict(made))}
    # A folder that may only be read is no reason not to answer.
    with contextlib.suppress(OSError):
        write_file(folder / CSV, _write_units(evaluation).encode())
        write_file(folder / FILE, json.dumps(data, ensure_ascii=False).encode())
    return made


def _write_units(evaluation: Evaluation) -> str:
    units = tables.tabulate(evaluation).astype(object)
    return write_csv(units.where(units.notna(), None).to_dict("records"))


def _stamp(folder: Path) -> list[int]:
    about = (folder / stored.FILE).stat()
    return [VERSION, about.st_size, about.st_mtime_ns]


def _from_json(found: Json) -> EvaluationSummary:
    def estimates(name: str) -> dict[str, Estimate]:
        return {
            key: Estimate(*(_number(one[part]) for part in ("value", "low", "high")))
            for key, one in found[name].items()
        }

    return EvaluationSummary(
        **found
        | {
            "scores": estimates("scores"),
            "by_class": estimates("by_class"),
            "by_size": {key: _number(one) for key, one in found["by_size"].items()},
            "errors": {key: ErrorCount(**one) for key, one in found["errors"].items()},
            "unknown": tuple(found["unknown"]),
        }
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _replace_nan(value: Any) -> Any:
    """Return plain values with None for nan, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _replace_nan(one) for key, one in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _estimate(count: int, total: int) -> Estimate:
    """Return a share of independent pictures with Wilson's interval."""
    share = Share(count, total)
    return Estimate(math.nan if share.value is None else share.value, *share.interval)


def _tell_points(one: Estimate) -> str:
    return f"{one.points} (95 % interval: {one.range})"


def _tell_share(one: Estimate) -> str:
    if math.isnan(one.value):
        return "–"
    return f"{percent(one.value)} (95 % interval: {100 * one.low:.0f} to {percent(one.high)})"
