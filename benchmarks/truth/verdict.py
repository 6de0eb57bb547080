"""Rank methods by their scores: best line, defaults, failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.bootstrap import Line, Samples
from benchmarks.truth.maps import MOVED, PARTS, WRONG
from benchmarks.truth.measures import BLIND, GIVEN_BOX, MEASURES
from sightglass.explain.methods import METHODS
from sightglass.models.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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
    starts = tuple(start for family in families for start in FAMILIES[family])
    return {label for label in scenes.CLASSES if label.startswith(starts)}


def countable(question: str) -> set[str] | None:
    """Return the classes that count at a question, None for all: "why" needs a cause that is a part of the object."""
    return labels_of(*PARTLY) if question == "why" else None


class Judged(Samples):
    """Some models' scores at one question, on the objects of some classes; each model has the same weight.

    "Why" is measured on objects whose mark is shown to be the cause, or with `caused` False on the others.
    """

    def __init__(
        self, models: Sequence[Scores], question: str, labels: set[str] | None = None, *, caused: bool = True
    ) -> None:
        self.models, self.question = models, question
        masks = [
            np.array(
                [
                    (labels is None or label in labels) and (question == "where" or cause == caused)
                    for label, cause in zip(of.labels, of.caused, strict=True)
                ],
                bool,
            )
            for of in models
        ]

        def values(line: Line, measure: str) -> list[NDArray[np.float64]]:
            return [of.of(line, question, measure)[mask] for of, mask in zip(models, masks, strict=True)]

        pictures = [np.array(of.scenes, int)[mask].tolist() for of, mask in zip(models, masks, strict=True)]
        super().__init__(pictures, values)
        self.objects = [len(of) for of in pictures]
        self.scenes = len({number for of in pictures for number in of})

    def row(self, line: Line) -> dict[str, Any]:
        return {"line": list(line)} | {measure: self.interval(line, measure) for measure in MEASURES}

    def differences(self, line: Line, other: Line) -> dict[str, Any]:
        return {measure: self.difference(line, other, measure) for measure in MEASURES}

    @property
    def lines(self) -> list[Line]:
        """Method, layers and part that every model has; one part of a method that knows no class."""
        shared = [line for line in self.models[0].lines if all(line in of.lines for of in self.models)]
        return [line for line in shared if line[2] in PARTS and (METHODS[line[0]].per_class or line[2] == "class")]

    @property
    def blind(self) -> list[Line]:
        """The baselines that a map has to beat."""
        names = [name for name in BLIND if self.question == "why" or name not in GIVEN_BOX]
        return [(name, "", "") for name in names if all((name, "", "") in of.lines for of in self.models)]

    @property
    def given_box(self) -> list[Line]:
        """Baselines that are given the answer."""
        names = GIVEN_BOX if self.question == "where" else ()
        return [(name, "", "") for name in names if (name, "", "") in self.models[0].lines]

    def strongest(self, measure: str) -> Line:
        return max(self.blind, key=lambda line: self.mean(line, measure))

    def fails(self, line: Line, *, bound: int = 1) -> bool:
        """Return whether it is better than the best baseline neither at hits nor at ranking, by its paired interval.

        With `bound` 0 by the mean of the differences: all that few objects can tell.
        """
        return all(self.difference(line, self.strongest(measure), measure)[bound] <= 0 for measure in DECIDING)

    def best(self) -> list[tuple[float, Line]]:
        return self.ranked(self.lines, MEASURES)

    def with_part(self) -> list[Line]:
        """Return the lines with the part of this question."""
        part = self.default[2]
        return [line for line in self.lines if line[2] == (part if METHODS[line[0]].per_class else "class")]

    def at_default(self) -> list[Line]:
        """Return each method on the layers and with the part of this question."""
        return [line for line in self.with_part() if line[1] == self.default[1]]

    @property
    def default(self) -> Line:
        return self.models[0].defaults[self.question]


def table(models: Sequence[Scores], question: str) -> dict[str, Any]:
    """Return everything that the report says of some models at one question."""
    judged = Judged(models, question, countable(question))
    ranked = judged.best()
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
        "to_default": judged.differences(best, default),
        "wrong": judged.row(wrong) | {"to": judged.differences(default, wrong)},
        "baselines": [judged.row(line) for line in judged.blind],
        "told": [judged.row(line) for line in judged.given_box],
        "strongest": {measure: judged.strongest(measure)[0] for measure in MEASURES},
        "over": {m: judged.difference(default, judged.strongest(m), m) for m in MEASURES},
        "methods": [judged.row(line) | {"fails": judged.fails(line)} for line in judged.at_default()],
        "grid": _grid(judged),
        "moved": _moved(judged),
        "each": [_each(of, question, best) for of in models],
        "families": _families(models, question, best, default),
    }


def _unused(models: Sequence[Scores], default: Line) -> dict[str, Any] | None:
    """Return the default on the objects that are left out: the model names them whatever their mark is."""
    judged = Judged(models, "why", countable("why"), caused=False)
    return judged.row(default) | {"objects": judged.objects} if min(judged.objects) else None


def _grid(judged: Judged) -> dict[str, Any]:
    """Return hits and ranking by method and layers, with the question's own target."""
    cells = [
        {"line": list(line), "hit": judged.mean(line, "hit"), "auc": judged.mean(line, "auc")}
        for line in judged.with_part()
    ]
    return {"part": judged.default[2], "cells": cells}


