"""What follows from the scores: which line is best, where the defaults stand, and which methods fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.bootstrap import Interval, interval, redrawn
from benchmarks.truth.maps import MOVED, PARTS, WRONG
from benchmarks.truth.measures import BLIND, MEASURES, TOLD
from explain.methods import METHODS
from models.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.truth.maps import Line
    from benchmarks.truth.scores import Scores

DECIDING = ("hit", "auc")
"""A method fails that is better than the best baseline in neither."""
ENOUGH = 50
"""Objects of a model; with fewer an interval that holds 0 says little against a method."""
FAMILIES = {
    "a mark": ("rod-", "plate-"),
    "a relation": ("moon-",),
    "a texture": ("ball-",),
    "a shape": ("star", "gear"),
}
"""What makes a class, and how the names of its classes begin. Only of the first two the cause is a part."""
PARTLY = ("a mark", "a relation")


def labels_of(*families: str) -> set[str]:
    """The classes of those families."""
    starts = tuple(start for family in families for start in FAMILIES[family])
    return {label for label in scenes.CLASSES if label.startswith(starts)}


class Judged:
    """Some models' scores at one question, on the objects of some classes; each model has the same weight.

    Why is asked of objects whose mark is shown to be the cause, or with `caused` False of the others.
    """

    def __init__(
        self, models: Sequence[Scores], question: str, labels: set[str] | None = None, *, caused: bool = True
    ) -> None:
        self.models, self.question = models, question
        self._kept = [
            np.array(
                [
                    (labels is None or label in labels) and (question == "where" or cause == caused)
                    for label, cause in zip(of.labels, of.caused, strict=True)
                ],
                bool,
            )
            for of in models
        ]
        pictures = [[n for n, kept in zip(of.scenes, ks, strict=True) if kept] for of, ks in self._each()]
        self._weights = redrawn(pictures)
        self.objects = [len(of) for of in pictures]
        self.scenes = len({number for of in pictures for number in of})

    def _each(self) -> list[tuple[Scores, NDArray[np.bool_]]]:
        return list(zip(self.models, self._kept, strict=True))

    def values(self, line: Line, measure: str) -> list[NDArray[np.float64]]:
        return [of.of(line, self.question, measure)[kept] for of, kept in self._each()]

    def mean(self, line: Line, measure: str) -> float:
        return float(np.mean([one.mean() for one in self.values(line, measure)]))

    def interval(self, line: Line, measure: str) -> Interval:
        return interval(self.values(line, measure), self._weights)

    def difference(self, line: Line, other: Line, measure: str) -> Interval:
        """Paired, object by object."""
        pairs = zip(self.values(line, measure), self.values(other, measure), strict=True)
        return interval([one - two for one, two in pairs], self._weights)

    def row(self, line: Line) -> dict[str, Any]:
        return {"line": list(line)} | {measure: self.interval(line, measure) for measure in MEASURES}

    @property
    def lines(self) -> list[Line]:
        """Method, layers and part that every model has; of a method that knows no class one part."""
        shared = [line for line in self.models[0].lines if all(line in of.lines for of in self.models)]
        return [line for line in shared if line[2] in PARTS and (METHODS[line[0]].per_class or line[2] == "class")]

    @property
    def blind(self) -> list[Line]:
        """The baselines that a map has to beat."""
        names = [name for name in BLIND if self.question == "why" or name not in TOLD]
        return [(name, "", "") for name in names if all((name, "", "") in of.lines for of in self.models)]

    @property
    def told(self) -> list[Line]:
        """Baselines that are told the answer."""
        return [(name, "", "") for name in TOLD if self.question == "where" and (name, "", "") in self.models[0].lines]

    def strongest(self, measure: str) -> Line:
        """The best baseline."""
        return max(self.blind, key=lambda line: self.mean(line, measure))

    def fails(self, line: Line) -> bool:
        """Whether it is better than the best baseline neither at hits nor at ranking, by its paired interval."""
        return all(self.difference(line, self.strongest(measure), measure)[1] <= 0 for measure in DECIDING)

    def behind(self, line: Line) -> bool:
        """Whether it is no better than the best baseline in either by its mean: all that few objects can tell."""
        return all(self.difference(line, self.strongest(measure), measure)[0] <= 0 for measure in DECIDING)

    def ranked(self) -> list[tuple[float, Line]]:
        """Lines by their mean rank over `MEASURES`, best first; ties in rank stay as they are listed."""
        means = np.array([[self.mean(line, measure) for measure in MEASURES] for line in self.lines])
        ranks = np.stack([(-column[:, None] < -column[None, :]).sum(0) + 1 for column in means.T], 1).mean(1)
        return [(float(ranks[i]), self.lines[i]) for i in np.argsort(ranks, kind="stable")]

    def at_default(self) -> dict[str, Line]:
        """Each method on the layers and target that this question is asked with."""
        _, layers, part = self.default
        found = {}
        for method, on, of in self.lines:
            if on == layers and of == (part if METHODS[method].per_class else "class"):
                found[method] = (method, on, of)
        return found

    @property
    def default(self) -> Line:
        return self.models[0].defaults[self.question]


def table(models: Sequence[Scores], question: str) -> dict[str, Any]:
    """Everything that the report says of some models at one question."""
    judged = Judged(models, question, labels_of(*PARTLY) if question == "why" else None)
    ranked = judged.ranked()
    order = [line for _, line in ranked]
    best, default = order[0], judged.default
    wrong = (default[0], default[1], WRONG[default[2]])
    return {
        "models": [of.model for of in models],
        "task": models[0].task,
        "question": question,
        "objects": judged.objects,
        "unused": _unused(models, default) if question == "why" else None,
        "of": len(order),
        "first": [judged.row(line) | {"rank": rank} for rank, line in ranked[:8]],
        "default": judged.row(default) | {"rank": ranked[order.index(default)][0], "place": order.index(default) + 1},
        "to_default": {measure: judged.difference(best, default, measure) for measure in MEASURES},
        "wrong": judged.row(wrong) | {"to": {m: judged.difference(default, wrong, m) for m in MEASURES}},
        "baselines": [judged.row(line) for line in judged.blind],
        "told": [judged.row(line) for line in judged.told],
        "strongest": {measure: judged.strongest(measure)[0] for measure in MEASURES},
        "over": {m: judged.difference(default, judged.strongest(m), m) for m in MEASURES},
        "methods": [judged.row(line) | {"fails": judged.fails(line)} for line in judged.at_default().values()],
        "grid": _grid(judged),
        "moved": _moved(judged),
        "each": [_each(of, question, order[0]) for of in models],
        "families": _families(models, question, best, default),
    }


def _unused(models: Sequence[Scores], default: Line) -> dict[str, Any] | None:
    """The default on the objects that are left out: the model names them whatever their mark is."""
    judged = Judged(models, "why", labels_of(*PARTLY), caused=False)
    return judged.row(default) | {"objects": judged.objects} if min(judged.objects) else None


def _grid(judged: Judged) -> dict[str, Any]:
    """Hits and ranking by method and layers, with the question's own target."""
    part = judged.default[2]
    lines = [one for one in judged.lines if one[2] == (part if METHODS[one[0]].per_class else "class")]
    return {
        "part": part,
        "cells": [
            {"line": list(line), "hit": judged.mean(line, "hit"), "auc": judged.mean(line, "auc")} for line in lines
        ],
    }


