"""Rank methods by their scores, with bootstrap intervals: best line, defaults, failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.timing import SEED
from benchmarks.truth.measures import BLIND, GIVEN_BOX, MEASURES
from benchmarks.truth.scenes import PARTLY, PARTS, WRONG, labels_of
from benchmarks.truth.scores import OWN_LAYER
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.report import Interval
    from benchmarks.truth.scenes import Line
    from benchmarks.truth.scores import Scores

RESAMPLES = 2000
DECIDING = ("hit", "auc")
"""A method fails that is better than the best baseline in neither."""
ENOUGH = 50
"""Objects of a model; with fewer an interval that holds 0 says little against a method."""


class Judged:
    """Some models' scores at one question, on the objects that count there; each model has the same weight.

    "Why" needs a cause that is a part of the object, and objects whose mark is shown to be the cause.
    """

    def __init__(self, models: Sequence[Scores], question: str) -> None:
        self.models, self.question = models, question
        labels = labels_of(*PARTLY)
        self._masks = [
            np.array(
                [
                    question == "where" or (label in labels and cause)
                    for label, cause in zip(of.labels, of.caused, strict=True)
                ],
                bool,
            )
            for of in models
        ]
        numbers = [np.array(of.scenes, int)[mask].tolist() for of, mask in zip(models, self._masks, strict=True)]
        self.objects = [len(of) for of in numbers]
        names = sorted({number for of in numbers for number in of}, key=str)
        self.scenes, count = len(names), max(len(names), 1)
        weights = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
        at = {name: i for i, name in enumerate(names)}
        self._weights = [weights[:, [at[number] for number in of]] for of in numbers]
        """How often each object counts in each resample, (R, n); scenes are drawn, for all models alike."""

    def values(self, line: Line, measure: str) -> list[NDArray[np.float64]]:
        pairs = zip(self.models, self._masks, strict=True)
        return [of.of(line, self.question, measure)[mask] for of, mask in pairs]

    def mean(self, line: Line, measure: str) -> float:
        return float(np.mean([np.nanmean(values) for values in self.values(line, measure)]))

    def interval(self, line: Line, measure: str) -> Interval:
        return self._interval(self.values(line, measure))

    def difference(self, line: Line, other: Line, measure: str) -> Interval:
        pairs = zip(self.values(line, measure), self.values(other, measure), strict=True)
        return self._interval([first - second for first, second in pairs])

    def _interval(self, by_model: Sequence[NDArray[np.float64]]) -> Interval:
        """Return the mean over models and the ends of its interval."""
        means, drawn = [], []
        for values, weight in zip(by_model, self._weights, strict=True):
            known = np.isfinite(values)
            if not known.any():
                return (float("nan"),) * 3
            means.append(values[known].mean())
            drawn.append((weight[:, known] @ values[known]) / np.maximum(weight[:, known].sum(1), 1e-9))
        low, high = np.percentile(np.mean(drawn, 0), (2.5, 97.5)).tolist()
        return float(np.mean(means)), low, high

    def ranked(self, lines: Sequence[Line]) -> list[tuple[float, Line]]:
        """Return lines by mean rank, best first, in stable order."""
        means = np.array([[self.mean(line, measure) for measure in MEASURES] for line in lines])
        ranks = np.stack([(-column[:, None] < -column[None, :]).sum(0) + 1 for column in means.T], 1).mean(1)
        return [(float(ranks[i]), lines[i]) for i in np.argsort(ranks, kind="stable")]

    def row(self, line: Line) -> dict[str, Any]:
        return {"line": list(line)} | {measure: self.interval(line, measure) for measure in MEASURES}

    def differences(self, line: Line, other: Line) -> dict[str, Any]:
        return {measure: self.difference(line, other, measure) for measure in MEASURES}

    @property
    def lines(self) -> list[Line]:
        """Return the methods, layers and parts common to all models."""
        shared = [line for line in self.models[0].lines if all(line in of.lines for of in self.models)]
        return [line for line in shared if line[2] in PARTS and (METHODS[line[0]].per_class or line[2] == "class")]

    @property
    def blind(self) -> list[Line]:
        """Return the baselines to beat."""
        names = [name for name in BLIND if self.question == "why" or name not in GIVEN_BOX]
        return [(name, "", "") for name in names if all((name, "", "") in of.lines for of in self.models)]

    def strongest(self, measure: str) -> Line:
        return max(self.blind, key=lambda line: self.mean(line, measure))

    def fails(self, line: Line) -> bool:
        """Return whether it beats no baseline in hits or ranking.

        By its paired interval; with few objects by the mean of the differences: all that these can tell.
        """
        bound = 1 if min(self.objects) >= ENOUGH else 0
        return all(self.difference(line, self.strongest(measure), measure)[bound] <= 0 for measure in DECIDING)

    @property
    def default(self) -> Line:
        return self.models[0].defaults[self.question]

    def with_part(self) -> list[Line]:
        """Return the lines of the question's part, or without class."""
        part = self.default[2]
        free = {method.id for method in METHODS.values() if not method.per_class or method.reads}
        return [line for line in self.lines if line[2] == part or line[0] in free]

    def at_default(self) -> list[Line]:
        """Return each method at the question's layers or its own."""
        return [line for line in self.with_part() if line[1] == self.default[1] or METHODS[line[0]].family in OWN_LAYER]