def _moved(judged: Judged) -> list[dict[str, Any]]:
    """Return the default's method on every choice of layers, as its maps are grown and moved to where cells look."""
    method, _, part = judged.default
    pairs = [
        ((method, line[1], part), line)
        for line in judged.models[0].lines
        if line[0] == method and line[2] == MOVED[part]
    ]
    return [
        judged.row(grown) | {"moved": judged.row(line), "to": judged.differences(line, grown)} for grown, line in pairs
    ]


def _each(model: Scores, question: str, best: Line) -> dict[str, Any]:
    judged = Judged([model], question, countable(question))
    lines = {"default": judged.default, "best": best, "own": judged.best()[0][1], "baseline": judged.strongest("hit")}
    return {"model": model.model, "objects": judged.objects[0]} | {key: judged.row(line) for key, line in lines.items()}


def _families(models: Sequence[Scores], question: str, best: Line, default: Line) -> list[dict[str, Any]]:
    found = []
    for family in FAMILIES:
        judged = Judged(models, question, labels_of(family))
        if min(judged.objects):
            # A texture or a shape fills its object: no baseline is given its box there.
            lines = {"default": default, "best": best, "baseline": judged.strongest("hit")}
            rows = {key: judged.row(line) for key, line in lines.items()}
            found.append({"family": family, "objects": judged.objects, **rows})
    return found


def published(models: Sequence[Scores], slow: Sequence[Scores]) -> list[dict[str, Any]]:
    """Return a finding for each question and method, at the question's own layers and target.

    Slow methods explain a class, and few objects: they answer "where" and not "why".
    """
    judged = [Judged(models, question, countable(question)) for question in ("where", "why")]
    fast = [[find(one, line) for line in one.at_default()] for one in judged]
    if not slow:
        return [*fast[0], *fast[1]]
    few = Judged(slow, "where")
    # Those on the question's layers, and those that have none of their own.
    lines = {line[0]: line for line in few.lines if line[1] == few.default[1] or line[0] in ("fullgrad", "drise")}
    return [*fast[0], *(find(few, line) for line in lines.values()), *fast[1]]


def find(judged: Judged, line: Line) -> dict[str, Any]:
    strongest = judged.strongest("hit")
    return {
        "task": judged.models[0].task,
        "question": judged.question,
        "method": line[0],
        "scenes": judged.scenes,
        "objects": sum(judged.objects),
        "hit": [round(one, 4) for one in judged.interval(line, "hit")],
        "auc": [round(one, 4) for one in judged.interval(line, "auc")],
        "baseline": strongest[0],
        "baseline_hit": round(judged.mean(strongest, "hit"), 4),
        "fails": judged.fails(line, bound=1 if min(judged.objects) >= ENOUGH else 0),
    }
