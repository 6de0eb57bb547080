"""What each method, on each choice of layers, gets of each question, object by object."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.truth.causes import turned
from benchmarks.truth.maps import (
    MOVED,
    QUESTIONS,
    WRONG,
    Line,
    default,
    layers_of,
    maps,
    moved,
    offset,
    resident,
    subjects,
)
from benchmarks.truth.measures import MEASURES, baselines, box_of, measured
from explain.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.truth.maps import Subject
    from benchmarks.truth.measures import Map


@dataclass(frozen=True, eq=False)
class Scores:
    """What every line got, object by object, from one model."""

    model: str
    """Its id, and of other weights than the catalogue's their folder."""
    task: str
    defaults: dict[str, Line]
    """By question what the product answers with."""
    lines: list[Line]
    scenes: list[int]
    """The number of each object's scene."""
    labels: list[str]
    caused: list[bool]
    """Whether the mark is why: swapped for the rival's it turns the answer; also where there is no rival."""
    values: dict[str, NDArray[np.float32]]
    """By question (objects, lines, measures)."""

    def of(self, line: Line, question: str, measure: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.values[question][:, self.lines.index(line), MEASURES.index(measure)].astype(
            float
        )
        return found


class Rows:
    """Objects as they come, one after the other; every one has the same lines."""

    def __init__(self, model: str, folder: Path | None) -> None:
        held = resident(model, folder)
        self._held = held
        self._model = named(model, folder)
        self._lines: list[Line] = []
        self._scenes: list[int] = []
        self._labels: list[str] = []
        self._caused: list[bool] = []
        self._values: list[list[list[list[float]]]] = []

    def add(self, given: Subject, made: Mapping[Line, Map | None]) -> None:
        """An object's maps; the baselines' come with them."""
        inside = box_of(given.thing.box, given.scene.pixels.shape[:2])
        masks = ((given.thing.mask, None), (given.thing.cause, inside))
        blind = baselines(given.scene.pixels, given.thing, given.prediction.box, given.number)
        made = dict(made) | {(name, "", ""): one for name, one in blind.items()}
        self._values.append([measured(one, *masks) for one in made.values()])
        self._lines = list(made)
        self._scenes.append(given.number)
        self._labels.append(given.thing.label)
        self._caused.append(turned(self._held, given))

    def scores(self) -> Scores:
        shape = len(self._values), len(self._lines), len(QUESTIONS), len(MEASURES)
        values = np.array(self._values, np.float32).reshape(shape)
        split = {question: values[:, :, i] for i, question in enumerate(QUESTIONS)}
        defaults = {question: default(self._held, question) for question in QUESTIONS}
        task = self._held.adapter.spec.task
        return Scores(self._model, task, defaults, self._lines, self._scenes, self._labels, self._caused, split)


def scored(model: str, folder: Path | None, numbers: Sequence[int]) -> Scores:
    """One object of each scene, by every method, layers and part."""
    held, rows = resident(model, folder), Rows(model, folder)
    layers = layers_of(model)
    asked = {default(held, question)[1] for question in QUESTIONS}
    methods = [METHODS[name] for name in dict.fromkeys(default(held, question)[0] for question in QUESTIONS)]
    paths = list(dict.fromkeys(path for own in layers.values() for path in own))
    for given in subjects(model, folder, numbers, paths):
        targets = given.targets
        wrong = {part: targets.pop(part) for part in WRONG.values()}
        made = maps(given.evidence, layers, targets)
        # The wrong class's only as a question is asked: twice the maps would take twice the time.
        made |= maps(given.evidence, {name: layers[name] for name in layers if name in asked}, wrong, methods)
        for question in QUESTIONS:
            method, _, part = default(held, question)
            for layer, (name, own) in itertools.product(given.evidence.layers, layers.items()):
                if own == (layer.path,):
                    by = offset(layer, given.scene.pixels.shape[0])
                    made[method, name, MOVED[part]] = moved(made[method, name, part], by)
        rows.add(given, made)
    return rows.scores()


def named(model: str, folder: Path | None) -> str:
    return model if folder is None else f"{model} ({folder.name})"


def joined(parts: Sequence[Scores]) -> Scores:
    """The same model's scores on several lots of scenes; those without an object it finds are left out."""
    full = [part for part in parts if part.scenes] or parts[:1]
    first = full[0]
    return Scores(
        first.model,
        first.task,
        first.defaults,
        first.lines,
        [number for part in full for number in part.scenes],
        [label for part in full for label in part.labels],
        [one for part in full for one in part.caused],
        {question: np.concatenate([part.values[question] for part in full]) for question in QUESTIONS},
    )