def find(judged: Judged, line: Line) -> dict[str, Any]:
    """Return a line as menus and findings read it."""
    strongest = judged.strongest("hit")
    return {
        "task": judged.models[0].task,
        "question": judged.question,
        "method": line[0],
        "scenes": judged.scenes,
        "objects": sum(judged.objects),
        "hit": [round(value, 4) for value in judged.interval(line, "hit")],
        "auc": [round(value, 4) for value in judged.interval(line, "auc")],
        "baseline": strongest[0],
        "baseline_hit": round(judged.mean(strongest, "hit"), 4),
        "fails": judged.fails(line),
    }


def find_all(models: Sequence[Scores]) -> list[dict[str, Any]]:
    """Return a finding for each question and method at default layers."""
    return [find(of, line) for of in (Judged(models, q) for q in ("where", "why")) for line in of.at_default()]


def find_own_layer(others: Sequence[Scores], queries: Scores) -> list[dict[str, Any]]:
    """Return the findings of methods that are slow or have layers of their own.

    Of `queries`, a detector whose boxes are queries, also of the others, at the default's layer: it is none of those
    that detectors' figures are of.
    """
    rows = []
    for of in (*others, queries):
        for judged in (Judged([of], question) for question in ("where", "why")):
            lines = [
                line
                for line in judged.at_default()
                if not METHODS[line[0]].compute_name or (of is queries and line[1] == judged.default[1])
            ]
            more = {"task": "query"} if of is queries else {}
            rows += [find(judged, line) | more for line in lines if sum(judged.objects)]
    # The first model of a task speaks for it.
    first = {(row["task"], row["question"], row["method"]): row for row in reversed(rows)}
    return [row for row in rows if first[row["task"], row["question"], row["method"]] is row]


def table(models: Sequence[Scores], question: str) -> dict[str, Any]:
    """Return all data of the report on some models' question."""
    judged = Judged(models, question)
    ranked = judged.ranked([line for line in judged.lines if METHODS[line[0]].family != "control"])
    order = [line for _, line in ranked]
    best, default = order[0], judged.default
    wrong = (default[0], default[1], WRONG[default[2]])
    cells = judged.with_part()
    return {
        "models": [of.model for of in models],
        "task": models[0].task,
        "question": question,
        "objects": judged.objects,
        "of": len(order),
        "first": [judged.row(line) | {"rank": rank} for rank, line in ranked[:8]],
        "default": judged.row(default) | {"rank": ranked[order.index(default)][0], "place": order.index(default) + 1},
        "to_default": judged.differences(best, default),
        "wrong": judged.row(wrong) | {"to": judged.differences(wrong, default)} if wrong in models[0].lines else None,
        "baselines": [judged.row(line) for line in judged.blind],
        "strongest": {measure: judged.row(judged.strongest(measure)) for measure in MEASURES},
        "over": {measure: judged.difference(default, judged.strongest(measure), measure) for measure in MEASURES},
        "methods": [judged.row(line) | {"fails": judged.fails(line)} for line in judged.at_default()],
        "cells": [(line, judged.mean(line, "hit"), judged.mean(line, "auc")) for line in cells],
    }