def _moved(judged: Judged) -> list[dict[str, Any]]:
    """The default's method on every choice of layers, as its maps are grown and moved to where its cells look."""
    method, _, part = judged.default
    after = [line for line in judged.models[0].lines if line[0] == method and line[2] == MOVED[part]]
    return [
        judged.row((method, layers, part))
        | {"moved": judged.row(line)}
        | {"to": {measure: judged.difference(line, (method, layers, part), measure) for measure in MEASURES}}
        for line in after
        for layers in (line[1],)
    ]


def _each(model: Scores, question: str, best: Line) -> dict[str, Any]:
    """One model by itself."""
    judged = Judged([model], question, labels_of(*PARTLY) if question == "why" else None)
    own = judged.ranked()[0][1]
    strongest = judged.strongest("hit")
    return {
        "model": model.model,
        "objects": judged.objects[0],
        "default": judged.row(judged.default),
        "best": judged.row(best),
        "own": judged.row(own),
        "baseline": judged.row(strongest),
    }


def _families(models: Sequence[Scores], question: str, best: Line, default: Line) -> list[dict[str, Any]]:
    """The same lines on classes of one kind."""
    found = []
    for family in FAMILIES:
        judged = Judged(models, question, labels_of(family))
        if min(judged.objects):
            rows = {"default": judged.row(default), "best": judged.row(best)}
            # A texture or a shape fills its object: its box is told to nobody there.
            found.append(
                {"family": family, "objects": judged.objects, **rows, "baseline": judged.row(judged.strongest("hit"))}
            )
    return found


def published(models: Sequence[Scores], slow: Sequence[Scores]) -> list[dict[str, Any]]:
    """A finding for each question and method, at the question's own layers and target.

    Slow methods explain a class, and on few objects: they are asked where and not why.
    """
    found = []
    for question in ("where", "why"):
        labels = labels_of(*PARTLY) if question == "why" else None
        for of in (models, slow):
            if not of or (of is slow and question == "why"):
                continue
            judged = Judged(of, question, labels)
            lines = judged.at_default() if of is models else _slow_lines(judged)
            found += [_finding(judged, method, line) for method, line in lines.items()]
    return found


def _slow_lines(judged: Judged) -> dict[str, Line]:
    """Those on the question's layers, and those that have none of their own."""
    layers = judged.default[1]
    of_all = ("fullgrad", "drise")
    return {line[0]: line for line in judged.lines if line[1] == layers or line[0] in of_all}


def _finding(judged: Judged, method: str, line: Line) -> dict[str, Any]:
    strongest = judged.strongest("hit")
    return {
        "task": judged.models[0].task,
        "question": judged.question,
        "method": method,
        "scenes": judged.scenes,
        "objects": sum(judged.objects),
        "hit": [round(one, 4) for one in judged.interval(line, "hit")],
        "auc": [round(one, 4) for one in judged.interval(line, "auc")],
        "baseline": strongest[0],
        "baseline_hit": round(judged.mean(strongest, "hit"), 4),
        "fails": judged.fails(line) if min(judged.objects) >= ENOUGH else judged.behind(line),
    }
